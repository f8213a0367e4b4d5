"""Whether two rasters lie on one grid: tolerances are in pixels, whatever the unit of the CRS."""

from __future__ import annotations

from typing import Any

import pyproj
from affine import Affine

GRID_TOLERANCE = 0.05
"""Pixels that the corners of two rasters on one grid may be apart: files round geotransforms."""


def corners_apart(one: Affine, other: Affine, width: int, height: int) -> float:
    """How far two maps of a raster take its corners apart along an axis, at most; in the unit that they lead to.

    Args:
        one: takes pixels of the raster, in corner coordinates, somewhere.
        other: takes them to the same kind of place.
        width: columns of the raster.
        height: rows.
    """
    corners = [(x, y) for x in (0, width) for y in (0, height)]
    return max(abs(a - b) for at in corners for a, b in zip(one @ at, other @ at, strict=True))


def same_crs(one: Any, other: Any) -> bool:
    """Whether two CRS are the same, however they are written (both may be missing)."""
    if one is None or other is None:
        return one is other
    if one == other:
        return True
    return pyproj.CRS.from_wkt(one.to_wkt()).equals(pyproj.CRS.from_wkt(other.to_wkt()), ignore_axis_order=True)
