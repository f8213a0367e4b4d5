"""The synthetic scene of the demo: fields, roads, houses, trees and a pond, with known spectra.

The sharp image is the truth; PAN is a weighted sum of its bands, MS its blurred, shifted and decimated version. So the
demo can say how near to the truth a result is, which no real scene can.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from clippan_cli.scene.painting import Building, Image, coordinates, draw_tree, furrows, nearest, paint
from clippan_models.contracts import Sampling, Window
from clippan_models.ops.resample import decimate

RATIO = 4
GAIN = 0.3
PAN_WEIGHTS = (0.15, 0.3, 0.35, 0.2)
BAND_NAMES = ("blue", "green", "red", "nir")

# DN of a 12-bit sensor in blue, green, red, near infrared
_FIELDS = np.array([(420, 560, 480, 1900), (520, 700, 760, 1500), (640, 820, 980, 1250), (380, 500, 400, 2300)])
_ROAD, _LINE, _POND = (900, 950, 980, 1050), (1500, 1500, 1500, 1500), (330, 300, 210, 120)
_ROOFS = np.array(
    [(800, 850, 1250, 1400), (1500, 1550, 1600, 1700), (650, 700, 760, 820), (950, 1250, 1900, 2000)], np.float32
)
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
    truth = _fields(rng, side)
    _draw_roads(truth, rng)
    _draw_houses(truth, rng)
    y, x = np.mgrid[0:side, 0:side]
    paint(truth, ((y - 0.7 * side) / 0.12) ** 2 + ((x - 0.25 * side) / 0.17) ** 2 < side**2, _POND)
    for _ in range(side * side // 2500):
        row, col = rng.integers(6, side - 6, 2)
        draw_tree(truth, row, col, rng.uniform(1.5, 4.5), _TREE, 0.12)
    truth *= 1 + 0.04 * rng.standard_normal((1, side, side)).astype(np.float32)
    pan = sum(w * band for w, band in zip(PAN_WEIGHTS, truth, strict=True))
    sampling = Sampling.area_registered(RATIO, 4).shifted([shift[0]] * 4, [shift[1]] * 4)
    ms = _mtf_degraded(truth, sampling)
    noise = rng.standard_normal(ms.shape) * 2
    return DemoScene(truth, (ms + noise).astype(np.float32), np.asarray(pan, np.float32)[None], sampling)


def _mtf_degraded(truth: Image, sampling: Sampling) -> Image:
    side = truth.shape[1]
    pad = 6 * RATIO
    padded = torch.from_numpy(np.pad(truth, ((0, 0), (pad, pad), (pad, pad)), mode="reflect"))
    around = Window(-pad, -pad, side + 2 * pad, side + 2 * pad)
    count = side // RATIO
    return decimate(padded, around, Window(0, 0, count, count), sampling, (GAIN,) * 4).numpy()


def _fields(rng: np.random.Generator, side: int) -> Image:
    """Fields of four kinds, with furrows along a direction of their own."""
    owner = nearest(*coordinates(side), rng.uniform(0, side, (14, 2)))
    angle, spacing = rng.uniform(0, np.pi, 14)[owner], rng.uniform(5, 11, 14)[owner]
    waves = furrows(angle, spacing, 0.06)
    return np.asarray(_FIELDS[rng.integers(0, 4, 14)][owner].transpose(2, 0, 1) * waves, np.float32)


def _draw_roads(image: Image, rng: np.random.Generator) -> None:
    side = image.shape[1]
    y, x = np.mgrid[0:side, 0:side]
    for _ in range(3):
        slope, offset = rng.uniform(-0.4, 0.4), rng.uniform(0.15, 0.85) * side
        for distance in (np.abs(y - offset - slope * x), np.abs(x - offset * 0.9 - slope * y)):
            paint(image, distance < 5, _ROAD)
            paint(image, distance < 0.8, _LINE)  # thinner than an MS pixel


def _draw_houses(image: Image, rng: np.random.Generator) -> None:
    side = image.shape[1]
    for _ in range(side * side // 6000):
        row, col = rng.integers(8, side - 40, 2)
        height, width = rng.integers(8, 28, 2)
        roof = _ROOFS[rng.integers(0, 4)]
        house = Building(row + (height - 1) / 2, col + (width - 1) / 2, width, height)
        house.draw(image, (1.1 * roof, 0.85 * roof), shadow=(3, 3), shade=0.35)
