"""What an input may be, and how MS and PAN relate; free of rasterio and numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Extent = Literal["intersection", "pan"]
Nodata = float | Literal["none"] | None
"""The value of pixels without data; "none": no value is; None: as the file declares."""


LARGEST_BLOCK = 256 * 2**20
"""Bytes of pixels that must be decoded together, whatever the memory."""


@dataclass(frozen=True)
class Trust:
    """What the user allows an input to be, and to cost.

    Attributes:
        vrt: a VRT, which can read any other file.
        remote: a file on a server.
        largest_block: bytes of pixels that must be decoded together.
    """

    vrt: bool = False
    remote: bool = False
    largest_block: int = LARGEST_BLOCK


QualityMask = Literal["fill", "saturation", "none"]
"""What the quality rasters of a product mask: fill; fill and saturated pixels; nothing."""


@dataclass(frozen=True)
class QualityBits:
    """A raster on the grid of an image whose bits tell which pixels to leave out.

    Attributes:
        file: the raster, with one band of whole numbers.
        bits: for each band of the image, the bits of which any leaves a pixel out.
        of: what they tell.
    """

    file: str
    bits: tuple[int, ...]
    of: Literal["fill", "saturation"] = "fill"


@dataclass(frozen=True)
class Declared:
    """What a product says of an image in other files than its own.

    Attributes:
        names: of the bands; empty where it says none.
        scales: physical value = DN * scale + offset; empty where it says none.
        offsets: see `scales`.
        nodata: the value of pixels without data.
        quality: rasters that tell which pixels to leave out.
    """

    names: tuple[str, ...] = ()
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    nodata: float | None = None
    quality: tuple[QualityBits, ...] = ()

    def selected(self, bands: Sequence[int]) -> Declared:
        """What is said of some of the bands, counted from 0."""
        names, scales, offsets = (
            tuple(values[band] for band in bands) if values else ()
            for values in (self.names, self.scales, self.offsets)
        )
        quality = tuple(replace(each, bits=tuple(each.bits[band] for band in bands)) for each in self.quality)
        return Declared(names, scales, offsets, self.nodata, quality)  # type: ignore[arg-type]

    def masking(self, mask: QualityMask) -> Declared:
        """With those quality rasters alone that are to mask something."""
        wanted = {"none": (), "fill": ("fill",), "saturation": ("fill", "saturation")}[mask]
        return replace(self, quality=tuple(each for each in self.quality if each.of in wanted))


@dataclass(frozen=True)
class PairOptions:
    """How to read the pair.

    Attributes:
        trust: what may be opened besides local files.
        assume_aligned: where nothing but rounded corners relates MS and PAN, take both to begin at the same corner.
        pan_band: 1-based band of the PAN file, where it has several.
        extent: output grid: the overlap with MS, or all of PAN.
        ms_nodata: value of MS pixels without data.
        pan_nodata: value of PAN pixels without data.
        ms_bands: 1-based bands of MS to read, in this order; empty: all.
        quality_mask: what the quality rasters of a product mask.
    """

    trust: Trust = Trust()
    assume_aligned: bool = False
    pan_band: int | None = None
    extent: Extent = "intersection"
    ms_nodata: Nodata = None
    pan_nodata: Nodata = None
    ms_bands: tuple[int, ...] = ()
    quality_mask: QualityMask = "fill"
