"""An MS and a PAN raster that belong together: opened, compared, and where they overlap."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from clippan_cli.rasters.declared import as_declared
from clippan_cli.rasters.names import public_name
from clippan_cli.rasters.opening import files_of
from clippan_cli.rasters.options import Declared, Extent, Nodata, PairOptions
from clippan_cli.rasters.relating import related
from clippan_cli.rasters.resampled import samples_of
from clippan_cli.rasters.rounded import Rounding
from clippan_cli.rasters.source import Mask, RasterSource, open_source
from clippan_cli.rasters.stamps import Stamps
from clippan_cli.rasters.warp import WarpedSource
from clippan_cli.running.warnings import ROUNDED_CORNERS
from clippan_models.contracts import Sampling, Window
from clippan_models.errors import IncompatiblePairError, UsageError

MAX_RATIO = 16.0
_MIN_RATIO = 1.05
_SNAP = 1e-6  # PAN pixels: float noise in geotransforms must not decide which pixels overlap


@dataclass(frozen=True)
class Pair:
    """An open pair.

    Attributes:
        ms: the multispectral image, on its own grid or warped to one parallel to PAN's.
        pan: the panchromatic image.
        sampling: where the MS samples sit on the PAN grid, by the geotransforms and `shift`.
        window: the part of the PAN grid that is to be sharpened.
        notes: what was decided for the user, one sentence each.
        shift: PAN pixels (down, right) by which MS was moved from where its geotransform puts it.
        rounding: of the corners by which the two are related; None where they are known to a pixel.
        stamps: of all of its files, as they were opened.
    """

    ms: RasterSource
    pan: RasterSource
    sampling: Sampling
    window: Window
    notes: tuple[str, ...]
    shift: tuple[float, float] = (0.0, 0.0)
    rounding: Rounding | None = None
    stamps: Stamps = field(default_factory=Stamps)

    @property
    def crs(self) -> Any:
        """CRS of the output: PAN's."""
        return self.pan.grid.crs

    def transform(self, window: Window) -> Affine:
        """Geotransform of a window of the PAN grid."""
        grid: Affine = self.pan.grid.transform
        return grid @ Affine.translation(window.col, window.row)

    def ms_footprint(self) -> tuple[float, float, float, float]:
        """MS extent in PAN pixel-corner coordinates: (left, top, right, bottom)."""
        left, top = self._ms_corner()
        return (
            left,
            top,
            left + self.sampling.ratio_x * self.ms.width,
            top + self.sampling.ratio_y * self.ms.height,
        )

    def ms_covers(self, window: Window) -> bool:
        """Whether every PAN pixel of a window has an MS pixel, nodata or not, under its centre."""
        if isinstance(self.ms, WarpedSource):
            return self.ms.covers(window)
        left, top, right, bottom = self.ms_footprint()
        across = first_centre(left) <= window.col and window.col_stop <= first_centre(right)
        return across and first_centre(top) <= window.row and window.row_stop <= first_centre(bottom)

    def valid_under(self, pan_window: Window, ms_window: Window, ms_valid: Mask) -> Mask:
        """Validity `[C, H, W]` of the MS pixel that holds the centre of each PAN pixel.

        Args:
            pan_window: the PAN pixels.
            ms_window: MS pixels that reach beyond all of them.
            ms_valid: their validity, `[C, h, w]`.

        Raises:
            InputError: the file cannot be read there.
        """
        if isinstance(self.ms, WarpedSource):
            return self.ms.valid_under(pan_window)
        rows, cols = self._holders(pan_window, ms_window)
        # beyond the pixels that hold some, it does not matter: the margin of a tile at the edge lies outside
        if ms_valid[:, rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1].all():
            return np.ones((ms_valid.shape[0], pan_window.height, pan_window.width), np.bool_)
        return self.on_pan(pan_window, ms_window, ms_valid)

    def on_pan(self, pan_window: Window, ms_window: Window, mask: Mask) -> Mask:
        """A mask of MS pixels `[C, h, w]`, that reach beyond all of these PAN pixels, on the PAN grid `[C, H, W]`."""
        rows, cols = self._holders(pan_window, ms_window)
        return mask[:, rows].take(cols, -1)

    def _holders(self, pan_window: Window, ms_window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows and columns of an MS window that hold the centres of PAN pixels, ascending."""
        left, top, _, _ = self.ms_footprint()
        rows = _holding(pan_window.row, pan_window.height, top, self.sampling.ratio_y) - ms_window.row
        cols = _holding(pan_window.col, pan_window.width, left, self.sampling.ratio_x) - ms_window.col
        return rows, cols

    def moved(self, rows: int, cols: int, extent: Extent) -> Pair:
        """The pair with MS so many of its pixels further down and to the right, and the window that goes with it."""
        down, right = rows * self.sampling.ratio_y, cols * self.sampling.ratio_x
        bands = self.sampling.bands
        moved = replace(
            self,
            ms=self.ms.moved(down, right) if isinstance(self.ms, WarpedSource) else self.ms,
            sampling=self.sampling.shifted([down] * bands, [right] * bands),
            shift=(self.shift[0] + down, self.shift[1] + right),
        )
        return replace(moved, window=_window(moved, extent))

    def _ms_corner(self) -> tuple[float, float]:
        s = self.sampling
        return s.phase_x[0] + 0.5 - s.ratio_x / 2, s.phase_y[0] + 0.5 - s.ratio_y / 2


def open_pair(
    ms_names: Sequence[str],
    pan_names: Sequence[str],
    options: PairOptions,
    stack: ExitStack,
    declared: tuple[Declared, Declared] = (Declared(), Declared()),
) -> Pair:
    """Open MS and PAN and find their common grid.

    Args:
        ms_names: one raster, several on one grid, whose bands follow each other, or the tiles of one image.
        pan_names: the panchromatic raster, or its tiles.
        options: how to read them.
        stack: closes the datasets.
        declared: what their product says of MS, and of PAN.

    Raises:
        InputError: a file that cannot be read.
        UsageError: bands or a nodata value that a file does not have.
        IncompatiblePairError: two files that do not belong together, or in the wrong order.
    """
    for name in ms_names:
        if name in pan_names:
            raise IncompatiblePairError(f"{public_name(name)} was given as MS and as PAN; name MS, then PAN")
    of_ms, of_pan = (said.masking(options.quality_mask) for said in declared)
    quality = (*of_ms.quality, *of_pan.quality)
    named = Stamps.now([*ms_names, *pan_names, *(each.file for each in quality)])
    ms = _opened(ms_names, "MS", options, options.ms_nodata, of_ms, stack)
    ms = samples_of(_choose_ms_bands(ms, options))
    pan = _opened(pan_names, "PAN", options, options.pan_nodata, of_pan, stack)
    pan = _choose_pan_band(pan, ms, options.pan_band)
    opened = (*ms.datasets, *pan.datasets)
    stamps = named.with_more(file for dataset in opened for file in files_of(dataset.name, dataset))
    notes = [*ms.notes, *pan.notes, *(f"{each.of} is masked by {public_name(each.file)}" for each in quality)]
    ms, to_pan, rounding = related(ms, pan, options.assume_aligned, notes)
    with _telling_of(rounding):
        _check_ratio(to_pan, ms, pan)
    sampling = Sampling(
        ratio_y=to_pan.e,
        ratio_x=to_pan.a,
        phase_y=(to_pan.f + to_pan.e / 2 - 0.5,) * ms.count,
        phase_x=(to_pan.c + to_pan.a / 2 - 0.5,) * ms.count,
    )
    whole = Window(0, 0, pan.height, pan.width)
    pair = Pair(ms, pan, sampling, whole, tuple(notes), rounding=rounding, stamps=stamps)
    with _telling_of(rounding):
        return replace(pair, window=_window(pair, options.extent))


def _opened(
    names: Sequence[str], role: str, options: PairOptions, nodata: Nodata, declared: Declared, stack: ExitStack
) -> RasterSource:
    """One of the two; what the user says of its nodata counts more than what its product says."""
    nodata = declared.nodata if nodata is None else nodata
    return as_declared(open_source(names, role, options.trust, stack, nodata), declared, options.trust, stack)


@contextmanager
def _telling_of(rounding: Rounding | None) -> Iterator[None]:
    """Where two files do not fit, say that their corners are rounded."""
    try:
        yield
    except IncompatiblePairError as error:
        if rounding is None:
            raise
        raise IncompatiblePairError(f"{error}; {ROUNDED_CORNERS.says(str(rounding)).message}") from error


def _choose_ms_bands(ms: RasterSource, options: PairOptions) -> RasterSource:
    if not options.ms_bands:
        return ms
    if not all(1 <= band <= ms.count for band in options.ms_bands):
        raise UsageError(f"--ms-bands {','.join(map(str, options.ms_bands))}: {ms.name} has bands 1 to {ms.count}")
    return ms.selected([band - 1 for band in options.ms_bands])


def _choose_pan_band(pan: RasterSource, ms: RasterSource, band: int | None) -> RasterSource:
    if band is not None:
        if not 1 <= band <= pan.count:
            raise UsageError(f"--pan-band {band}: {pan.name} has bands 1 to {pan.count}")
        return pan.selected([band - 1])
    if pan.count == 1:
        return pan
    if ms.count == 1:
        raise IncompatiblePairError(
            f"{pan.name} has {pan.count} bands and {ms.name} one: were MS and PAN swapped? the order is MS, then PAN"
        )
    raise IncompatiblePairError(
        f"{pan.name} was given as PAN but has {pan.count} bands; choose one with --pan-band, "
        "or check the order: MS, then PAN"
    )


def _check_ratio(to_pan: Affine, ms: RasterSource, pan: RasterSource) -> None:
    ms_gsd, pan_gsd = _pixel_size(pan.grid.transform, to_pan), _pixel_size(pan.grid.transform, Affine.identity())
    ratio = math.sqrt(to_pan.a * to_pan.e)
    if ratio < 1 / _MIN_RATIO:
        raise IncompatiblePairError(
            f"{pan.name} ({pan_gsd:g}) is coarser than {ms.name} ({ms_gsd:g}): were MS and PAN swapped? "
            "the order is MS, then PAN"
        )
    if min(to_pan.a, to_pan.e) < _MIN_RATIO:
        raise IncompatiblePairError(
            f"{pan.name} ({pan_gsd:g}) is not finer than {ms.name} ({ms_gsd:g}) in both directions: "
            "there is nothing to sharpen"
        )
    if max(to_pan.a, to_pan.e) > MAX_RATIO:
        raise IncompatiblePairError(
            f"{pan.name} ({pan_gsd:g}) is {ratio:.3g} times finer than {ms.name} ({ms_gsd:g}), beyond {MAX_RATIO:g}; "
            "are these one product?"
        )


def _pixel_size(pan_transform: Affine, to_pan: Affine) -> float:
    return math.sqrt(abs((pan_transform @ to_pan).determinant))


def _window(pair: Pair, extent: Extent) -> Window:
    overlap = _overlap(pair)
    return overlap if extent == "intersection" else Window(0, 0, pair.pan.height, pair.pan.width)


def _overlap(pair: Pair) -> Window:
    """PAN pixels whose centre lies on MS."""
    left, top, right, bottom = pair.ms_footprint()
    first_col, stop_col = max(0, first_centre(left)), min(pair.pan.width, first_centre(right))
    first_row, stop_row = max(0, first_centre(top)), min(pair.pan.height, first_centre(bottom))
    height, width = stop_row - first_row, stop_col - first_col
    if height <= 0 or width <= 0:
        raise IncompatiblePairError(
            f"{pair.ms.name} and {pair.pan.name} do not overlap: in PAN pixels, MS covers columns {left:.0f} to "
            f"{right:.0f} and rows {top:.0f} to {bottom:.0f}, PAN 0 to {pair.pan.width} and 0 to {pair.pan.height}"
        )
    if height < 2 * pair.sampling.ratio_y or width < 2 * pair.sampling.ratio_x:
        raise IncompatiblePairError(
            f"{pair.ms.name} and {pair.pan.name} overlap by {width}x{height} PAN pixels only, less than two MS pixels"
        )
    return Window(first_row, first_col, height, width)


def first_centre(edge: float) -> int:
    """Index of the first PAN pixel whose centre is at or after an edge given in corner coordinates."""
    return math.ceil(edge - 0.5 - _SNAP)


def _holding(first: int, count: int, edge: float, ratio: float) -> NDArray[np.int64]:
    """Index of the MS pixel that holds the centre of each PAN pixel; MS begins at `edge`, in corner coordinates."""
    centres = np.arange(first, first + count) + 0.5
    return np.asarray(np.floor((centres - edge + _SNAP) / ratio), np.int64)
