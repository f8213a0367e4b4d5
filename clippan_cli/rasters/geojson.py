"""GeoJSON that a user names: its features, their shapes, and the way from its CRS to that of PAN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from clippan_cli.rasters.pair import Pair
from clippan_models.errors import IncompatiblePairError, InputError, UsageError
from clippan_models.outside import read_json

LARGEST_COORDINATE = 1e15
"""Beyond every coordinate of a map, in whatever unit."""

Move = Callable[..., Any]
"""Takes x and y, numbers or arrays, to those in another CRS."""


@dataclass(frozen=True)
class GeoJson:
    """A GeoJSON file.

    Attributes:
        features: those that have a geometry.
        shapes: their geometries, in the same order.
        crs: longitude and latitude by RFC 7946, unless the file has the older `crs` member.
    """

    features: tuple[dict[str, Any], ...]
    shapes: tuple[BaseGeometry, ...]
    crs: str


def read_geojson(path: Path) -> GeoJson:
    """Read a GeoJSON file: a collection, one feature, or a bare geometry.

    Raises:
        InputError: it cannot be read, or is not GeoJSON.
    """
    document = read_json(path, "GeoJSON")
    if not isinstance(document, dict):
        raise InputError(f"{path} is not GeoJSON: its top level is not an object")
    listed = document.get("features", [document])
    if not isinstance(listed, list) or not all(isinstance(f, dict) for f in listed):
        raise InputError(f"{path} is not GeoJSON: its features are not a list of objects")
    features = tuple(f for f in listed if f.get("geometry", f) is not None)
    try:
        shapes = tuple(shape(f.get("geometry", f)) for f in features)
    except Exception as error:  # shapely raises whatever a wrong nesting trips over
        raise InputError(f"{path} holds a geometry that is not GeoJSON: {error}") from error
    if not (np.abs(shapely.get_coordinates(shapes)) < LARGEST_COORDINATE).all():  # False for NaN
        raise InputError(f"{path} has a coordinate beyond any map")
    try:
        crs = str(document["crs"]["properties"]["name"])
    except (KeyError, TypeError):
        crs = "OGC:CRS84"
    return GeoJson(features, shapes, crs)


def moves_to_pan(crs: str, pair: Pair, origin: str) -> tuple[Move, Move]:
    """The way from a CRS to that of PAN, and back.

    Args:
        crs: anything that PROJ understands.
        pair: whose PAN it is.
        origin: what is in that CRS, for messages.

    Raises:
        UsageError: the scene has no CRS, or PROJ does not know the other one.
        IncompatiblePairError: there is no way between the two.
    """
    if pair.crs is None:
        raise UsageError(f"{origin} is in {crs}, but the scene has no CRS")
    try:
        source = pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise UsageError(f"{origin}: {crs} is not a CRS that PROJ knows") from error
    target = pyproj.CRS.from_wkt(pair.crs.to_wkt())
    try:
        there = pyproj.Transformer.from_crs(source, target, always_xy=True).transform
        back = pyproj.Transformer.from_crs(target, source, always_xy=True).transform
    except pyproj.exceptions.ProjError as error:
        raise cannot_be_projected(crs, origin) from error
    return there, back


def cannot_be_projected(crs: str, origin: str) -> IncompatiblePairError:
    """The error for what has no image in the CRS of the scene."""
    return IncompatiblePairError(f"{origin} cannot be projected from {crs} to the CRS of the scene")
