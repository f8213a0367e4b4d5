"""Relate two rasters without a geotransform by what both say of the ground: their RPCs, or their GCPs.

Where these put a place may be wrong by many pixels, but for the two images of one product they are wrong alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.transform import GCPTransformer, RPCTransformer

from clippan_cli.rasters.gdal_errors import reason_of
from clippan_cli.rasters.grids import GRID_TOLERANCE, same_crs
from clippan_cli.rasters.rounded import coarse_rounding
from clippan_cli.rasters.source import RasterSource
from clippan_models.errors import IncompatiblePairError

_WORST_FIT = 0.25  # PAN pixels: beyond, edges of the bands would lie visibly off those of PAN
_LATTICE = 17  # places along each side at which the two models are compared
_FEWEST = 9  # places; fewer on PAN do not tell how it lies
_GCPS = 3  # the fewest that define an affine map

Places = NDArray[np.float64]


@dataclass(frozen=True)
class _Models:
    """Where the pixels of two rasters lie on the ground, by models of one kind.

    Attributes:
        kind: in words.
        height: of the ground, in the unit of the models.
        ms: makes the model of MS.
        pan: makes the model of PAN.
    """

    kind: str
    height: float
    ms: Callable[[], Any]
    pan: Callable[[], Any]


def relate_by_ground(ms: RasterSource, pan: RasterSource) -> tuple[Affine, str] | None:
    """From pixels of the file of MS to those of PAN, and how that is known; None where the files have no common model.

    Raises:
        IncompatiblePairError: the models cannot be used, or no affine map relates the images by them.
    """
    models = _models_of(ms, pan)
    if models is None:
        return None
    on_ms, on_pan = _places(models, ms, pan)
    to_pan, residual = _simplest_fit(on_ms, on_pan)
    if residual > _WORST_FIT:
        raise IncompatiblePairError(
            f"by the {models.kind}, no affine map takes {ms.name} to {pan.name}: the best one is wrong by up to "
            f"{residual:.2f} PAN pixels, and {_WORST_FIT:g} are allowed; orthorectify both with gdalwarp first"
        )
    return to_pan, (
        f"MS and PAN are related by the {models.kind}: an MS pixel is {to_pan.a:.4g} x "
        f"{to_pan.e:.4g} PAN pixels, and MS begins at PAN column {to_pan.c:.2f}, row {to_pan.f:.2f} "
        f"(fitted to within {residual:.2f} PAN pixels)"
    )


def _models_of(ms: RasterSource, pan: RasterSource) -> _Models | None:
    ms_rpcs, pan_rpcs = ms.grid.rpcs, pan.grid.rpcs
    if ms_rpcs is not None and pan_rpcs is not None:
        height = float(pan_rpcs.height_off)
        kind = f"RPCs of both files at their mean height, {height:g} m"
        return _Models(kind, height, partial(RPCTransformer, ms_rpcs), partial(RPCTransformer, pan_rpcs))
    (ms_gcps, ms_crs), (pan_gcps, pan_crs) = ms.grid.gcps, pan.grid.gcps
    if min(len(ms_gcps), len(pan_gcps)) < _GCPS or not same_crs(ms_crs, pan_crs) or coarse_rounding((ms, pan)):
        return None
    return _Models("GCPs of both files", 0.0, partial(GCPTransformer, ms_gcps), partial(GCPTransformer, pan_gcps))


def _places(models: _Models, ms: RasterSource, pan: RasterSource) -> tuple[Places, Places]:
    """The same places of the ground on both files, `[n, 2]` each as x and y in corner coordinates.

    Both models are asked in one direction, from the ground, so that the error of an inverse does not matter.
    """
    cols = np.linspace(0, ms.grid.width, _LATTICE)
    rows = np.linspace(0, ms.grid.height, _LATTICE)
    down, across = (v.ravel() for v in np.meshgrid(rows, cols, indexing="ij"))
    heights = np.full(down.shape, models.height)
    try:
        with models.ms() as ms_model, models.pan() as pan_model:
            ground = ms_model.xy(down, across, zs=heights, offset="ul")
            ms_rows, ms_cols = ms_model.rowcol(*ground, zs=heights, op=np.positive)
            pan_rows, pan_cols = pan_model.rowcol(*ground, zs=heights, op=np.positive)
    except (RasterioError, CPLE_BaseError) as error:
        raise IncompatiblePairError(
            f"the {models.kind}, {ms.name} and {pan.name}, cannot be used: {reason_of(error)}"
        ) from error
    on_ms, on_pan = np.stack([ms_cols, ms_rows], 1), np.stack([pan_cols, pan_rows], 1)
    if not (np.isfinite(on_ms).all() and np.isfinite(on_pan).all()):
        raise IncompatiblePairError(
            f"the {models.kind}, {ms.name} and {pan.name}, cannot be used: some pixels have no place on the ground"
        )
    within = ((on_pan >= 0) & (on_pan <= (pan.width, pan.height))).all(1)
    used = within if within.sum() >= _FEWEST else np.ones_like(within)
    return on_ms[used], on_pan[used]


def _simplest_fit(on_ms: Places, on_pan: Places) -> tuple[Affine, float]:
    """The simplest map that fits nearly as well as the best affine one, and how far it is wrong at most."""
    (x, y), (px, py), one = on_ms.T, on_pan.T, np.ones(len(on_ms))

    def solved(target: Places, *terms: Places) -> list[float]:
        return [float(v) for v in np.linalg.lstsq(np.stack(terms, 1), target, rcond=None)[0]]

    (a, c), (e, f) = solved(px, x, one), solved(py, y, one)
    straight = Affine(a, 0, c, 0, e, f)
    wide, high = round(a), round(e)
    whole = Affine(wide, 0, float((px - wide * x).mean()), 0, high, float((py - high * y).mean()))
    best = Affine(*solved(px, x, y, one), *solved(py, x, y, one))

    def residual(fit: Affine) -> float:
        fitted = fit.a * x + fit.b * y + fit.c, fit.d * x + fit.e * y + fit.f
        return float(max(np.abs(fitted[0] - px).max(), np.abs(fitted[1] - py).max()))

    limit = residual(best) + GRID_TOLERANCE
    return next((fit, residual(fit)) for fit in (whole, straight, best) if residual(fit) <= limit)
