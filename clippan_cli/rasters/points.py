"""Points that a user names in a GeoJSON file, on the PAN grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clippan_cli.rasters.geojson import moves_to_pan, read_geojson
from clippan_cli.rasters.pair import Pair
from clippan_models.errors import IncompatiblePairError

_MOST = 24


@dataclass(frozen=True)
class NamedPoint:
    """A point on the PAN grid: row and column of the pixel that holds it."""

    name: str
    row: int
    col: int


def read_points(pair: Pair, path: Path) -> tuple[NamedPoint, ...]:
    """The points of a file, without those outside PAN; polygons and lines stand for a point within them.

    Raises:
        InputError: not a GeoJSON file of geometries.
        UsageError: its CRS is unknown.
        IncompatiblePairError: no point lies on PAN.
    """
    document = read_geojson(path)
    to_pan = moves_to_pan(document.crs, pair, str(path))[0] if pair.crs is not None else lambda x, y: (x, y)
    found = []
    for number, (feature, shape) in enumerate(zip(document.features, document.shapes, strict=True), start=1):
        if shape.is_empty:
            continue
        point = shape.representative_point()
        col, row = ~pair.pan.grid.transform @ to_pan(point.x, point.y)
        if 0 <= row < pair.pan.height and 0 <= col < pair.pan.width:
            properties = feature.get("properties")
            name = properties.get("name") if isinstance(properties, dict) else None
            found.append(NamedPoint(name if name and isinstance(name, str) else f"point {number}", int(row), int(col)))
    if not found:
        raise IncompatiblePairError(f"no point of {path} lies on {pair.pan.name}; is its CRS right?")
    return tuple(found[:_MOST])
