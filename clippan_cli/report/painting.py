"""Pictures of a scene: PAN and MS of a window at any size, and how their values become grey levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clippan_cli.pages.content import Pixels
from clippan_cli.rasters.source import Values
from clippan_cli.scene.scene import Scene
from clippan_models.contracts import Window

PAGE_PERCENTILES = (1.0, 98.5)
PAGE_GAMMA = 1.5  # linear pictures of cities are dark: a few roofs take the whole range

Image = NDArray[np.floating[Any]]
"""Values, `[bands, h, w]`, NaN where invalid."""


@dataclass(frozen=True)
class Stretch:
    """From values to grey levels.

    Attributes:
        low: the value of each band that is black.
        high: the value of each band that is white.
        gamma: above 1, dark values become brighter.
        invalid: the grey level of NaN.
    """

    low: NDArray[np.floating[Any]]
    high: NDArray[np.floating[Any]]
    gamma: float = 1.0
    invalid: int = 0

    @classmethod
    def between(cls, percentiles: tuple[float, float], image: Image, gamma: float = 1.0, invalid: int = 0) -> Stretch:
        """Black and white at two percentiles of the valid values of each band."""
        flat = image.reshape(len(image), -1)
        if not np.isfinite(flat).any():
            return cls(np.zeros(len(image)), np.ones(len(image)), gamma, invalid)
        low, high = np.nanpercentile(flat, percentiles, axis=1)
        return cls(low, np.where(high > low, high, low + 1), gamma, invalid)

    def of_bands(self, bands: Sequence[int]) -> Stretch:
        """The stretch of some of the bands, 0-based, in this order."""
        return Stretch(self.low[list(bands)], self.high[list(bands)], self.gamma, self.invalid)

    def paint(self, image: Image) -> Pixels:
        """An image of 1 or 3 bands as a picture."""
        shown = np.clip((image - self.low[:, None, None]) / (self.high - self.low)[:, None, None], 0, 1)
        shown = np.where(np.isfinite(shown), 255 * shown ** (1 / self.gamma), self.invalid)
        rgb = np.repeat(shown, 3, 0) if len(shown) == 1 else shown
        return np.asarray(rgb.transpose(1, 2, 0) + 0.5, np.uint8)


def page_stretch(image: Image) -> Stretch:
    """The stretch of the pictures on a page."""
    return Stretch.between(PAGE_PERCENTILES, image, PAGE_GAMMA, invalid=128)


def pan_picture(scene: Scene, window: Window, shape: tuple[int, int]) -> Values:
    """PAN in a window of its grid as a picture of `shape`, `[1, h, w]`, NaN where invalid."""
    return scene.pair.pan.picture(scene.pair.pan.bands[:1], as_floats(window), shape)


def ms_picture(scene: Scene, window: Window, shape: tuple[int, int], bands: Sequence[tuple[int, int]]) -> Values:
    """MS in a window of the PAN grid as a picture of `shape`, without interpolation, `[bands, h, w]`.

    Args:
        scene: the pair.
        window: of the PAN grid.
        shape: rows and columns of the picture.
        bands: as in `RasterSource.bands`.
    """
    left, top, _, _ = scene.pair.ms_footprint()
    s = scene.nominal.sampling
    position = (window.col - left) / s.ratio_x, (window.row - top) / s.ratio_y
    return scene.pair.ms.picture(bands, (*position, window.width / s.ratio_x, window.height / s.ratio_y), shape)


def as_floats(window: Window) -> tuple[float, float, float, float]:
    """Column, row, width and height, as `RasterSource.picture` takes them."""
    return float(window.col), float(window.row), float(window.width), float(window.height)
