"""How the grid of MS lies on that of PAN, and MS on a grid parallel to PAN's where it does not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyproj
from affine import Affine

from clippan_cli.rasters.array_names import same_sample
from clippan_cli.rasters.grids import GRID_TOLERANCE, corners_apart, same_crs
from clippan_cli.rasters.ground import relate_by_ground
from clippan_cli.rasters.rounded import Rounding, coarse_rounding
from clippan_cli.rasters.sizes import relate_by_size
from clippan_cli.rasters.source import RasterSource
from clippan_cli.rasters.warp import Coordinates, Mapper, WarpedSource
from clippan_models.errors import IncompatiblePairError, InputError


def related(
    ms: RasterSource, pan: RasterSource, assume_aligned: bool, notes: list[str]
) -> tuple[RasterSource, Affine, Rounding | None]:
    """MS on a grid parallel to PAN's, warped if need be, and where it lies.

    Args:
        ms: the multispectral image.
        pan: the panchromatic image.
        assume_aligned: what relates them may be missing; see `PairOptions`.
        notes: gets what is decided for the user, one sentence each.

    Returns:
        MS; from its pixels to those of PAN; and the rounding of the corners by which they are related, or None.

    Raises:
        IncompatiblePairError: nothing relates them, or MS cannot be projected.
    """
    rounding = coarse_rounding((pan, ms))
    if (known := _without_geotransforms(ms, pan, assume_aligned, rounding, notes)) is not None:
        to_pan, rounding = known, None
    elif (ms.grid.crs is None) != (pan.grid.crs is None):
        to_pan = _assume_same_crs(ms, pan, assume_aligned, notes)
    elif same_crs(ms.grid.crs, pan.grid.crs):
        to_pan = ~pan.transform @ ms.transform
    else:
        notes.append(f"MS is warped from {crs_name(ms.grid.crs)} to the CRS of PAN, {crs_name(pan.grid.crs)}")
        ms, to_pan = _warp(ms, pan, *_projections(ms, pan))
    if not _parallel(to_pan, ms):
        notes.append("MS is rotated or mirrored against PAN: it is warped to a grid parallel to PAN's")
        ms, to_pan = _warp(ms, pan, _straight(to_pan), _straight(~to_pan))
    return ms, to_pan, rounding


def _georeferenced(dataset: Any) -> bool:
    return not dataset.transform.is_identity


def _without_geotransforms(
    ms: RasterSource, pan: RasterSource, assume_aligned: bool, rounding: Rounding | None, notes: list[str]
) -> Affine | None:
    """From MS to PAN by their RPCs or GCPs, else by what the user says; None where their geotransforms have to do."""
    bare = next((source for source in (ms, pan) if not _georeferenced(source.grid)), None)
    if rounding is not None:
        why = str(rounding)
    elif bare is not None:
        why = f"{bare.name} has no geotransform"
    else:
        return None
    found = relate_by_ground(ms, pan)
    if found is None and (assume_aligned or same_sample(ms.names[0], pan.names[0])):
        found = relate_by_size(ms, pan, "--assume-aligned" if assume_aligned else "one sample")
    if found is not None:
        to_pan, note = found
        notes.append(f"{why}: {note}")
        return to_pan @ ms.in_file
    if bare is None:
        return None
    raise IncompatiblePairError(
        f"{why}, and the two files have no RPCs or GCPs in common, so MS and PAN cannot be found; if both begin at "
        "the same upper left corner, add --assume-aligned"
    )


def _assume_same_crs(ms: RasterSource, pan: RasterSource, assume_aligned: bool, notes: list[str]) -> Affine:
    if not assume_aligned:
        bare, other = (ms, pan) if ms.grid.crs is None else (pan, ms)
        raise IncompatiblePairError(
            f"{bare.name} has no CRS but {other.name} has {crs_name(other.grid.crs)}; "
            "set it with gdal_edit.py -a_srs, or add --assume-aligned if both are in the same CRS"
        )
    notes.append("one of MS and PAN has no CRS: both are assumed to be in the same (--assume-aligned)")
    to_pan: Affine = ~pan.transform @ ms.transform
    return to_pan


def _parallel(to_pan: Affine, ms: RasterSource) -> bool:
    """Whether MS rows and columns run along PAN's, in the same direction."""
    along = Affine(to_pan.a, 0, to_pan.c, 0, to_pan.e, to_pan.f)
    return to_pan.a > 0 and to_pan.e > 0 and corners_apart(to_pan, along, ms.width, ms.height) < GRID_TOLERANCE


def _warp(ms: RasterSource, pan: RasterSource, to_pan: Mapper, to_ms: Mapper) -> tuple[RasterSource, Affine]:
    """MS on a grid of MS pixels parallel to PAN's; the samples of a mere flip or quarter turn stay what they are."""
    # edges densified: straight lines of one CRS are curves in another
    edge = np.linspace(0.0, 1.0, 33)
    x = np.concatenate([edge, edge, 0 * edge, 0 * edge + 1]) * ms.width
    y = np.concatenate([0 * edge, 0 * edge + 1, edge, edge]) * ms.height
    px, py = to_pan(x, y)
    ratio_x, ratio_y = _ratios_at_centre(to_pan, ms)
    if not (np.isfinite(px).all() and np.isfinite(py).all() and min(ratio_x, ratio_y) > 0):
        raise _cannot_be_projected(ms, pan)
    left, top = float(px.min()), float(py.min())
    width = max(1, math.ceil((float(px.max()) - left) / ratio_x - 1e-3))
    height = max(1, math.ceil((float(py.max()) - top) / ratio_y - 1e-3))
    if width * height > 16 * ms.width * ms.height + 10_000:
        raise IncompatiblePairError(
            f"{ms.name} covers {width}x{height} pixels on the grid of {pan.name}; are the two CRS right?"
        )
    place = Affine.translation(left, top) @ Affine.scale(ratio_x, ratio_y)
    return WarpedSource(ms, to_ms, place, (height, width)), place


def _straight(affine: Affine) -> Mapper:
    """A mapper that is affine."""

    def apply(x: Coordinates, y: Coordinates) -> tuple[Coordinates, Coordinates]:
        there: Any = affine
        px, py = there @ (x, y)
        return np.asarray(px, np.float64), np.asarray(py, np.float64)

    return apply


def _projections(ms: RasterSource, pan: RasterSource) -> tuple[Mapper, Mapper]:
    """From MS to PAN in another CRS and back, both in pixel-corner coordinates (x, y)."""
    ms_crs, pan_crs = (pyproj.CRS.from_wkt(source.grid.crs.to_wkt()) for source in (ms, pan))

    def mapper(source: RasterSource, target: RasterSource, one: pyproj.CRS, other: pyproj.CRS) -> Mapper:
        forward, backward = _straight(source.transform), _straight(~target.transform)
        middle_x, _ = target.transform @ (target.width / 2, target.height / 2)
        try:
            project = pyproj.Transformer.from_crs(one, other, always_xy=True).transform
        except pyproj.exceptions.ProjError as error:
            raise _cannot_be_projected(ms, pan) from error

        def apply(x: Coordinates, y: Coordinates) -> tuple[Coordinates, Coordinates]:
            wx, wy = project(*forward(x, y))
            if other.is_geographic:
                # longitudes are counted from the target, which may lie on either side of the date line
                wx = middle_x + (wx - middle_x + 180) % 360 - 180
            return backward(wx, wy)

        return apply

    return mapper(ms, pan, ms_crs, pan_crs), mapper(pan, ms, pan_crs, ms_crs)


def _cannot_be_projected(ms: RasterSource, pan: RasterSource) -> IncompatiblePairError:
    return IncompatiblePairError(
        f"{ms.name} ({crs_name(ms.grid.crs)}) cannot be projected to the CRS of {pan.name} "
        f"({crs_name(pan.grid.crs)}); if one of them is wrong, set it with gdal_edit.py -a_srs"
    )


def _ratios_at_centre(to_pan: Mapper, ms: RasterSource) -> tuple[float, float]:
    """PAN pixels per MS pixel along PAN's axes, around the centre of MS."""
    cx, cy = ms.width / 2, ms.height / 2
    px, py = to_pan(np.array([cx, cx + 1, cx]), np.array([cy, cy, cy + 1]))
    return math.hypot(px[1] - px[0], px[2] - px[0]), math.hypot(py[1] - py[0], py[2] - py[0])


def crs_name(crs: Any) -> str:
    """What people call a CRS: its EPSG code, or its name."""
    if crs is None:
        return "no CRS"
    epsg = crs.to_epsg()
    if epsg is not None:
        return f"EPSG:{epsg}"
    try:
        return pyproj.CRS.from_wkt(crs.to_wkt()).name
    except pyproj.exceptions.CRSError as error:
        raise InputError(f"a CRS cannot be understood: {error}") from error
