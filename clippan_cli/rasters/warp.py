"""A raster seen on another grid: MS that is rotated or mirrored against PAN, or in another CRS.

The masks decide here as everywhere: interpolation takes valid pixels only, and a position is valid where the pixel that
holds it is. GDAL's warper follows other rules (a NaN spreads, one nodata serves all bands, tags are lost).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from clippan_cli.rasters.source import Mask, RasterSource, Values
from clippan_models.contracts import Window
from clippan_models.ops.fill import fill_invalid

Coordinates = NDArray[np.float64]
Mapper = Callable[[Coordinates, Coordinates], tuple[Coordinates, Coordinates]]
"""Takes x and y of one place to those of another, elementwise; what has no image there becomes infinite or NaN."""

_LOBES = 3  # pixels on either side that the Lanczos kernel reaches
_FILLED = 3  # pixels that valid values are carried into invalid ones, for the kernel to find
_LATTICE = 8  # pixels between places that are projected exactly; between them a projection is straight
_NUDGED = Affine.translation(1e-6, 1e-6)
"""PAN centres a little further right and down: one on the edge of two MS pixels is held by the one after it."""


class WarpedSource(RasterSource):
    """The bands of a raster on a grid parallel to PAN's.

    Datasets, nodata and everything beside the pixels are those of the raster itself.
    """

    def __init__(self, source: RasterSource, to_source: Mapper, place: Affine, shape: tuple[int, int]) -> None:
        """Lay a grid over a raster.

        Args:
            source: the raster.
            to_source: from PAN to pixels of the raster, both in corner coordinates.
            place: from pixels of the new grid to PAN, both in corner coordinates.
            shape: rows and columns of the new grid.
        """
        super().__init__(source.names, source.datasets, source.bands, source.alphas, source.notes, source.rule)
        self._source = source
        self.declared = source.declared
        self._to_source = to_source
        self._place = place
        self.height, self.width = shape

    @property
    def masked(self) -> bool:
        """Whether any pixel of the raster can be invalid for another reason than its value being nodata."""
        return self._source.masked

    def moved(self, down: float, right: float) -> WarpedSource:
        """The same pixels, so many PAN pixels further down and to the right."""

        def to_source(x: Coordinates, y: Coordinates) -> tuple[Coordinates, Coordinates]:
            return self._to_source(x - right, y - down)

        place = Affine.translation(right, down) @ self._place
        return WarpedSource(self._source, to_source, place, (self.height, self.width))

    def read(self, window: Window) -> tuple[Values, Mask]:
        """Values `[C, h, w]` float32 and validity `[C, h, w]` of any window of the new grid.

        Raises:
            InputError: the file cannot be read there.
        """
        x, y = _positions(self._to_source, window, self._place)
        around = self._around(x, y, _LOBES + _FILLED + 1)
        values, valid = self._source.read(around)
        good = _held(valid, around, x, y)
        if not good.any():
            return np.zeros(good.shape, np.float32), good
        x, y = (np.where(good.any(0), v, 0.0) for v in (x - 0.5 - around.col, y - 0.5 - around.row))
        seen = _interpolate(fill_invalid(values, valid, _FILLED), x, y)
        return np.where(good, seen, np.float32(0)), good

    def picture(
        self, bands: Sequence[tuple[int, int]], window: tuple[float, float, float, float], shape: tuple[int, int]
    ) -> Values:
        """Bands as a picture of any size, `[n, h, w]`, NaN outside the raster and where it is invalid."""
        left, top, width, height = window
        rows = top + (np.arange(shape[0]) + 0.5) * height / shape[0]
        cols = left + (np.arange(shape[1]) + 0.5) * width / shape[1]
        x, y = self._to_source(*_placed(self._place, cols, rows))
        on = self._on_raster(x, y)
        out = np.full((len(bands), *shape), np.nan, np.float32)
        if not on.any():
            return out
        around = self._around(x, y, 0)
        small = math.ceil(around.height * shape[0] / height), math.ceil(around.width * shape[1] / width)
        part = (float(around.col), float(around.row), float(around.width), float(around.height))
        seen = self._source.picture(bands, part, small)
        down = ((y[on] - around.row) * small[0] / around.height).astype(np.int64)
        right = ((x[on] - around.col) * small[1] / around.width).astype(np.int64)
        out[:, on] = seen[:, down, right]
        return out

    def valid_under(self, pan_window: Window) -> Mask:
        """Whether the pixel of the raster that holds the centre of each PAN pixel is valid, `[C, h, w]`.

        Raises:
            InputError: the file cannot be read there.
        """
        x, y = _positions(self._to_source, pan_window, _NUDGED)
        around = self._around(x, y, 1)
        return _held(self._source.read(around)[1], around, x, y)

    def covers(self, pan_window: Window) -> bool:
        """Whether all PAN pixels of a window have their centre on the raster, judged by the rim of the window."""
        w = pan_window
        rows = [Window(row, w.col, 1, w.width) for row in (w.row, w.row_stop - 1)]
        cols = [Window(w.row, col, w.height, 1) for col in (w.col, w.col_stop - 1)]
        rim = (_positions(self._to_source, strip, _NUDGED) for strip in rows + cols)
        return all(bool(self._on_raster(x, y).all()) for x, y in rim)

    def _on_raster(self, x: Coordinates, y: Coordinates) -> Mask:
        inside = (x >= 0) & (x < self._source.width) & (y >= 0) & (y < self._source.height)
        return np.asarray(inside, np.bool_)

    def _around(self, x: Coordinates, y: Coordinates, margin: int) -> Window:
        """The window of the raster that holds all places that lie on it, and a margin."""
        on = self._on_raster(x, y)
        if not on.any():
            return Window(0, 0, 0, 0)
        left, right = (math.floor(v) for v in (x[on].min(), x[on].max()))
        top, bottom = (math.floor(v) for v in (y[on].min(), y[on].max()))
        return Window(top, left, bottom - top + 1, right - left + 1).grown(margin)


def _positions(mapper: Mapper, window: Window, place: Affine) -> tuple[Coordinates, Coordinates]:
    """Where a mapper takes the centres of the pixels of a window, `[h, w]` each, whatever window they are in."""
    rows, above, down = _lattice(window.row, window.height)
    cols, left, right = _lattice(window.col, window.width)
    x, y = _placed(place, cols, rows)
    with np.errstate(invalid="ignore"):  # an infinite corner makes its surroundings NaN: they lie on no raster

        def between(corners: Coordinates) -> Coordinates:
            lines = corners[above] * (1 - down)[:, None] + corners[above + 1] * down[:, None]
            return np.asarray(lines[:, left] * (1 - right) + lines[:, left + 1] * right, np.float64)

        to_x, to_y = mapper(x, y)
        return between(to_x), between(to_y)


def _placed(place: Affine, cols: Coordinates, rows: Coordinates) -> tuple[Coordinates, Coordinates]:
    """Where an affine map takes each pair of a column and a row, `[len(rows), len(cols)]` each."""
    y, x = np.meshgrid(rows, cols, indexing="ij")
    return place.a * x + place.b * y + place.c, place.d * x + place.e * y + place.f


def _lattice(first: int, count: int) -> tuple[Coordinates, NDArray[np.int64], Coordinates]:
    """Corner coordinates of the lattice around pixel centres; the line before each centre, and how far beyond it."""
    start = first // _LATTICE
    cells = (first + count - 1) // _LATTICE - start + 2
    lines = (np.arange(start, start + cells) * _LATTICE).astype(np.float64)
    centres = np.arange(first, first + count) + 0.5
    before = np.floor(centres / _LATTICE).astype(np.int64) - start
    return lines, before, (centres - lines[before]) / _LATTICE


def _held(valid: Mask, around: Window, x: Coordinates, y: Coordinates) -> Mask:
    """Validity `[C, h, w]` of the pixel that holds each place; False where none does."""
    if around.pixels == 0:
        return np.zeros((valid.shape[0], *x.shape), np.bool_)
    with np.errstate(invalid="ignore"):
        col, row = np.floor(x) - around.col, np.floor(y) - around.row
        inside = (col >= 0) & (col < around.width) & (row >= 0) & (row < around.height)
    at = np.where(inside, row, 0).astype(np.int64), np.where(inside, col, 0).astype(np.int64)
    return np.asarray(valid[:, *at] & inside, np.bool_)


def _interpolate(image: Values, x: Coordinates, y: Coordinates) -> Values:
    """Lanczos interpolation of `[C, h, w]` at places `[...]` given in centre coordinates; edges are repeated."""
    (col, across), (row, down) = _taps(x), _taps(y)
    height, width = image.shape[1:]
    pixels = image.reshape(len(image), -1)
    out = np.zeros((len(image), *x.shape), np.float32)
    for i, weight_y in enumerate(down):
        line = (row + i).clip(0, height - 1) * width
        for j, weight_x in enumerate(across):
            out += pixels[:, line + (col + j).clip(0, width - 1)] * (weight_y * weight_x)
    return out


def _taps(position: Coordinates) -> tuple[NDArray[np.int64], Values]:
    """First pixel that counts, and the weights of it and those that follow, `[2 * _LOBES, ...]`; they sum to one.

    A Lanczos kernel bends a straight line by up to 2 % of its slope. These values will be interpolated once more, so
    here the two middle weights make up for that.
    """
    first = np.floor(position) - _LOBES + 1
    offset = position - first - np.arange(2 * _LOBES).reshape(-1, *[1] * position.ndim)
    weight = np.sinc(offset) * np.sinc(offset / _LOBES) * (np.abs(offset) < _LOBES)
    weight /= weight.sum(0)
    bend = (weight * offset).sum(0)
    weight[_LOBES - 1] -= bend
    weight[_LOBES] += bend
    return first.astype(np.int64), np.asarray(weight, np.float32)
