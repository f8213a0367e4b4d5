"""Polygons that a user names, in a GeoJSON, a Shapefile, a GeoPackage or a FlatGeobuf.

GeoJSON is read here. The others are read by pyogrio, with GDAL, which opens a file with any driver that it has. So the
format of a file is known by its first bytes before GDAL sees it, and no other driver may answer.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from clippan_cli.rasters.geojson import LARGEST_COORDINATE, read_geojson
from clippan_cli.rasters.names import check_local_path
from clippan_cli.running.extras import needed_by
from clippan_models.errors import InputError, UsageError, in_one_line, shown
from clippan_models.outside import MOST_VALUES, open_regular, too_large

LARGEST_VECTOR = 2**30
"""Bytes of a file of polygons other than GeoJSON, or of one that belongs to it."""

MOST_FEATURES = 200_000
"""Features that are read of a file."""

_HEAD = 100
_GEOPACKAGE = (b"GPKG", b"GP10", b"GP11")
_BESIDE_SHAPEFILE = (".shx", ".dbf", ".prj", ".cpg", ".qix", ".sbn", ".sbx")


@dataclass(frozen=True)
class Selection:
    """Which features of a file are wanted.

    Attributes:
        layer: the layer that holds them; None: the only one.
        where: a condition on their attributes, as SQL has it after WHERE; None: all.
    """

    layer: str | None = None
    where: str | None = None


ALL = Selection()
"""Nothing is left out."""


@dataclass(frozen=True)
class Shapes:
    """The geometries of a file.

    Attributes:
        shapes: one of each feature.
        crs: what they are in, as PROJ understands it; None: the file does not say.
    """

    shapes: Sequence[BaseGeometry]
    crs: str | None


def read_shapes(path: Path, selection: Selection = ALL) -> Shapes:
    """Read the geometries of a file.

    Raises:
        InputError: it cannot be read, is in another format, or holds too much.
        UsageError: the layer is not there or not clear, the condition cannot be understood, or pyogrio is missing.
    """
    driver = _driver_of(path)
    if driver is None and selection.layer is not None:
        raise UsageError(f"{selection.layer}: {shown(path)} is GeoJSON, which has no layers", "aoi_layer")
    if driver is None:
        document = read_geojson(path)
        if selection.where is None:
            return Shapes(document.shapes, document.crs)
        features = {"type": "FeatureCollection", "features": document.features}
        found = _read(path, json.dumps(features).encode(), "GeoJSON", selection)
        return Shapes(found.shapes, document.crs)
    for file in files_of_vector(path):
        _check_file(file, path)
    return _read(path, str(path.absolute()), driver, selection)


def files_of_vector(path: Path) -> list[Path]:
    """A file, and those that GDAL reads along with it where it is a Shapefile."""
    if path.suffix.lower() != ".shp":
        return [path]
    beside = (path.with_suffix(case) for suffix in _BESIDE_SHAPEFILE for case in (suffix, suffix.upper()))
    return [path, *filter(os.path.lexists, beside)]


def _driver_of(path: Path) -> str | None:
    """The driver of GDAL for a file, by its first bytes; None: it can only be GeoJSON."""
    try:
        with open_regular(path) as file:
            head = file.read(_HEAD)
    except OSError as error:
        what = "GeoJSON" if "json" in path.suffix.lower() else "polygons"
        raise InputError(f"{shown(path)} cannot be read as {what}: {error.strerror or error}") from error
    if head.startswith(b"\0\0\x27\x0a") and path.suffix.lower() == ".shp":
        return "ESRI Shapefile"
    if head.startswith(b"SQLite format 3\0") and head[68:72] in _GEOPACKAGE:
        return "GPKG"
    if head.startswith(b"fgb\x03"):
        return "FlatGeobuf"
    if b"\0" in head or head.lstrip().startswith((b"<", b"PK")) or path.suffix.lower() in _BESIDE_SHAPEFILE:
        raise InputError(
            f"{shown(path)} is neither GeoJSON nor a Shapefile (.shp), GeoPackage or FlatGeobuf; convert it with "
            "ogr2ogr"
        )
    return None


def _check_file(file: Path, path: Path) -> None:
    """Refuse a file that is too large, or that lies outside of the folder of the one that the user has named."""
    check_local_path(str(file))
    folders = {os.path.realpath(path.parent), os.path.dirname(os.path.realpath(path))}
    if os.path.dirname(os.path.realpath(file)) not in folders:
        raise InputError(f"{shown(path)} leads to {shown(file)}, which lies outside its folder; copy it there")
    if file.stat().st_size > LARGEST_VECTOR:
        raise too_large(file, "a file of polygons", LARGEST_VECTOR)


def _read(path: Path, source: str | bytes, driver: str, selection: Selection) -> Shapes:
    """The features wanted of a file, or of its content in memory."""
    with needed_by("--aoi-where" if driver == "GeoJSON" else f"--aoi with a file as {path.name}", "vector"):
        import pyogrio
    failures = (ValueError, RuntimeError)  # of pyogrio; its own errors are RuntimeErrors
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            layer = _chosen_layer(path, pyogrio.list_layers(source), selection.layer)
            known = pyogrio.read_info(source, layer=layer)["driver"]
        except failures as error:
            raise InputError(f"{shown(path)} cannot be read: {in_one_line(error)}; is it damaged?") from error
        if known != driver:
            raise InputError(f"{shown(path)} is not the {driver} that it seems to be")
        wanted: dict[str, Any] = {"layer": layer, "where": selection.where, "columns": None if selection.where else []}
        try:
            meta, _, geometries, _ = pyogrio.raw.read(source, **wanted, force_2d=True, max_features=MOST_FEATURES + 1)
        except failures as error:
            if selection.where is None:
                raise InputError(f"{shown(path)} cannot be read: {in_one_line(error)}; is it damaged?") from error
            raise UsageError(f"{selection.where}: {in_one_line(error)}", "aoi_where") from error
    return Shapes(_checked(path, geometries, selection), meta["crs"])


def _chosen_layer(path: Path, layers: Any, wanted: str | None) -> int:
    """The number of the layer wanted, or of the only one that has geometries."""
    names = {str(name): number for number, (name, kind) in enumerate(layers) if kind is not None}
    if wanted is None and len(names) == 1:
        return next(iter(names.values()))
    if wanted in names:
        return names[wanted]
    listed = ", ".join(names) or "none with geometries"
    if wanted is None:
        raise UsageError(f"{shown(path)} has several layers; choose one with --aoi-layer: {listed}")
    raise UsageError(f"{wanted}: there is no such layer in {shown(path)}; it has {listed}", "aoi_layer")


def _checked(path: Path, geometries: Any, selection: Selection) -> list[BaseGeometry]:
    """The geometries that a file holds, if they are not too many and lie on a map."""
    if len(geometries) > MOST_FEATURES:
        raise InputError(f"{shown(path)} has more than {MOST_FEATURES:,} features; choose some with --aoi-where")
    if not len(geometries) and selection.where is not None:
        raise UsageError(f"{selection.where}: no feature of {shown(path)} fits", "aoi_where")
    try:
        shapes = [shape for shape in shapely.from_wkb(geometries) if shape is not None]
    except shapely.errors.ShapelyError as error:
        raise InputError(f"{shown(path)} holds a geometry that cannot be read: {in_one_line(error)}") from error
    corners = shapely.get_coordinates(shapes)
    if 2 * len(corners) > MOST_VALUES:
        raise InputError(f"{shown(path)} has more than {MOST_VALUES:,} coordinates; choose features with --aoi-where")
    if not (np.abs(corners) < LARGEST_COORDINATE).all():  # False for NaN
        raise InputError(f"{shown(path)} has a coordinate beyond any map")
    return shapes
