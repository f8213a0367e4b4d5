"""The part of a scene that the user asked for: a box or an area of interest, in any CRS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from clippan_cli.rasters.geojson import LARGEST_COORDINATE, Move, cannot_be_projected, moves_to_pan
from clippan_cli.rasters.pair import Pair, first_centre
from clippan_cli.rasters.vector import ALL, Selection, read_shapes
from clippan_models.contracts import Window
from clippan_models.errors import IncompatiblePairError, InputError, UsageError

_SEGMENTS = 64  # pieces of the longer side of a shape that is to be reprojected: its edges are curves there
_SNAP = 1e-6  # PAN pixels: a box slanted by less counts as aligned


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
    if not all(abs(v) < LARGEST_COORDINATE for v in bbox):  # False for NaN
        raise UsageError(f"--bbox {left},{bottom},{right},{top} has a coordinate beyond any map")
    if left >= right or bottom >= top:
        raise UsageError(
            f"--bbox {left},{bottom},{right},{top} is empty: the order is left,bottom,right,top, "
            "and left < right, bottom < top"
        )
    return _region(_to_pan_crs(box(left, bottom, right, top), crs, pair, "--bbox"), pair, "--bbox")


def region_from_file(pair: Pair, path: Path, selection: Selection = ALL) -> Region:
    """The polygons of a file.

    Args:
        pair: the scene.
        path: see `read_shapes`.
        selection: which of its features count.

    Raises:
        InputError: not a file of polygons, or it does not say its CRS although the scene does.
        UsageError: see `read_shapes`.
        IncompatiblePairError: the area lies outside the scene.
    """
    found = read_shapes(path, selection)
    union = unary_union([area for shape in found.shapes for area in _areas(shapely.force_2d(shape))])
    if union.is_empty or union.area == 0:
        raise InputError(f"{path} holds no polygon with an area")
    if found.crs is None and pair.crs is not None:
        raise InputError(f"{path} does not say its CRS; write it into a copy with ogr2ogr -a_srs")
    return _region(_to_pan_crs(union, found.crs, pair, str(path)), pair, str(path))


def _areas(geometry: BaseGeometry) -> list[BaseGeometry]:
    """The polygons of a geometry, made valid; points and lines, also those that a repair leaves over, have no area."""
    if geometry.geom_type == "GeometryCollection":
        return [area for part in geometry.geoms for area in _areas(part)]
    if geometry.geom_type not in ("Polygon", "MultiPolygon"):
        return []
    return [geometry] if geometry.is_valid else _areas(shapely.make_valid(geometry))


def _to_pan_crs(polygon: BaseGeometry, crs: str | None, pair: Pair, origin: str) -> BaseGeometry:
    if crs is None:
        return polygon
    there, back = moves_to_pan(crs, pair, origin)
    moved = _moved(_dense(_around_scene(polygon, pair, back)), there)
    areas = _areas(moved) if np.isfinite(shapely.get_coordinates(moved)).all() else []
    if not areas:
        raise cannot_be_projected(crs, origin)
    return unary_union(areas)


def _around_scene(polygon: BaseGeometry, pair: Pair, back: Move) -> BaseGeometry:
    """The part of a polygon on and near the scene: a country can reach beyond where a projection holds."""
    to_map = pair.pan.grid.transform
    pixels = _dense(box(0, 0, pair.pan.width, pair.pan.height))
    left, bottom, right, top = _moved(pixels, lambda x, y: back(*(to_map @ (x, y)))).bounds
    margin = max(right - left, top - bottom)
    if not np.isfinite(margin):
        return polygon
    near = polygon.intersection(box(left - margin, bottom - margin, right + margin, top + margin))
    return polygon if near.is_empty else near


def _moved(polygon: BaseGeometry, move: Move) -> BaseGeometry:
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
