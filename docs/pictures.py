"""Draws the pictures of these pages from the demo, and those of the slider from a pair of Landsat 8.

    clippan demo clippan-demo
    clippan demo clippan-demo --synthetic
    python docs/pictures.py clippan-demo
    python docs/pictures.py MS.tif PAN.tif

The pictures lie in docs/images.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.windows import Window

import clippan

IMAGES = Path(__file__).resolve().parent / "images"
_STEP = 8  # grey values that a PNG tells apart: the eye does not, and the file is half as large
_GAP = 6
_SPOT = Window(205, 225, 100, 100)  # PAN pixels shown close up: a crossing, houses, fields
_RGB = (3, 2, 1)  # bands of the synthetic scene that are red, green and blue
_PLACE = Window(238, 150, 400, 250)  # PAN pixels of the slider: the old town of Pamplona and the river Arga

Picture = NDArray[np.uint8]


def main(folder: Path) -> None:
    """Draw all pictures from the files of a demo."""
    IMAGES.mkdir(exist_ok=True)
    _save(Image.open(folder / "demo.png"), "demo")
    limits = _limits(_read(folder / "truth.tif", _RGB))
    close = {name: _paint(_read(folder / f"{name}.tif", _RGB, _SPOT), limits) for name in ("exp", "hrms", "truth")}
    pan_limits = _limits(_read(folder / "pan.tif", (1,)))
    close_pan = _paint(_read(folder / "pan.tif", (1,), _SPOT), pan_limits)
    _save(_side_by_side([close_pan, close["exp"], close["hrms"], close["truth"]], 3), "close-up")


def draw_slider(ms: Path, pan: Path) -> None:
    """Draw MS and the result at one place, as the slider of docs/README.md shows them; the bands are R, G, B, NIR."""
    with tempfile.TemporaryDirectory() as scratch:
        sharp = Path(scratch) / "sharp.tif"
        clippan.sharpen(ms, pan, sharp, preset="fast", sensor_bands="red,green,blue,nir", quality=False)
        after = _read(sharp, (1, 2, 3), _PLACE)
    before = _read(ms, (1, 2, 3), Window(*(side / 2 for side in _PLACE.flatten())))  # of pixels twice as large
    limits = np.percentile(after, [0.5, 99], axis=(1, 2))[:, :, None, None]
    for image, magnified, name in ((before, 4, "before"), (after, 2, "after")):
        large = _brighter(_paint(image, limits)).repeat(magnified, 0).repeat(magnified, 1)
        Image.fromarray(large).save(IMAGES / f"{name}.webp", quality=80)


def _brighter(picture: Picture) -> Picture:
    """Dark ground is shown lighter, as the eye sees a landscape."""
    return np.asarray(255 * (picture / 255) ** 0.7 + 0.5, np.uint8)


def _read(path: Path, bands: tuple[int, ...], window: Window | None = None) -> NDArray[np.float64]:
    with rasterio.open(path) as dataset:
        return np.asarray(dataset.read(bands, window=window), np.float64)


def _limits(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """The 2nd and 98th percentile of each band, `[2, C, 1, 1]`."""
    return np.asarray(np.percentile(image, [2, 98], axis=(1, 2)))[:, :, None, None]


def _paint(image: NDArray[np.float64], limits: NDArray[np.float64]) -> Picture:
    shown = 255 * np.clip((image - limits[0]) / (limits[1] - limits[0]), 0, 1)
    return np.asarray(np.broadcast_to(shown, (3, *shown.shape[1:])).transpose(1, 2, 0) + 0.5, np.uint8)


def _side_by_side(panels: list[Picture], magnified: int) -> Image.Image:
    large = [panel.repeat(magnified, 0).repeat(magnified, 1) for panel in panels]
    gap = np.full((large[0].shape[0], _GAP, 3), 255, np.uint8)
    return Image.fromarray(np.concatenate([part for panel in large for part in (panel, gap)][:-1], axis=1))


def _save(picture: Image.Image, name: str) -> None:
    rounded = np.rint(np.asarray(picture, np.float64) / _STEP) * _STEP
    Image.fromarray(rounded.clip(0, 255).astype(np.uint8)).save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    given = list(map(Path, sys.argv[1:]))
    if len(given) not in (1, 2):
        sys.exit("usage: python docs/pictures.py DEMO_FOLDER | MS PAN")
    main(*given) if len(given) == 1 else draw_slider(*given)
