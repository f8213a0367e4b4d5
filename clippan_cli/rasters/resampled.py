"""MS that was resampled to a finer grid by nearest neighbour, so that each sample fills a block of pixels.

Archives hold such files. Read as they are, the edges of the blocks would pass for detail, and the ratio to PAN would be
too small; so the samples themselves are read, one pixel each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from clippan_cli.rasters.source import Mask, RasterSource, Values
from clippan_models.contracts import Window

_SIDE, _COUNT = 96, 4  # windows that are looked at: their side, and how many each way
_LEAST_EDGES = 20  # edges of blocks each way: fewer may lie on a lattice by chance


@dataclass(frozen=True)
class Blocks:
    """Blocks of pixels that hold one sample each.

    Attributes:
        rows: pixels down.
        cols: pixels across.
        top: row of the first block; not below -`rows` + 1, as the raster may begin within a block.
        left: column of the first block, likewise.
    """

    rows: int
    cols: int
    top: int
    left: int


class SampleSource(RasterSource):
    """The samples of a raster that was resampled by nearest neighbour, one pixel each.

    A sample is valid where all of its pixels are. Datasets, nodata and everything beside the pixels are those of the
    raster itself; a note says so.
    """

    def __init__(self, source: RasterSource, blocks: Blocks) -> None:
        """Take the raster and its blocks."""
        height = -(-(source.height - blocks.top) // blocks.rows)
        width = -(-(source.width - blocks.left) // blocks.cols)
        note = (
            f"MS was resampled by nearest neighbour: each sample fills {blocks.cols}x{blocks.rows} pixels; "
            f"it is read as {width}x{height} samples"
        )
        super().__init__(source.names, source.datasets, source.bands, source.alphas, (*source.notes, note), source.rule)
        self._source = source
        self.declared = source.declared
        self._blocks = blocks
        self.height, self.width = height, width

    @property
    def masked(self) -> bool:
        """Whether any pixel can be invalid for another reason than its value being nodata."""
        return self._source.masked

    @property
    def in_file(self) -> Affine:
        """From these pixels to those of the file."""
        b = self._blocks
        return Affine.translation(b.left, b.top) @ Affine.scale(b.cols, b.rows)

    def selected(self, bands: Sequence[int]) -> RasterSource:
        """The same samples of some of the bands, counted from 0."""
        return SampleSource(self._source.selected(bands), self._blocks)

    def read(self, window: Window) -> tuple[Values, Mask]:
        """Values `[C, h, w]` float32 and validity `[C, h, w]` of any window of samples.

        Raises:
            InputError: the file cannot be read there.
        """
        b = self._blocks
        place = Window(
            b.top + b.rows * window.row, b.left + b.cols * window.col, b.rows * window.height, b.cols * window.width
        )
        values, valid = self._source.read(place)
        rows, cols = (
            (np.arange(first, first + count) >= 0) & (np.arange(first, first + count) < limit)
            for first, count, limit in (
                (place.row, place.height, self._source.height),
                (place.col, place.width, self._source.width),
            )
        )
        on_raster = rows[:, None] & cols
        shape = (len(values), window.height, b.rows, window.width, b.cols)
        good = np.logical_and((valid | ~on_raster).reshape(shape).all((2, 4)), valid.reshape(shape).any((2, 4)))
        # all pixels of a block are equal, so that the largest of those on the raster is any of them
        samples = np.where(valid, values, np.float32(-np.inf)).reshape(shape).max((2, 4))
        return np.where(good, samples, np.float32(0)), good

    def picture(
        self, bands: Sequence[tuple[int, int]], window: tuple[float, float, float, float], shape: tuple[int, int]
    ) -> Values:
        """Bands as a picture of any size, `[n, h, w]`, NaN outside the raster and where it is invalid."""
        b = self._blocks
        col, row, width, height = window
        place = (b.left + b.cols * col, b.top + b.rows * row, b.cols * width, b.rows * height)
        return self._source.picture(bands, place, shape)


def samples_of(source: RasterSource) -> RasterSource:
    """The samples of MS where it was resampled by nearest neighbour, else MS itself.

    Raises:
        InputError: the file cannot be read.
    """
    blocks = _blocks_of(source)
    return source if blocks is None else SampleSource(source, blocks)


def _blocks_of(source: RasterSource) -> Blocks | None:
    tops, lefts = (
        np.unique(np.linspace(0, max(0, size - _SIDE), _COUNT).astype(int)) for size in (source.height, source.width)
    )
    down, across = _Edges(), _Edges()
    for top in tops:
        for left in lefts:
            values, valid = source.read(Window(int(top), int(left), _SIDE, _SIDE))
            down.look(values, valid, int(top))
            across.look(values.swapaxes(1, 2), valid.swapaxes(1, 2), int(left))
    rows, cols = down.spacing, across.spacing
    if rows is None or cols is None:
        return None
    return Blocks(rows, cols, down.first(rows), across.first(cols))


class _Edges:
    """Rows of a raster in which anything differs from the row above."""

    def __init__(self) -> None:
        self._found: NDArray[np.int64] = np.zeros(0, np.int64)

    def look(self, values: Values, valid: Mask, first: int) -> None:
        """Look at a window `[C, h, w]` whose first row is that number."""
        differs = (values[:, 1:] != values[:, :-1]) & valid[:, 1:] & valid[:, :-1]
        rows = np.flatnonzero(differs.any((0, 2))) + first + 1
        self._found = np.union1d(self._found, rows)

    @property
    def spacing(self) -> int | None:
        """What all distances between edges are multiples of, where that is more than one pixel."""
        if len(self._found) < _LEAST_EDGES:
            return None
        spacing = int(np.gcd.reduce(np.diff(self._found)))
        return spacing if spacing > 1 else None

    def first(self, spacing: int) -> int:
        """Where the first block begins, -`spacing` + 1 .. 0."""
        return -int(-self._found[0] % spacing)
