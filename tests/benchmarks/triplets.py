"""Scenes whose truth is known: of a folder of triplets, or generated ones, which need no data.

A GeoTIFF is a sharp image, of which a pair is simulated. Triplets are .npz files with
`ms [C, h, w]`, `pan [H, W]` and `gt [C, H, W]` in one unit (stacks of patches become one mosaic; values of at most 1
are taken for shares of 2047 DN).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from clippan_cli.scene.simulation import SIMULATED_RATIO, simulated_pair
from clippan_cli.scene.synthetic import make_demo_scene

Image = NDArray[np.float32]
PEAK = 2047.0
_DEMO = "demo"
_DEMO_SEEDS, _DEMO_SIDE = (7, 11), 512


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
    with rasterio.open(path) as dataset:
        image, full = dataset.read().astype(np.float32), np.iinfo(dataset.dtypes[0]).max
    height, width = (side // SIMULATED_RATIO * SIMULATED_RATIO for side in image.shape[1:])
    truth = image[:, :height, :width] * np.float32(PEAK) / np.float32(full)
    return Triplet(path.stem, *simulated_pair(truth), truth)


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
