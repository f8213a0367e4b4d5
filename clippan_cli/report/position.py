"""Where a window lies on the map, in words, and a bar that shows its scale."""

from __future__ import annotations

import math

from clippan_cli.pages.content import ScaleBar
from clippan_cli.rasters.footprint import pixel_metres
from clippan_cli.rasters.pair import Pair
from clippan_cli.rasters.relating import crs_name
from clippan_models.contracts import Window
from clippan_models.errors import InputError

_LONGEST = 0.4  # of the width of a picture


def describe_place(pair: Pair, window: Window) -> str:
    """Size and position of a window of the PAN grid: in pixels, and its centre on the map where PAN has one."""
    pixels = f"{window.width} x {window.height} PAN pixels from column {window.col}, row {window.row}"
    grid = pair.transform(window)
    if pair.crs is None:
        return pixels
    x, y = grid @ (window.width / 2, window.height / 2)
    digits = max(0, 1 - math.floor(math.log10(math.hypot(grid.a, grid.d))))
    x_name, y_name = ("longitude", "latitude") if pair.crs.is_geographic else ("x", "y")
    return f"{pixels}; centre at {x_name} {x:.{digits}f}, {y_name} {y:.{digits}f} ({crs_name(pair.crs)})"


def scale_bar(pair: Pair, window: Window) -> ScaleBar:
    """A bar for a picture of a window of the PAN grid: in metres, or in PAN pixels where it is not on the map."""
    size = _pixel_size(pair, window)
    width = window.width * (size or 1.0)
    longest = _LONGEST * width
    decade = 10 ** math.floor(math.log10(longest))
    length = next(factor * decade for factor in (5, 2, 1) if factor * decade <= longest * (1 + 1e-9))
    if size is None:
        text = f"{length:g} PAN pixels"
    else:
        text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    return ScaleBar(text, length / width)


def _pixel_size(pair: Pair, window: Window) -> float | None:
    if pair.crs is None:
        return None
    try:
        return pixel_metres(pair.transform(window), window.width, window.height, pair.crs)
    except InputError:
        return None
