"""How the output is encoded; free of rasterio and numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from clippan_models.errors import UsageError

Driver = Literal["cog", "gtiff"]
DataType = Literal["uint8", "uint16", "int16", "float32"]

_BLOCK_SIZES = frozenset({"BLOCKSIZE", "BLOCKXSIZE", "BLOCKYSIZE"})
_LARGEST_BLOCK = 4096


@dataclass(frozen=True)
class OutputOptions:
    """How the output is encoded.

    Attributes:
        driver: "cog" (Cloud Optimized GeoTIFF, with overviews) or "gtiff" (tiled GeoTIFF without).
        compress: name of a compression as GDAL knows it, in any case, or "none".
        creation_options: GDAL creation options of the user; they win over everything chosen here.
        overwrite: whether an existing file may be replaced.
        threads: threads to compress and to verify with.
        dtype: of the pixels; None: that of MS.
        scale_to: what `scale_from` becomes, linearly; values beyond are clipped. None: values stay as they are.
        scale_from: None: the range of values by the bits that MS or its sensor has.
    """

    driver: Driver = "cog"
    compress: str = "deflate"
    creation_options: tuple[tuple[str, str], ...] = ()
    overwrite: bool = False
    threads: int = 1
    dtype: DataType | None = None
    scale_to: tuple[float, float] | None = None
    scale_from: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.driver not in get_args(Driver):
            raise UsageError(f"unknown output format '{self.driver}'; choose one of: {', '.join(get_args(Driver))}")
        if self.dtype is not None and self.dtype not in get_args(DataType):
            raise UsageError(f"{self.dtype}: choose one of {', '.join(get_args(DataType))}", "dtype")
        if self.scale_from is not None and self.scale_to is None:
            raise UsageError("--scale-from needs --scale-to")
        if self.threads < 1:
            raise UsageError(f"cannot write with {self.threads} threads; at least 1 is needed")
        for key in _BLOCK_SIZES & self.user_options.keys():
            # GDAL aborts the process at 0, and at large ones takes all memory that there is
            value = self.user_options[key]
            if not (value.isascii() and value.isdecimal() and 16 <= int(value) <= _LARGEST_BLOCK):
                raise UsageError(f"{key}={value}: a block has 16 to {_LARGEST_BLOCK} pixels a side", "co")

    @property
    def user_options(self) -> dict[str, str]:
        """The creation options of the user by upper-case name."""
        return {key.upper(): value for key, value in self.creation_options}

    @property
    def nbits(self) -> int | None:
        """The bits of a sample that the user wants; None: those of MS."""
        value = self.user_options.get("NBITS", "")
        return int(value) if value.isascii() and value.isdecimal() else None

    @property
    def compression(self) -> str:
        """The compression that will be used, in upper case."""
        return self.user_options.get("COMPRESS", self.compress).upper()
