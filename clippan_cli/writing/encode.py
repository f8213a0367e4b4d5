"""From fused float values to the pixels of the file: rounding, clipping, and nodata that never eats a valid pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from clippan_cli.rasters.nodata import is_nodata, nodata_tolerance
from clippan_cli.rasters.pair import Pair
from clippan_cli.rasters.source import Mask, Values
from clippan_cli.writing.options import DataType


@dataclass(frozen=True)
class Scaling:
    """How values become those of the file, linearly.

    Attributes:
        source: two values.
        target: what they become; what lies beyond is clipped.
    """

    source: tuple[float, float]
    target: tuple[float, float]

    @property
    def factor(self) -> float:
        """Steps of the target per step of the source."""
        return (self.target[1] - self.target[0]) / (self.source[1] - self.source[0])

    def scaled(self, values: Values) -> Values:
        """Values of the file."""
        moved = self.target[0] + (values.astype(np.float64) - self.source[0]) * self.factor
        return np.clip(moved, *self.target).astype(np.float32)

    def physical(self, scale: float, offset: float) -> tuple[float, float]:
        """The scale and the offset of values of the file, from those of the source."""
        return scale / self.factor, offset + scale * (self.source[0] - self.target[0] / self.factor)


@dataclass(frozen=True)
class PixelFormat:
    """How pixels are stored.

    Attributes:
        dtype: numpy name.
        nodata: value of invalid pixels, or None.
        mask: whether the file has a mask band instead.
        nbits: bits in use, where fewer than the type has.
        scaling: of the values; None: they stay as they are.
    """

    dtype: DataType
    nodata: float | None
    mask: bool
    nbits: int | None
    scaling: Scaling | None = None

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest value that a pixel can have."""
        if self.dtype == "float32":
            return -math.inf, math.inf
        info = np.iinfo(self.dtype)
        top = int(info.max) if self.nbits is None else min(int(info.max), 2**self.nbits - 1)
        return float(info.min), float(top)

    def encode(self, fused: Values, valid: Mask) -> NDArray[Any]:
        """Values `[C, h, w]` as they are stored; invalid ones become nodata, valid ones never do."""
        low, high = self.limits
        if self.scaling is not None:
            fused = self.scaling.scaled(fused)
        if self.dtype == "float32":
            pixels = fused.astype(np.float32, copy=True)
        else:
            rounded = np.rint(fused)
            pixels = np.clip(rounded, low, high, out=rounded).astype(self.dtype)
        if self.nodata is not None and not math.isnan(self.nodata):
            clash = is_nodata(pixels, self.nodata) & valid
            if clash.any():
                pixels[clash] = self._beside_nodata()
        if not valid.all():
            pixels[~valid] = 0 if self.nodata is None else self.nodata
        return pixels

    def _beside_nodata(self) -> float:
        """A value beside nodata, towards the inside of the range, that no one takes for nodata."""
        nodata = cast(float, self.nodata)
        if self.dtype == "float32":
            if not nodata:
                return float(np.nextafter(np.float32(0), np.float32(1)))
            return nodata - math.copysign(2 * nodata_tolerance(nodata), nodata)
        return nodata + 1 if nodata + 1 <= self.limits[1] else nodata - 1


def choose_format(
    pair: Pair, *, partial: bool, nbits: int | None, dtype: DataType | None = None, scaling: Scaling | None = None
) -> PixelFormat:
    """The pixel format of the fused image: that of MS, unless the user wants another.

    Args:
        pair: the open files.
        partial: part of the output lies outside MS or the region.
        nbits: bits in use.
        dtype: of the pixels, where the user has chosen it.
        scaling: of the values, where the user wants it.
    """
    dtype = dtype or cast(DataType, "float32" if pair.ms.dtype == "float64" else pair.ms.dtype)
    nodata = next((n for n in pair.ms.nodata if n is not None and _representable(n, dtype, nbits)), None)
    if nodata is None and dtype == "float32":
        nodata = math.nan
    pan_hides = pair.pan.masked or any(n is not None for n in pair.pan.nodata)
    hidden = partial or pair.ms.masked or pan_hides or any(n is not None for n in pair.ms.nodata)
    return PixelFormat(dtype, nodata, nodata is None and hidden, nbits if dtype != "float32" else None, scaling)


def _representable(value: float, dtype: str, nbits: int | None) -> bool:
    if dtype == "float32":
        return math.isnan(value) or bool(np.isfinite(np.float32(value)))
    info = np.iinfo(dtype)
    top = info.max if nbits is None else min(info.max, 2**nbits - 1)
    return math.isfinite(value) and value == int(value) and info.min <= value <= top
