"""The sharp truth that the embedded CLIP learns from: synthetic scenes with known spectra, and real MS images.

A synthetic scene is drawn at twice its resolution and averaged, so that its edges are those of an imaged scene. It is
painted with the primitives of the demo's scene, but is one of a family that differs in everything: kinds and numbers of
objects, directions, sizes, relief of the parcels. A real MS image is its own truth one scale down (Wald's protocol):
what its own resolution shows is sharp, and is to be told from what blurring and decimating make of it.
`fusions` adds what clippan makes of pairs that are simulated from sharp images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clippan_cli.scene.painting import Building, around, coordinates, draw_tree, furrows, nearest, paint
from clippan_models.errors import InputError

Array = NDArray[np.float32]

SIDE = 256
"""Pixels a side of a synthetic scene."""

# Reflectance in blue, green, red, near infrared (per cent), about the middle of what spectral libraries list.
_VEGETATION = np.array([(4, 8, 5, 45), (5, 10, 6, 38), (3, 6, 4, 30), (7, 12, 9, 32), (6, 11, 8, 50)], np.float32)
_SOIL = np.array([(9, 14, 20, 28), (13, 18, 24, 31), (7, 10, 14, 20), (18, 24, 30, 38)], np.float32)
_BUILT = np.array([(18, 19, 20, 22), (9, 9, 10, 11), (30, 31, 32, 33), (10, 13, 26, 32), (24, 20, 16, 20)], np.float32)
_WATER = np.array([(6, 6, 4, 2), (8, 10, 7, 3), (5, 4, 3, 1), (10, 13, 11, 6)], np.float32)
_BRIGHT = np.array([(60, 60, 60, 58), (45, 20, 15, 40), (15, 25, 45, 40), (50, 48, 20, 45)], np.float32)


@dataclass(frozen=True)
class TruthScene:
    """A sharp scene of blue, green, red and near infrared, with the statistics that radiometry needs.

    Attributes:
        name: for reports.
        bands: `[4, H, W]`, any linear unit.
        mean: `[4]` over the scene.
        std: `[4]`.
        pan: `[1, H, W]`.
        pan_mean: `[1]`.
        pan_std: `[1]`.
        reflectance: the bands are per cent reflectance, so that spectral indices tell what is there.
        fusions: images of the scene that were fused from a pair, by the name of the method, `[4, H, W]`.
    """

    name: str
    bands: Tensor
    mean: Tensor
    std: Tensor
    pan: Tensor
    pan_mean: Tensor
    pan_std: Tensor
    reflectance: bool = False
    fusions: Mapping[str, Tensor] = field(default_factory=dict)


def truth_scene(
    name: str,
    bands: Tensor,
    pan: Tensor,
    *,
    reflectance: bool = False,
    fusions: Mapping[str, Tensor] | None = None,
) -> TruthScene:
    """Gather a scene's statistics: `bands [4, H, W]`, `pan [1, H, W]`."""
    flat, flat_pan = bands.flatten(1), pan.flatten(1)
    return TruthScene(
        name,
        bands,
        flat.mean(1),
        flat.std(1),
        pan,
        flat_pan.mean(1),
        flat_pan.std(1),
        reflectance,
        fusions or {},
    )


def read_scenes(folder: Path, rng: np.random.Generator) -> list[TruthScene]:
    """Real scenes of a folder of `.npz` files: `ms [4, h, w]` in the order B, G, R, NIR.

    Raises:
        InputError: where the folder holds none, or one that is not of that form.
    """
    scenes = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            ms = np.asarray(file["ms"] if "ms" in file else [], np.float32)
        if ms.ndim != 3 or ms.shape[0] != 4 or not np.isfinite(ms).all():
            raise InputError(f"{path}: expected a finite array `ms` of 4 bands (B, G, R, NIR), found {ms.shape}")
        bands = torch.from_numpy(np.ascontiguousarray(ms))
        scenes.append(truth_scene(path.stem, bands, _drawn_pan(bands, rng)))
    if not scenes:
        raise InputError(f"{folder}: no .npz files with an array `ms` here")
    return scenes


def synthetic_scene(seed: int, side: int = SIDE) -> TruthScene:
    """Draw a scene of `side` x `side` pixels; the same seed draws the same scene."""
    rng = np.random.default_rng(seed)
    fine = 2 * side
    image = _parcels(rng, fine)
    # Each kind of object appears in most scenes, in a number that differs widely: towns, farmland, forest, coast.
    for draw, most in ((_draw_roads, 8), (_draw_buildings, 420), (_draw_trees, 900), (_draw_points, 150)):
        if rng.random() < 0.75:
            draw(image, rng, int(most * rng.random() ** 2) + 1)
    for draw_area, chance in ((_draw_water, 0.35), (_draw_clouds, 0.15)):
        if rng.random() < chance:
            draw_area(image, rng)
    image *= 1 + rng.uniform(0.02, 0.12) * _fractal(rng, fine, rng.uniform(0.5, 1.2))
    image = image.reshape(4, side, 2, side, 2).mean((2, 4))
    image += rng.uniform(0.0, 0.15) * rng.standard_normal(image.shape)  # the sensor's noise, in per cent reflectance
    bands = torch.from_numpy(_gentle_blur(image, rng))
    return truth_scene(f"synthetic {seed}", bands, _drawn_pan(bands, rng), reflectance=True)


def _drawn_pan(bands: Tensor, rng: np.random.Generator) -> Tensor:
    """A weighted sum of the bands by a response that is drawn: `[4, H, W] -> [1, H, W]`."""
    response = np.array([0.15, 0.3, 0.35, 0.2]) * rng.uniform(0.4, 1.6, 4)
    weights = torch.from_numpy(np.asarray(response / response.sum(), np.float32))
    return (weights[:, None, None] * bands).sum(0, keepdim=True)


def _gentle_blur(image: Array, rng: np.random.Generator) -> Array:
    """The sensor's own point spread: sharp scenes are not equally sharp."""
    share = rng.uniform(0.0, 0.16)  # of each neighbour, in both directions
    for axis in (1, 2):
        image = (1 - 2 * share) * image + share * (np.roll(image, 1, axis) + np.roll(image, -1, axis))
    return np.asarray(image, np.float32)


def _spectrum(rng: np.random.Generator, library: Array) -> Array:
    spectrum = library[rng.integers(len(library))] * rng.uniform(0.75, 1.3) * rng.uniform(0.95, 1.05, 4)
    return np.asarray(spectrum, np.float32)


def coloured_noise(white: NDArray[np.float64], exponent: float) -> Array:
    """White noise `[..., side, side]` with its amplitude spectrum made 1 / f ** exponent; zero mean, unit variance."""
    side = white.shape[-1]
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(white) / frequency**exponent
    spectrum[..., 0, 0] = 0
    field = np.fft.irfft2(spectrum, s=(side, side))
    return np.asarray(field / field.std((-2, -1), keepdims=True), np.float32)


def _fractal(rng: np.random.Generator, side: int, exponent: float) -> Array:
    return coloured_noise(rng.standard_normal((side, side)), exponent)


def _parcels(rng: np.random.Generator, side: int) -> Array:
    """Parcels with winding borders, each with its own spectrum and furrows."""
    y, x = coordinates(side)
    count = int(rng.integers(3, 40))
    bend = rng.uniform(0, 12)
    y, x = y + bend * _fractal(rng, side, 1.8), x + bend * _fractal(rng, side, 1.8)
    owner = nearest(y, x, rng.uniform(0, side, (count, 2)), city_block=count % 2 == 1)
    shares = rng.dirichlet((1.0, 0.7, 0.5))
    libraries = (_VEGETATION, _SOIL, _BUILT)
    spectra = np.stack([_spectrum(rng, libraries[rng.choice(3, p=shares)]) for _ in range(count)], axis=1)
    angle, spacing = rng.uniform(0, np.pi, count)[owner], rng.uniform(4, 24, count)[owner]
    strength = (rng.uniform(0, 0.2, count) * (rng.random(count) < 0.6))[owner]
    return np.asarray(spectra[:, owner] * furrows(angle, spacing, strength), np.float32)


def _draw_roads(image: Array, rng: np.random.Generator, count: int) -> None:
    side = image.shape[1]
    y, x = coordinates(side)
    for _ in range(count):
        angle, width = rng.uniform(0, np.pi), rng.uniform(3, 18)
        curve = rng.uniform(0, 30) * np.sin(x / rng.uniform(60, 200))
        distance = np.abs(
            (x - rng.uniform(0, side)) * np.cos(angle) + (y + curve - rng.uniform(0, side)) * np.sin(angle)
        )
        paint(image, distance < width / 2, _spectrum(rng, _BUILT))
        if width > 8:
            paint(image, distance < 0.8, _BRIGHT[0])


def _draw_buildings(image: Array, rng: np.random.Generator, count: int) -> None:
    side, angle = image.shape[1], rng.uniform(0, np.pi / 2)
    shadow = (rng.uniform(-6, 6), rng.uniform(-6, 6))
    for _ in range(count):
        length, width = rng.uniform(6, 50, 2)
        row, col = rng.uniform(0, side, 2)
        turn = angle if rng.random() < 0.9 else rng.uniform(0, np.pi)
        roof = _spectrum(rng, _BUILT if rng.random() < 0.8 else _BRIGHT)
        shaded = rng.uniform(0.75, 1.0) * roof
        Building(row, col, length, width, turn).draw(image, (shaded, roof), shadow, shade=0.4)


def _draw_trees(image: Array, rng: np.random.Generator, count: int) -> None:
    side = image.shape[1]
    for _ in range(count):
        radius = rng.uniform(2, 10)
        row, col = rng.uniform(0, side, 2)
        crown = _spectrum(rng, _VEGETATION)
        part, y, x = around(image, row + 0.4 * radius, col + 0.4 * radius, radius)
        part[:, np.hypot(y, x) < radius] *= 0.5  # its shadow
        draw_tree(image, row, col, radius, crown, 0.2)


def _draw_points(image: Array, rng: np.random.Generator, count: int) -> None:
    """Cars, lamps, glints: as small as a pixel, brighter or darker than their surroundings."""
    side = image.shape[1]
    for _ in range(count):
        row, col = rng.integers(0, side - 6, 2)
        height, width = rng.integers(1, 6, 2)
        image[:, row : row + height, col : col + width] = _spectrum(rng, _BRIGHT)[:, None, None]


def _draw_water(image: Array, rng: np.random.Generator) -> None:
    field = _fractal(rng, image.shape[1], rng.uniform(1.6, 2.4))
    paint(image, field > np.quantile(field, rng.uniform(0.4, 0.95)), _spectrum(rng, _WATER))


def _draw_clouds(image: Array, rng: np.random.Generator) -> None:
    field = _fractal(rng, image.shape[1], 1.8)
    cover = np.clip(1.5 * (field - np.quantile(field, rng.uniform(0.6, 0.95))), 0, 0.9)
    image *= 1 - cover
    image += cover * _BRIGHT[0][:, None, None]
