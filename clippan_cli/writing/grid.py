"""The pixels to write, and how large the file becomes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

import numpy as np
from rasterio import Affine
from rasterio.crs import CRS

from clippan_cli.writing.options import DataType, OutputOptions
from clippan_models.contracts import Window
from clippan_models.errors import UsageError

_BIGTIFF_ABOVE_BYTES = 2_000_000_000
_OVERVIEW_SHARE = 1 / 3
_LOSSY = frozenset({"JPEG", "WEBP", "JXL"})


@dataclass(frozen=True)
class OutputGrid:
    """The pixels to write: how many, of which type and where.

    Attributes:
        width: columns.
        height: rows.
        count: bands.
        dtype: numpy name of the data type.
        crs: CRS, or None.
        transform: geotransform; the identity when there is none.
        nodata: value of invalid pixels, or None.
        mask: whether to store a mask of valid pixels in the file; it is one for all bands.
        nbits: bits per sample to store when fewer than the type has, or None.
    """

    width: int
    height: int
    count: int
    dtype: DataType
    crs: CRS | None = None
    transform: Affine = Affine.identity()  # noqa: RUF009 - immutable
    nodata: float | None = None
    mask: bool = False
    nbits: int | None = None

    def __post_init__(self) -> None:
        if min(self.width, self.height, self.count) < 1:
            raise UsageError(f"an image of {self.width} x {self.height} pixels and {self.count} bands is empty")
        if self.dtype not in get_args(DataType):
            raise UsageError(f"unknown data type '{self.dtype}'; choose one of: {', '.join(get_args(DataType))}")
        if self.nodata is not None and not holds(self.dtype, self.nodata):
            raise UsageError(f"nodata {self.nodata:g} is not a value of {self.dtype}; choose another one")
        if self.nbits is not None:
            self._refuse_odd_bits(self.nbits)

    @property
    def raw_bytes(self) -> int:
        """Size of the uncompressed pixels, mask included."""
        pixels = self.width * self.height
        return pixels * self.count * np.dtype(self.dtype).itemsize + (pixels // 8 if self.mask else 0)

    def _refuse_odd_bits(self, nbits: int) -> None:
        if self.dtype not in ("uint8", "uint16") or not 1 <= nbits <= np.iinfo(self.dtype).bits:
            raise UsageError(f"{self.dtype} samples cannot be stored in {nbits} bits")
        if self.nodata is not None and self.nodata >= 2**nbits:
            raise UsageError(f"nodata {self.nodata:g} does not fit {nbits} bits; choose another one")

    @property
    def whole(self) -> Window:
        """The window of all pixels."""
        return Window(0, 0, self.height, self.width)


def estimate_disk_bytes(grid: OutputGrid, options: OutputOptions) -> int:
    """Bytes that writing needs at its peak in the folder of the output, on the hopeful side.

    The raw temporary file of a COG is exact; compressed parts are taken at half their size (satellite images keep
    50 to 70 % under lossless compression), at a tenth when lossy. What does not fit by this, does not fit.
    """
    share = {"NONE": 1.0}.get(options.compression, 0.1 if options.compression in _LOSSY else 0.5)
    final = grid.raw_bytes * share
    if options.driver == "gtiff":
        return int(final)
    # GDAL first builds the overviews in a file of their own, then copies them behind the image.
    overviews = final * _OVERVIEW_SHARE
    return int(grid.raw_bytes + overviews + final + overviews)


def needs_bigtiff(grid: OutputGrid) -> bool:
    """Whether the file might pass the limits of classic TIFF, overviews included.

    GDAL decides this too late on its own when it cannot foresee what compression saves.
    """
    return grid.raw_bytes * (1 + _OVERVIEW_SHARE) > _BIGTIFF_ABOVE_BYTES


def holds(dtype: str, value: float) -> bool:
    """Whether a data type has a value."""
    if np.dtype(dtype).kind == "f":
        return not math.isfinite(value) or abs(value) <= float(np.finfo(dtype).max)
    limits = np.iinfo(dtype)
    return float(value).is_integer() and limits.min <= value <= limits.max
