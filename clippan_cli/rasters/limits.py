"""Between which values the samples of a pair are learned from: what lies outside is kept, but no statistics see it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from clippan_cli.rasters.source import Mask, Values

_RARE = 0.01  # share of a window above which values outside the range are part of the scene: an island, a snow field
_FEW = 32  # samples that are rare in any window


@dataclass(frozen=True)
class ImageLimits:
    """The values of an image that are learned from.

    Attributes:
        lowest: of each band, or one for all; below it, a sample is an outlier.
        highest: of each band, or one for all; above it, a sample is an outlier.
        saturation: DN from which all bands are saturated; infinite where there is no such level.
    """

    lowest: tuple[float, ...] = (-math.inf,)
    highest: tuple[float, ...] = (math.inf,)
    saturation: float = math.inf

    @property
    def bounded(self) -> bool:
        """Whether any sample can be an outlier."""
        return bool(np.isfinite([*self.lowest, *self.highest]).any())

    def outliers(self, values: Values, valid: Mask) -> Mask:
        """The valid samples far outside the range of their band, `[C, h, w]`; none of a band where they are common.

        Args:
            values: `[C, h, w]`.
            valid: `[C, h, w]`.
        """
        low, high = (np.array(ends, np.float32)[:, None, None] for ends in (self.lowest, self.highest))
        outside = ((values < low) | (values > high)) & valid
        if not outside.any():
            return outside
        rare = outside.sum((1, 2)) <= np.maximum(_FEW, _RARE * valid.sum((1, 2)))
        return np.asarray(outside & rare[:, None, None])


@dataclass(frozen=True)
class Limits:
    """Those of both images of a pair."""

    ms: ImageLimits = ImageLimits()
    pan: ImageLimits = ImageLimits()

    @property
    def saturation(self) -> tuple[float, float]:
        """DN from which (MS, PAN) are saturated; infinite where there is no such level."""
        return self.ms.saturation, self.pan.saturation


NO_LIMITS = Limits()
"""All values are learned from."""
