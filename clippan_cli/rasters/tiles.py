"""Cut a pair into tiles with the halo a method asks for."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from affine import Affine
from rasterio.features import geometry_mask
from shapely.geometry.base import BaseGeometry

from clippan_cli.rasters.limits import Limits
from clippan_cli.rasters.pair import Pair
from clippan_cli.rasters.source import Mask, Values
from clippan_models.contracts import Sampling, Window


@dataclass(frozen=True)
class TileArrays:
    """What `contracts.Tile` holds, as numpy arrays: `ms [C, h, w]`, `pan [1, H, W]`, masks, windows.

    Attributes:
        left_out: outliers of MS and of PAN that the masks leave out; None: outliers are like all others.
    """

    ms: Values
    ms_valid: Mask
    pan: Values
    pan_valid: Mask
    valid: Mask
    ms_window: Window
    pan_window: Window
    core: Window
    left_out: tuple[Mask, Mask] | None = None


@dataclass(frozen=True)
class TileReader:
    """Reads the tiles of a pair.

    Attributes:
        pair: the open pair.
        ms_margin: MS samples to read beyond the PAN window.
        region: polygon in the CRS of the output; pixels whose centre lies outside are invalid. None: everything.
        limits: of the values to learn from; samples outside are invalid, too. None: all values.
    """

    pair: Pair
    ms_margin: int
    region: BaseGeometry | None = None
    limits: Limits | None = None

    def read(self, core: Window, halo: int) -> TileArrays:
        """One tile: its core with `halo` PAN pixels around it.

        Raises:
            InputError: a file cannot be read there.
        """
        pan_window = core.grown(halo)
        ms_window = ms_window_of(pan_window, self.pair.sampling, self.ms_margin)
        ms, ms_valid = self.pair.ms.read(ms_window)
        pan, pan_valid = self.pair.pan.read(pan_window)
        valid = self.pair.valid_under(pan_window, ms_window, _shared(ms_valid)) & pan_valid
        if self.region is not None:
            valid &= self._inside_region(pan_window)
        valid = _of_bands(valid, len(ms))
        return self.learned(TileArrays(ms, ms_valid, pan, pan_valid, valid, ms_window, pan_window, core))

    def learned(self, tile: TileArrays) -> TileArrays:
        """A tile that was read without limits, as it is read within them."""
        limits = self.limits
        if limits is None:
            return tile
        ms_out, pan_out = limits.ms.outliers(tile.ms, tile.ms_valid), limits.pan.outliers(tile.pan, tile.pan_valid)
        ms_kept, pan_kept = ~ms_out & (tile.ms < limits.ms.saturation), ~pan_out & (tile.pan < limits.pan.saturation)
        if not ms_kept.all():
            tile = replace(
                tile,
                ms_valid=tile.ms_valid & ms_kept,
                valid=tile.valid & self.pair.on_pan(tile.pan_window, tile.ms_window, ms_kept),
            )
        if not pan_kept.all():
            valid = _of_bands(_shared(tile.valid) & pan_kept, len(tile.valid))
            tile = replace(tile, pan_valid=tile.pan_valid & pan_kept, valid=valid)
        return replace(tile, left_out=(ms_out, pan_out))

    def _inside_region(self, window: Window) -> Mask:
        transform: Affine = self.pair.transform(window)
        inside = geometry_mask([self.region], (window.height, window.width), transform, invert=True)
        return np.asarray(inside, np.bool_)


def _shared(mask: Mask) -> Mask:
    """The mask of the first band alone, where all have the same: on the PAN grid, those of many bands take much."""
    return mask[:1] if (mask == mask[:1]).all() else mask


def _of_bands(mask: Mask, bands: int) -> Mask:
    """A mask `[C, H, W]` of one that all bands may share; then nothing can be written to it."""
    return mask if len(mask) == bands else np.broadcast_to(mask, (bands, *mask.shape[1:]))


def plan_tiles(window: Window, size: int) -> list[Window]:
    """Cut a window into cores of at most `size` x `size` pixels, row by row."""
    return [
        Window(row, col, min(size, window.row_stop - row), min(size, window.col_stop - col))
        for row in range(window.row, window.row_stop, size)
        for col in range(window.col, window.col_stop, size)
    ]


@lru_cache(maxsize=8)
def spread_tiles(shape: tuple[int, int], size: int, most: int) -> tuple[Window, ...] | None:
    """At most so many whole tiles, spread evenly over an image of more than twice as many; None: look at all."""
    height, width = shape
    rows, cols = height // size, width // size
    if rows * cols <= 2 * most:
        return None
    # A low-discrepancy sequence leaves neither holes nor clusters, and is the same every time.
    golden = np.array([0.7548776662466927, 0.5698402909980532])
    points = (0.5 + np.arange(1, most + 1)[:, None] * golden) % 1.0
    cells = {(int(y * rows), int(x * cols)) for y, x in points}
    return tuple(Window(r * size, c * size, size, size) for r, c in sorted(cells))


def ms_window_of(pan_window: Window, sampling: Sampling, margin: int) -> Window:
    """The MS samples under a PAN window and `margin` more on every side."""
    first_row, stop_row = _span(pan_window.row, pan_window.row_stop, sampling.phase_y[0], sampling.ratio_y)
    first_col, stop_col = _span(pan_window.col, pan_window.col_stop, sampling.phase_x[0], sampling.ratio_x)
    return Window(first_row, first_col, stop_row - first_row, stop_col - first_col).grown(margin)


def _span(start: int, stop: int, phase: float, ratio: float) -> tuple[int, int]:
    return math.floor((start - phase) / ratio), math.ceil((stop - 1 - phase) / ratio) + 1
