"""What an input may be, and how MS and PAN relate; free of rasterio and numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Extent = Literal["intersection", "pan"]
Nodata = float | Literal["none"] | None
"""The value of pixels without data; "none": no value is; None: as the file declares."""


@dataclass(frozen=True)
class Trust:
    """What the user allows an input to be besides a local raster file.

    Attributes:
        vrt: a VRT, which can read any other file.
        remote: a file on a server.
    """

    vrt: bool = False
    remote: bool = False


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
    """

    trust: Trust = Trust()
    assume_aligned: bool = False
    pan_band: int | None = None
    extent: Extent = "intersection"
    ms_nodata: Nodata = None
    pan_nodata: Nodata = None
    ms_bands: tuple[int, ...] = ()
