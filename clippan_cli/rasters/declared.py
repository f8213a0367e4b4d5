"""An image as its product describes it: names and scales of bands, and rasters that tell which pixels to leave out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from clippan_cli.rasters.grids import GRID_TOLERANCE, corners_apart, same_crs
from clippan_cli.rasters.options import Declared, QualityBits, Trust
from clippan_cli.rasters.source import Mask, RasterSource, Values, open_source
from clippan_models.contracts import Window
from clippan_models.errors import IncompatiblePairError, InputError


class DeclaredSource(RasterSource):
    """The bands of a raster without the pixels that the quality rasters of its product leave out."""

    def __init__(self, source: RasterSource, declared: Declared, flags: tuple[RasterSource, ...]) -> None:
        """Take a raster, what its product says of it, and its open quality rasters."""
        super().__init__(source.names, source.datasets, source.bands, source.alphas, source.notes, source.rule)
        self.declared = declared
        self._flags = flags

    @property
    def masked(self) -> bool:
        """Whether any pixel can be invalid for another reason than its value being nodata."""
        return bool(self._flags) or super().masked

    def selected(self, bands: Sequence[int]) -> RasterSource:
        """The same raster with some of its bands, counted from 0."""
        return DeclaredSource(super().selected(bands), self.declared.selected(bands), self._flags)

    def read(self, window: Window) -> tuple[Values, Mask]:
        """Values `[C, h, w]` float32 and validity `[C, h, w]` of any window.

        Raises:
            InputError: the file cannot be read there.
        """
        values, valid = super().read(window)
        for flags, quality in zip(self._flags, self.declared.quality, strict=True):
            valid &= ~_flagged(flags.read(window)[0], quality.bits)
        return np.where(valid, values, np.float32(0)), valid

    def picture(
        self, bands: Sequence[tuple[int, int]], window: tuple[float, float, float, float], shape: tuple[int, int]
    ) -> Values:
        """Bands as a picture of any size, `[n, h, w]`, NaN outside the raster and where it is invalid."""
        seen = super().picture(bands, window, shape)
        for flags, quality in zip(self._flags, self.declared.quality, strict=True):
            bits = [quality.bits[self.bands.index(band)] for band in bands]
            seen[_flagged(np.nan_to_num(flags.picture(flags.bands, window, shape)), bits)] = np.nan
        return seen


def as_declared(source: RasterSource, declared: Declared, trust: Trust, stack: ExitStack) -> RasterSource:
    """A raster as its product describes it.

    Raises:
        InputError: a quality raster cannot be read.
        IncompatiblePairError: it says something of more or fewer bands, or lies on another grid.
    """
    if declared == Declared():
        return source
    told = (declared.names, declared.scales, declared.offsets, *(quality.bits for quality in declared.quality))
    if any(values and len(values) != source.count for values in told):
        raise IncompatiblePairError(f"{source.name} has {source.count} bands, but its product describes another number")
    flags = tuple(_opened(quality, source, trust, stack) for quality in declared.quality)
    return DeclaredSource(source, declared, flags)


def _opened(quality: QualityBits, source: RasterSource, trust: Trust, stack: ExitStack) -> RasterSource:
    flags = open_source([quality.file], "quality", trust, stack, "none")
    if flags.count != 1 or np.dtype(flags.dtype).kind == "f":
        raise InputError(f"{quality.file} is not a quality raster: it has {flags.count} bands of {flags.dtype}")
    apart = corners_apart(~source.transform @ flags.transform, Affine.identity(), source.width, source.height)
    same_size = (flags.width, flags.height) == (source.width, source.height)
    if not same_size or apart > GRID_TOLERANCE or not same_crs(flags.grid.crs, source.grid.crs):
        raise IncompatiblePairError(
            f"{quality.file} has {flags.width}x{flags.height} pixels on another grid than {source.names[0]} with "
            f"{source.width}x{source.height}; use the files of one delivery, or --quality-mask none"
        )
    return flags


def _flagged(flags: NDArray[Any], bits: Sequence[int]) -> Mask:
    """Where flags `[1, h, w]` have any of the bits of each band, `[C, h, w]`."""
    return np.asarray(flags.astype(np.int64) & np.array(bits, np.int64)[:, None, None] != 0, np.bool_)
