"""An MS and a PAN raster that belong together: where they overlap, and how one grid maps to the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyproj
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from clippan_cli.rasters.source import RasterSource, Trust, open_source
from clippan_models.contracts import Sampling, Window
from clippan_models.errors import IncompatiblePairError, InputError, UsageError

MAX_RATIO = 16.0
_MIN_RATIO = 1.05
_SNAP = 1e-6  # pixels: float noise in geotransforms must not decide which pixels overlap

Extent = Literal["intersection", "pan"]


@dataclass(frozen=True)
class PairOptions:
    """How to read the pair.

    Attributes:
        trust: what may be opened besides local files.
        assume_aligned: without georeferencing, take MS and PAN to cover the same ground.
        pan_band: 1-based band of the PAN file, where it has several.
        extent: output grid: the overlap with MS, or all of PAN.
    """

    trust: Trust = Trust()
    assume_aligned: bool = False
    pan_band: int | None = None
    extent: Extent = "intersection"


@dataclass(frozen=True)
class Pair:
    """An open pair.

    Attributes:
        ms: the multispectral image, on its own grid or warped to one parallel to PAN's.
        pan: the panchromatic image.
        sampling: where the MS samples sit on the PAN grid, by the geotransforms.
        window: the part of the PAN grid that is to be sharpened.
        notes: what was decided for the user, one sentence each.
    """

    ms: RasterSource
    pan: RasterSource
    sampling: Sampling
    window: Window
    notes: tuple[str, ...]

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

    def _ms_corner(self) -> tuple[float, float]:
        s = self.sampling
        return s.phase_x[0] + 0.5 - s.ratio_x / 2, s.phase_y[0] + 0.5 - s.ratio_y / 2


def open_pair(ms_names: Sequence[str], pan_name: str, options: PairOptions, stack: ExitStack) -> Pair:
    """Open MS and PAN and find their common grid.

    Args:
        ms_names: one raster, or one-band rasters in band order.
        pan_name: the panchromatic raster.
        options: how to read them.
        stack: closes the datasets.

    Raises:
        InputError: a file that cannot be read.
        IncompatiblePairError: two files that do not belong together, or in the wrong order.
    """
    ms = open_source(ms_names, "MS", options.trust, stack)
    pan = _choose_pan_band(open_source([pan_name], "PAN", options.trust, stack), ms, options.pan_band)
    notes: list[str] = []
    if not _georeferenced(ms.grid) or not _georeferenced(pan.grid):
        to_pan = _assume_aligned(ms, pan, options, notes)
    elif (ms.grid.crs is None) != (pan.grid.crs is None):
        to_pan = _assume_same_crs(ms, pan, options, notes)
    elif same_crs(ms.grid.crs, pan.grid.crs):
        to_pan = ~pan.grid.transform @ ms.grid.transform
    else:
        notes.append(f"MS is warped from {_crs_name(ms.grid.crs)} to the CRS of PAN, {_crs_name(pan.grid.crs)}")
        ms, to_pan = _warp(ms, pan, stack)
    if not _parallel(to_pan, ms):
        notes.append("MS is rotated or mirrored against PAN: it is warped to a grid parallel to PAN's")
        ms, to_pan = _warp(ms, pan, stack)
    _check_ratio(to_pan, ms, pan)
    sampling = Sampling(
        ratio_y=to_pan.e,
        ratio_x=to_pan.a,
        phase_y=(to_pan.f + to_pan.e / 2 - 0.5,) * ms.count,
        phase_x=(to_pan.c + to_pan.a / 2 - 0.5,) * ms.count,
    )
    whole = Window(0, 0, pan.height, pan.width)
    pair = Pair(ms, pan, sampling, whole, tuple(notes))
    overlap = _overlap(pair)
    window = overlap if options.extent == "intersection" else whole
    return Pair(ms, pan, sampling, window, tuple(notes))


def same_crs(one: Any, other: Any) -> bool:
    """Whether two CRS are the same, however they are written (both may be missing)."""
    if one is None or other is None:
        return one is other
    if one == other:
        return True
    return pyproj.CRS.from_wkt(one.to_wkt()).equals(pyproj.CRS.from_wkt(other.to_wkt()), ignore_axis_order=True)


def _choose_pan_band(pan: RasterSource, ms: RasterSource, band: int | None) -> RasterSource:
    if band is not None:
        if not 1 <= band <= pan.count:
            raise UsageError(f"--pan-band {band}: {pan.name} has bands 1 to {pan.count}")
        return RasterSource(pan.names, pan.datasets, (pan.bands[band - 1],))
    if pan.count == 1:
        return pan
    if ms.count == 1:
        raise IncompatiblePairError(
            f"{pan.name} has {pan.count} bands and {ms.name} one: were MS and PAN swapped? the order is MS, then PAN"
        )
    raise IncompatiblePairError(
        f"{pan.name} is to be PAN but has {pan.count} bands; choose one with --pan-band, or check the order: MS, then PAN"
    )


def _georeferenced(dataset: Any) -> bool:
    return not dataset.transform.is_identity


def _assume_aligned(ms: RasterSource, pan: RasterSource, options: PairOptions, notes: list[str]) -> Affine:
    if not options.assume_aligned:
        bare = ms if not _georeferenced(ms.grid) else pan
        raise IncompatiblePairError(
            f"{bare.name} has no geotransform, so MS and PAN cannot be laid over each other; "
            "if both cover exactly the same ground, add --assume-aligned"
        )
    notes.append("without georeferencing, MS and PAN are assumed to cover exactly the same ground (--assume-aligned)")
    return Affine.scale(pan.width / ms.width, pan.height / ms.height)


def _assume_same_crs(ms: RasterSource, pan: RasterSource, options: PairOptions, notes: list[str]) -> Affine:
    if not options.assume_aligned:
        bare, other = (ms, pan) if ms.grid.crs is None else (pan, ms)
        raise IncompatiblePairError(
            f"{bare.name} has no CRS but {other.name} has {_crs_name(other.grid.crs)}; set it with gdal_edit.py -a_srs, "
            "or add --assume-aligned if both are in the same CRS"
        )
    notes.append("one of MS and PAN has no CRS: both are assumed to be in the same (--assume-aligned)")
    to_pan: Affine = ~pan.grid.transform @ ms.grid.transform
    return to_pan


def _parallel(to_pan: Affine, ms: RasterSource) -> bool:
    """Whether MS rows and columns run along PAN's, in the same direction."""
    skew = max(abs(to_pan.b) * ms.height, abs(to_pan.d) * ms.width)
    return bool(to_pan.a > 0 and to_pan.e > 0 and skew < 0.01)


def _warp(ms: RasterSource, pan: RasterSource, stack: ExitStack) -> tuple[RasterSource, Affine]:
    """MS through a WarpedVRT on a grid of MS pixels parallel to PAN's; for a mere flip its samples stay untouched."""
    to_pan = _pixel_mapper(ms, pan)
    # edges densified: straight lines of one CRS are curves in another
    edge = np.linspace(0.0, 1.0, 33)
    x = np.concatenate([edge, edge, 0 * edge, 0 * edge + 1]) * ms.width
    y = np.concatenate([0 * edge, 0 * edge + 1, edge, edge]) * ms.height
    px, py = to_pan(x, y)
    if not (np.isfinite(px).all() and np.isfinite(py).all()):
        raise IncompatiblePairError(
            f"{ms.name} ({_crs_name(ms.grid.crs)}) cannot be projected to the CRS of {pan.name} "
            f"({_crs_name(pan.grid.crs)})"
        )
    ratio_x, ratio_y = _ratios_at_centre(to_pan, ms)
    left, top = float(px.min()), float(py.min())
    width = max(1, round((float(px.max()) - left) / ratio_x))
    height = max(1, round((float(py.max()) - top) / ratio_y))
    if width * height > 16 * ms.width * ms.height + 10_000:
        raise IncompatiblePairError(
            f"{ms.name} covers {width}x{height} pixels when seen on the grid of {pan.name}; are the two CRS right?"
        )
    to_pan_affine = Affine.translation(left, top) @ Affine.scale(ratio_x, ratio_y)
    transform = pan.grid.transform @ to_pan_affine
    crs = pan.grid.crs or ms.grid.crs or rasterio.CRS.from_epsg(3857)
    vrts = []
    for dataset in ms.datasets:
        has_nodata = dataset.nodata is not None
        vrts.append(
            stack.enter_context(
                WarpedVRT(
                    dataset,
                    src_crs=dataset.crs or crs,
                    crs=crs,
                    transform=transform,
                    width=width,
                    height=height,
                    resampling=Resampling.cubic,
                    tolerance=0.01,
                    nodata=dataset.nodata if has_nodata else None,
                    add_alpha=not has_nodata and not any(c.name == "alpha" for c in dataset.colorinterp),
                )
            )
        )
    return ms.replaced(tuple(vrts)), to_pan_affine


def _pixel_mapper(ms: RasterSource, pan: RasterSource) -> Any:
    """A function from MS pixel-corner coordinates (x, y) to those of PAN."""
    forward, backward = ms.grid.transform, ~pan.grid.transform
    project = None
    if ms.grid.crs is not None and pan.grid.crs is not None and not same_crs(ms.grid.crs, pan.grid.crs):
        project = pyproj.Transformer.from_crs(ms.grid.crs.to_wkt(), pan.grid.crs.to_wkt(), always_xy=True)

    def mapper(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        wx, wy = forward @ (x, y)
        if project is not None:
            wx, wy = project.transform(wx, wy)
        px, py = backward @ (np.asarray(wx), np.asarray(wy))
        return np.asarray(px), np.asarray(py)

    return mapper


def _ratios_at_centre(to_pan: Any, ms: RasterSource) -> tuple[float, float]:
    """PAN pixels per MS pixel along PAN's axes, around the centre of MS."""
    cx, cy = ms.width / 2, ms.height / 2
    px, py = to_pan(np.array([cx, cx + 1, cx]), np.array([cy, cy, cy + 1]))
    along_x = np.array([px[1] - px[0], py[1] - py[0]])
    along_y = np.array([px[2] - px[0], py[2] - py[0]])
    mirrored_only = abs(along_x[1]) < 1e-6 * abs(along_x[0]) and abs(along_y[0]) < 1e-6 * abs(along_y[1])
    if mirrored_only:
        return abs(float(along_x[0])), abs(float(along_y[1]))
    ratio = math.sqrt(abs(float(along_x[0] * along_y[1] - along_x[1] * along_y[0])))
    return ratio, ratio


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


def _overlap(pair: Pair) -> Window:
    """PAN pixels whose centre lies on MS."""
    left, top, right, bottom = pair.ms_footprint()
    first_col, stop_col = max(0, _first_centre(left)), min(pair.pan.width, _first_centre(right))
    first_row, stop_row = max(0, _first_centre(top)), min(pair.pan.height, _first_centre(bottom))
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


def _first_centre(edge: float) -> int:
    """Index of the first pixel whose centre is at or after an edge given in corner coordinates."""
    return math.ceil(edge - 0.5 - _SNAP)


def _crs_name(crs: Any) -> str:
    if crs is None:
        return "no CRS"
    epsg = crs.to_epsg()
    if epsg is not None:
        return f"EPSG:{epsg}"
    try:
        return pyproj.CRS.from_wkt(crs.to_wkt()).name
    except pyproj.exceptions.CRSError as error:
        raise InputError(f"a CRS cannot be understood: {error}") from error
