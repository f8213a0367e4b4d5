"""The part of a scene that the user asked for: a box or an area of interest, in any CRS."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from shapely.geometry import box, shape
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from clippan_cli.rasters.pair import Pair, first_centre
from clippan_models.contracts import Window
from clippan_models.errors import IncompatiblePairError, InputError, UsageError

_SEGMENTS = 64  # pieces of the longer side of a shape that is to be reprojected: its edges are curves there
_FAR = 1e15  # beyond every coordinate of a map, in whatever unit
_SNAP = 1e-6  # PAN pixels: a box that is slanted by less is none


@dataclass(frozen=True)
class Region:
    """Where to sharpen.

    Attributes:
        window: PAN pixels that hold the region.
        polygon: in the CRS of PAN, where pixels outside are to be invalid; None where it is the window itself.
    """

    window: Window
    polygon: BaseGeometry | None = None


def region_from_bbox(pair: Pair, bbox: tuple[float, float, float, float], crs: str | None) -> Region:
    """The PAN pixels whose centre lies in a box.

    Args:
        pair: the scene.
        bbox: (left, bottom, right, top).
        crs: of the box, anything PROJ understands; None: that of PAN.

    Raises:
        UsageError: not a box, or an unknown CRS.
        IncompatiblePairError: the box lies outside the scene.
    """
    left, bottom, right, top = bbox
    if not all(abs(v) < _FAR for v in bbox):  # False for NaN
        raise UsageError(f"--bbox {left},{bottom},{right},{top} has a coordinate that is no place on a map")
    if left >= right or bottom >= top:
        raise UsageError(
            f"--bbox {left},{bottom},{right},{top} is empty: the order is left,bottom,right,top, "
            "and left < right, bottom < top"
        )
    return _region(_to_pan_crs(box(left, bottom, right, top), crs, pair, "--bbox"), pair, "--bbox")


def region_from_file(pair: Pair, path: Path) -> Region:
    """The polygons of a GeoJSON file.

    Raises:
        InputError: not a GeoJSON file of polygons.
        IncompatiblePairError: the area lies outside the scene.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as GeoJSON: {error}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} is not GeoJSON: its top level is no object")
    return _region(_to_pan_crs(_polygons(document, path), _crs_of(document), pair, str(path)), pair, str(path))


def _polygons(document: dict[str, Any], path: Path) -> BaseGeometry:
    features = document.get("features", [document])
    if not isinstance(features, list) or not all(isinstance(f, dict) for f in features):
        raise InputError(f"{path} is not GeoJSON: its features are no list of objects")
    try:
        shapes = [shape(f.get("geometry", f)) for f in features if f.get("geometry", f) is not None]
    except Exception as error:  # shapely raises whatever a wrong nesting trips over
        raise InputError(f"{path} holds a geometry that is not GeoJSON: {error}") from error
    if not (np.abs(shapely.get_coordinates(shapes)) < _FAR).all():  # False for NaN
        raise InputError(f"{path} has a coordinate that is no place on a map")
    union = unary_union([area for s in shapes for area in _areas(shapely.force_2d(s))])
    if union.is_empty or union.area == 0:
        raise InputError(f"{path} holds no polygon with an area")
    return union


def _areas(geometry: BaseGeometry) -> list[BaseGeometry]:
    """The polygons of a geometry, made valid; points and lines, also those that a repair leaves over, have no area."""
    if geometry.geom_type == "GeometryCollection":
        return [area for part in geometry.geoms for area in _areas(part)]
    if geometry.geom_type not in ("Polygon", "MultiPolygon"):
        return []
    return [geometry] if geometry.is_valid else _areas(shapely.make_valid(geometry))


def _crs_of(document: dict[str, Any]) -> str:
    """CRS of a GeoJSON document: longitude and latitude by RFC 7946, unless it has the older `crs` member."""
    try:
        return str(document["crs"]["properties"]["name"])
    except (KeyError, TypeError):
        return "OGC:CRS84"


def _to_pan_crs(polygon: BaseGeometry, crs: str | None, pair: Pair, origin: str) -> BaseGeometry:
    if crs is None:
        return polygon
    if pair.crs is None:
        raise UsageError(f"{origin} is in {crs}, but the scene has no CRS to bring it to")
    try:
        source = pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise UsageError(f"{origin}: {crs} is not a CRS that PROJ knows") from error
    target = pyproj.CRS.from_wkt(pair.crs.to_wkt())
    impossible = IncompatiblePairError(f"{origin} cannot be projected from {crs} to the CRS of the scene")
    try:
        there = pyproj.Transformer.from_crs(source, target, always_xy=True).transform
        back = pyproj.Transformer.from_crs(target, source, always_xy=True).transform
    except pyproj.exceptions.ProjError as error:
        raise impossible from error
    moved = _moved(_dense(_around_scene(polygon, pair, back)), there)
    areas = _areas(moved) if np.isfinite(shapely.get_coordinates(moved)).all() else []
    if not areas:
        raise impossible
    return unary_union(areas)


def _around_scene(polygon: BaseGeometry, pair: Pair, back: Callable[..., Any]) -> BaseGeometry:
    """The part of a polygon on and near the scene: a country can reach beyond where a projection holds."""
    to_map = pair.pan.grid.transform
    pixels = _dense(box(0, 0, pair.pan.width, pair.pan.height))
    left, bottom, right, top = _moved(pixels, lambda x, y: back(*(to_map @ (x, y)))).bounds
    margin = max(right - left, top - bottom)
    if not np.isfinite(margin):
        return polygon
    near = polygon.intersection(box(left - margin, bottom - margin, right + margin, top + margin))
    return polygon if near.is_empty else near


def _moved(polygon: BaseGeometry, move: Callable[..., Any]) -> BaseGeometry:
    """A polygon with its corners moved by a function of x and y."""
    moved: BaseGeometry = shapely.transform(polygon, lambda xy: np.column_stack(move(xy[:, 0], xy[:, 1])))
    return moved


def _dense(polygon: BaseGeometry) -> BaseGeometry:
    left, bottom, right, top = polygon.bounds
    dense: BaseGeometry = shapely.segmentize(polygon, max(right - left, top - bottom) / _SEGMENTS)
    return dense


def _region(polygon: BaseGeometry, pair: Pair, origin: str) -> Region:
    """PAN pixels whose centre lies in the bounds of a polygon, within the scene; the polygon where it leaves some out.

    Raises:
        IncompatiblePairError: there are none.
    """
    to_pixel = ~pair.pan.grid.transform
    on_pan = _moved(polygon, lambda x, y: to_pixel @ (x, y))
    left, top, right, bottom = on_pan.bounds
    scene = pair.window
    first_col, stop_col = max(scene.col, first_centre(left)), min(scene.col_stop, first_centre(right))
    first_row, stop_row = max(scene.row, first_centre(top)), min(scene.row_stop, first_centre(bottom))
    if stop_col <= first_col or stop_row <= first_row:
        raise IncompatiblePairError(
            f"{origin} lies outside the scene: in PAN pixels it covers columns {left:.0f} to {right:.0f} and rows "
            f"{top:.0f} to {bottom:.0f}, the scene {scene.col} to {scene.col_stop} and {scene.row} to {scene.row_stop}"
        )
    window = Window(first_row, first_col, stop_row - first_row, stop_col - first_col)
    along_grid = shapely.hausdorff_distance(on_pan.boundary, on_pan.envelope.boundary) < _SNAP
    return Region(window, None if along_grid else polygon)
