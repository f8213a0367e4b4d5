"""Places that a user names: the points of a GeoJSON file, on the PAN grid."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyproj
from shapely.geometry import shape

from clippan_cli.rasters.pair import Pair
from clippan_models.errors import IncompatiblePairError, InputError

_MOST = 24

Move = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True)
class NamedPoint:
    """A place on the PAN grid: row and column of the pixel that holds it."""

    name: str
    row: int
    col: int


def read_points(pair: Pair, path: Path) -> tuple[NamedPoint, ...]:
    """The points of a file, those outside of PAN left out; polygons and lines stand for a point within them.

    Raises:
        InputError: not a GeoJSON file of geometries.
        IncompatiblePairError: no point lies on PAN.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        features = document.get("features", [document])
        shapes = [shape(f.get("geometry", f)).representative_point() for f in features]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # json, shapely and wrong nesting raise whatever they trip over
        raise InputError(f"{path} cannot be read as GeoJSON points: {error}") from error
    move = _to_pan_crs(document, pair, path)
    found = []
    for number, (feature, one) in enumerate(zip(features, shapes, strict=True), start=1):
        col, row = ~pair.pan.grid.transform @ move(one.x, one.y)
        if 0 <= row < pair.pan.height and 0 <= col < pair.pan.width:
            properties = feature.get("properties") or {}
            found.append(NamedPoint(str(properties.get("name") or f"point {number}"), int(row), int(col)))
    if not found:
        raise IncompatiblePairError(f"no point of {path} lies on {pair.pan.name}; is its CRS right?")
    return tuple(found[:_MOST])


def _to_pan_crs(document: dict[str, Any], pair: Pair, path: Path) -> Move:
    """From the CRS of a GeoJSON document to that of PAN: RFC 7946, unless it has the older `crs` member."""
    if pair.crs is None:
        return lambda x, y: (x, y)
    try:
        name = str(document["crs"]["properties"]["name"])
    except (KeyError, TypeError):
        name = "OGC:CRS84"
    try:
        there = pyproj.Transformer.from_crs(
            pyproj.CRS.from_user_input(name), pyproj.CRS.from_wkt(pair.crs.to_wkt()), always_xy=True
        )
    except pyproj.exceptions.ProjError as error:
        raise InputError(f"{path}: {name} cannot be brought to the CRS of {pair.pan.name}") from error
    return lambda x, y: there.transform(x, y)
