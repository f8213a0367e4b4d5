"""Images as they are measured: without what a few wild pixels spoil."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from clippan_cli.rasters.limits import ImageLimits, Limits
from clippan_cli.rasters.source import Mask, Values
from clippan_cli.scene.scene import Scene
from clippan_models.contracts import Window


class FusedImage(Protocol):
    """A fused image, read by window from a file or made on the spot."""

    @property
    def name(self) -> str:
        """What to call it."""

    @property
    def count(self) -> int:
        """Number of bands."""

    @property
    def height(self) -> int:
        """Rows."""

    @property
    def width(self) -> int:
        """Columns."""

    def read(self, window: Window) -> tuple[Values, Mask]:
        """Values and validity `[C, h, w]` of any window; 0 and False beyond the image."""


class Undisturbed:
    """An image of a pair without its outliers and what lies around them."""

    def __init__(self, source: FusedImage, limits: ImageLimits, reach: int) -> None:
        """Leave out so many pixels around each outlier."""
        self._source, self._limits, self._reach = source, limits, reach
        self.name, self.count, self.height, self.width = source.name, source.count, source.height, source.width

    def read(self, window: Window) -> tuple[Values, Mask]:
        """Values and validity `[C, h, w]` of any window."""
        values, valid, near = self._look(window)
        return values, valid & ~near

    def near_outliers(self, window: Window) -> Mask:
        """What is left out of a window, `[h, w]`."""
        return self._look(window)[2]

    def _look(self, window: Window) -> tuple[Values, Mask, Mask]:
        wide = window.grown(self._reach if self._limits.bounded else 0)
        values, valid = self._source.read(wide)
        near = np.asarray(self._limits.outliers(values, valid).any(0), np.bool_)
        if near.any():
            from scipy.ndimage import maximum_filter  # takes a while to import

            near = np.asarray(maximum_filter(near, 2 * self._reach + 1, mode="constant"), np.bool_)
        inner = window.inside(wide)
        return values[:, *inner], valid[:, *inner], near[inner]


def undisturbed(scene: Scene, limits: Limits, reach: int = 0) -> tuple[Undisturbed, Undisturbed]:
    """MS and PAN without their outliers, and so many MS pixels around each."""
    wide = round(reach * scene.nominal.sampling.ratio)
    return Undisturbed(scene.pair.ms, limits.ms, reach), Undisturbed(scene.pair.pan, limits.pan, wide)
