"""A made-up place, seen from above: fields, roads, houses, trees and a pond, with known spectra.

The sharp image is the truth; PAN is a weighted sum of its bands, MS its blurred, shifted and decimated version. So the
demo can say how near to the truth a result is, which no real scene can.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from clippan_models.contracts import Sampling, Window
from clippan_models.ops.resample import decimate

RATIO = 4
GAIN = 0.3
PAN_WEIGHTS = (0.15, 0.3, 0.35, 0.2)
BAND_NAMES = ("blue", "green", "red", "nir")

Image = NDArray[np.float32]

# DN of a 12-bit sensor in blue, green, red, near infrared
_FIELDS = np.array([(420, 560, 480, 1900), (520, 700, 760, 1500), (640, 820, 980, 1250), (380, 500, 400, 2300)])
_ROAD, _POND = (900, 950, 980, 1050), (330, 300, 210, 120)
_ROOFS = np.array([(800, 850, 1250, 1400), (1500, 1550, 1600, 1700), (650, 700, 760, 820), (950, 1250, 1900, 2000)])
_TREE = (280, 380, 270, 1800)


@dataclass(frozen=True)
class DemoScene:
    """A scene with its truth: `truth [4, H, W]`, `ms [4, H / 4, W / 4]`, `pan [1, H, W]`, 12-bit DN."""

    truth: Image
    ms: Image
    pan: Image
    sampling: Sampling


def make_demo_scene(side: int = 768, seed: int = 7, shift: tuple[float, float] = (0.6, -0.4)) -> DemoScene:
    """Make a scene of `side` x `side` PAN pixels whose MS lies `shift` PAN pixels (down, right) off."""
    rng = np.random.default_rng(seed)
    truth = _ground(rng, side)
    _draw_roads(truth, rng)
    _draw_houses(truth, rng)
    _draw_pond(truth, side)
    _draw_trees(truth, rng)
    truth *= 1 + 0.04 * rng.standard_normal((1, side, side)).astype(np.float32)
    pan = sum(w * band for w, band in zip(PAN_WEIGHTS, truth, strict=True))
    sampling = Sampling.area_registered(RATIO, 4).shifted([shift[0]] * 4, [shift[1]] * 4)
    ms = _seen_by_ms(truth, sampling)
    noise = rng.standard_normal(ms.shape) * 2
    return DemoScene(truth, (ms + noise).astype(np.float32), np.asarray(pan, np.float32)[None], sampling)


def _seen_by_ms(truth: Image, sampling: Sampling) -> Image:
    side = truth.shape[1]
    pad = 6 * RATIO
    padded = torch.from_numpy(np.pad(truth, ((0, 0), (pad, pad), (pad, pad)), mode="reflect"))
    around = Window(-pad, -pad, side + 2 * pad, side + 2 * pad)
    count = side // RATIO
    return decimate(padded, around, Window(0, 0, count, count), sampling, (GAIN,) * 4).numpy()


def _ground(rng: np.random.Generator, side: int) -> Image:
    """Fields: each pixel belongs to the nearest of some seeds, with furrows along a direction of its own."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    centres = rng.uniform(0, side, (14, 2))
    owner = np.argmin([(y - cy) ** 2 + (x - cx) ** 2 for cy, cx in centres], axis=0)
    angle, spacing = rng.uniform(0, np.pi, 14)[owner], rng.uniform(5, 11, 14)[owner]
    furrows = 1 + 0.06 * np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / spacing)
    return np.asarray(_FIELDS[rng.integers(0, 4, 14)][owner].transpose(2, 0, 1) * furrows, np.float32)


def _draw_roads(image: Image, rng: np.random.Generator) -> None:
    side = image.shape[1]
    y, x = np.mgrid[0:side, 0:side]
    for _ in range(3):
        slope, offset = rng.uniform(-0.4, 0.4), rng.uniform(0.15, 0.85) * side
        for distance in (np.abs(y - offset - slope * x), np.abs(x - offset * 0.9 - slope * y)):
            image[:, distance < 5] = np.array(_ROAD)[:, None]
            image[:, distance < 0.8] = 1500  # a painted line, thinner than an MS pixel


def _draw_houses(image: Image, rng: np.random.Generator) -> None:
    side = image.shape[1]
    for _ in range(side * side // 6000):
        row, col = rng.integers(8, side - 40, 2)
        height, width = rng.integers(8, 28, 2)
        roof = _ROOFS[rng.integers(0, 4)].astype(np.float32)
        image[:, row + 3 : row + height + 3, col + 3 : col + width + 3] *= 0.35  # its shadow
        image[:, row : row + height // 2, col : col + width] = (1.1 * roof)[:, None, None]
        image[:, row + height // 2 : row + height, col : col + width] = (0.85 * roof)[:, None, None]


def _draw_pond(image: Image, side: int) -> None:
    y, x = np.mgrid[0:side, 0:side]
    inside = ((y - 0.7 * side) / 0.12) ** 2 + ((x - 0.25 * side) / 0.17) ** 2 < side**2
    image[:, inside] = np.array(_POND)[:, None]


def _draw_trees(image: Image, rng: np.random.Generator) -> None:
    side = image.shape[1]
    for _ in range(side * side // 2500):
        row, col, radius = *rng.integers(6, side - 6, 2), rng.uniform(1.5, 4.5)
        reach = int(radius) + 1
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        crown = x**2 + y**2 < radius**2
        light = 1 - 0.12 * (x + y) / radius
        part = image[:, row - reach : row + reach + 1, col - reach : col + reach + 1]
        if part.shape[1:] == crown.shape:
            part[:, crown] = (np.array(_TREE)[:, None, None] * light)[:, crown]
