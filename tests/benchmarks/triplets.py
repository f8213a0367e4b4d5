"""Scenes whose truth is known: of a folder of triplets, or generated ones, which need no data.

A GeoTIFF is a sharp image, of which a pair is made by the observation model. Triplets are .npz files with
`ms [C, h, w]`, `pan [H, W]` and `gt [C, H, W]` in one unit (stacks of patches become one mosaic; values of at most 1
are taken for shares of 2047 DN).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray

from clippan_cli.scene.synthetic import make_demo_scene
from clippan_models.contracts import Sampling, Window
from clippan_models.ops.resample import coverage, decimate

Image = NDArray[np.float32]
PEAK = 2047.0
_DEMO = "demo"
_DEMO_SEEDS, _DEMO_SIDE = (7, 11), 512
_RATIO, _GAIN, _SHIFT, _NOISE = 4, 0.3, (0.3, -0.4), 2.0  # of pairs made of sharp images; PAN pixels, DN


@dataclass(frozen=True)
class Triplet:
    """MS, PAN and truth, `[C, h, w]`, `[1, H, W]`, `[C, H, W]`, DN."""

    name: str
    ms: Image
    pan: Image
    truth: Image

    def write(self, folder: Path) -> None:
        """Write `ms.tif` and `pan.tif`."""
        _write(folder / "ms.tif", self.ms, 4)
        _write(folder / "pan.tif", self.pan, 1)


def triplets(folder: str, only: str = "") -> Iterator[Triplet]:
    """The triplets of a folder, or of a sharp image, or with `demo` generated ones, whose names contain `only`."""
    if folder == _DEMO:
        for seed in _DEMO_SEEDS:
            scene = make_demo_scene(_DEMO_SIDE, seed)
            if only in (name := f"{_DEMO}-{seed}"):
                yield Triplet(name, scene.ms, scene.pan, scene.truth)
        return
    if Path(folder).suffix in (".tif", ".tiff"):
        yield _simulated(Path(folder))
        return
    for path in sorted(p for p in Path(folder).glob("*.npz") if only in p.stem):
        yield _load(path)


def _load(path: Path) -> Triplet:
    with np.load(path) as file:
        ms, pan, truth = (file[k].astype(np.float32) for k in ("ms", "pan", "gt"))
    if ms.ndim == 4:
        ms, pan, truth = (_mosaic(stack) for stack in (ms, pan[:, None], truth))
    elif pan.ndim == 2:
        pan = pan[None]
    unit = PEAK if truth.max() <= 1 else 1.0
    return Triplet(path.stem, ms * unit, pan * unit, truth * unit)


def _simulated(path: Path) -> Triplet:
    """A pair made of a sharp image: MS blurred and shifted, PAN a mean of the bands, both with noise."""
    with rasterio.open(path) as dataset:
        image, full = dataset.read().astype(np.float32), np.iinfo(dataset.dtypes[0]).max
    bands, height, width = image.shape
    height, width = height // _RATIO * _RATIO, width // _RATIO * _RATIO
    truth = torch.from_numpy(image[:, :height, :width] * PEAK / full)
    sampling = Sampling.area_registered(_RATIO, bands).shifted([_SHIFT[0]] * bands, [_SHIFT[1]] * bands)
    grids = Window(0, 0, height, width), Window(0, 0, height // _RATIO, width // _RATIO), sampling, (_GAIN,) * bands
    noise = np.random.default_rng(0)
    ms = (decimate(truth, *grids) / coverage(*grids)).numpy()
    pan = truth.mean(0, keepdim=True).numpy()
    ms, pan = ((a + noise.normal(0, _NOISE, a.shape)).round().astype(np.float32) for a in (ms, pan))
    return Triplet(path.stem, ms, pan, truth.numpy())


def _mosaic(stack: Image) -> Image:
    """A stack of patches `[N, C, h, w]` side by side in as square an image as they fill."""
    across = int(len(stack) ** 0.5)
    count, bands, height, width = stack[: across * across].shape
    square = stack[:count].reshape(across, across, bands, height, width).transpose(2, 0, 3, 1, 4)
    return np.ascontiguousarray(square.reshape(bands, across * height, across * width))


def _write(path: Path, image: Image, scale: int) -> None:
    """A GeoTIFF whose pixels are `scale` PAN pixels wide."""
    transform = Affine.translation(500_000, 5_400_000) @ Affine.scale(0.5 * scale, -0.5 * scale)
    bands, height, width = image.shape
    profile = {"driver": "GTiff", "dtype": "float32", "count": bands, "height": height, "width": width}
    with rasterio.open(path, "w", crs="EPSG:32633", transform=transform, **profile) as dataset:
        dataset.write(image)
