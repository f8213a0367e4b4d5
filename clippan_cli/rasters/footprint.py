"""Where and when a raster was taken: its footprint on the globe, its pixel size in metres, and its time."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import shapes
from shapely import MultiPolygon, Polygon, affinity, box, make_valid
from shapely.errors import GEOSException
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from clippan_models.errors import InputError

_EDGE_POINTS = 21  # along each edge: straight lines of one CRS are curves in another
_COARSE = 512  # pixels
_WORLD = box(-180, -90, 180, 90)
_TIME_KEYS = (
    "ACQUISITIONDATETIME",
    "ACQUISITION_DATETIME",
    "ACQUISITION_TIME",
    "FIRSTLINETIME",
    "IMAGING_TIME",
    "SENSING_TIME",
    "DATETIME_ACQUIRED",
    "DATETIME",
)
"""Tags that tell when an image was taken. TIFFTAG_DATETIME tells when its file was made, and is not one of them."""

_DATE = re.compile(r"(?<!\d)((?:19|20)\d{2})-?(0\d|1[0-2])-?([0-2]\d|3[01])(?!\d)")
_SHORT_STAMP = re.compile(
    r"(?<!\d)(\d{2}(?:JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\d{8})(?!\d)", re.IGNORECASE
)
_STAMP = re.compile(r"(?<!\d)(20\d{2}|19\d{2})-?(\d{2})-?(\d{2})[T_-]?(\d{2}):?(\d{2}):?(\d{2})(?!\d)")


def footprint(transform: Affine, width: int, height: int, crs: Any) -> BaseGeometry:
    """What a raster covers, in degrees of longitude -180 .. 180 and latitude; in two parts across the antimeridian.

    Raises:
        InputError: it lies nowhere on the globe.
    """
    steps = np.linspace(0, 1, _EDGE_POINTS)[:-1]
    zeros, ones = np.zeros_like(steps), np.ones_like(steps)
    cols = np.concatenate([steps, ones, 1 - steps, zeros]) * width
    rows = np.concatenate([zeros, steps, ones, 1 - steps]) * height
    return _one_shape(_on_globe(transform, cols, rows, crs))


def valid_footprint(dataset: Any) -> BaseGeometry:
    """What the valid pixels of a raster cover, as `footprint`; seen at 512 pixels along its longer side, without holes.

    Raises:
        InputError: nothing of it is valid, or it lies nowhere on the globe.
    """
    if dataset.crs is None or dataset.transform.is_identity:
        raise InputError("it has no place on the globe")
    coarse = max(1.0, max(dataset.height, dataset.width) / _COARSE)
    shape = math.ceil(dataset.height / coarse), math.ceil(dataset.width / coarse)
    valid = dataset.dataset_mask(out_shape=shape) > 0
    if valid.all():
        return footprint(dataset.transform, dataset.width, dataset.height, dataset.crs)
    seen = Affine.scale(dataset.width / shape[1], dataset.height / shape[0])
    parts = [Polygon(part["coordinates"][0]) for part, _ in shapes(valid.astype(np.uint8), valid, transform=seen)]
    outline = unary_union(parts).simplify(coarse)
    polygons = []
    for part in getattr(outline, "geoms", [outline]):
        ring = np.array(part.exterior.segmentize(max(dataset.width, dataset.height) / _EDGE_POINTS).coords)
        polygons += _on_globe(dataset.transform, ring[:, 0], ring[:, 1], dataset.crs)
    return _one_shape(polygons)


def _on_globe(transform: Affine, cols: NDArray[np.float64], rows: NDArray[np.float64], crs: Any) -> list[Polygon]:
    """The area within a ring of pixel coordinates, in degrees; in two parts across the antimeridian.

    Raises:
        InputError: it lies nowhere on the globe.
    """
    lon, lat = _degrees(transform, cols, rows, crs)
    lon = np.rad2deg(np.unwrap(np.deg2rad(lon)))
    try:
        outline = make_valid(Polygon(zip(lon, lat, strict=True)))
        parts = [affinity.translate(outline, turn).intersection(_WORLD) for turn in (-360, 0, 360)]
        return [p for part in parts for p in getattr(part, "geoms", [part]) if isinstance(p, Polygon) and p.area]
    except (GEOSException, ValueError) as error:
        raise InputError(f"its footprint is not an area on the globe ({error})") from error


def _one_shape(polygons: list[Polygon]) -> BaseGeometry:
    if not polygons:
        raise InputError("its footprint is not an area on the globe")
    return polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)


def pixel_metres(transform: Affine, width: int, height: int, crs: Any) -> float:
    """Side of a pixel on the ground at the middle of a raster: the mean of its two sides.

    Raises:
        InputError: it lies nowhere on the globe.
    """
    middle = np.array([width / 2, width / 2 + 1, width / 2]), np.array([height / 2, height / 2, height / 2 + 1])
    lon, lat = _degrees(transform, *middle, crs)
    _, _, lengths = pyproj.Geod(ellps="WGS84").inv([lon[0]] * 2, [lat[0]] * 2, list(lon[1:]), list(lat[1:]))
    return float(np.sqrt(lengths[0] * lengths[1]))


def acquired(tags: Mapping[str, str], name: str) -> datetime | None:
    """When an image was taken, by its tags, else by a date with a time to the second in its name.

    Args:
        tags: by their names, whatever their domain.
        name: of the file.
    """
    upper = {key.upper().rpartition(".")[2]: value for key, value in tags.items()}
    for key in _TIME_KEYS:
        if key in upper and (found := _parsed(upper[key])) is not None:
            return found
    try:
        if short := _SHORT_STAMP.search(Path(name).stem):  # of Maxar
            return datetime.strptime(short[1], "%y%b%d%H%M%S").replace(tzinfo=UTC)
        stamp = _STAMP.search(Path(name).stem)
        if stamp is None:
            return None
        year, month, day, hour, minute, second = (int(group) for group in stamp.groups())
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:  # digits that are not a date
        return None


def without_time(name: str) -> str:
    """A name without the date and time that `acquired` would find in it."""
    return _SHORT_STAMP.sub("", _STAMP.sub("", name))


def date_in(name: str) -> str | None:
    """The date without a time that a name holds, as YYYYMMDD."""
    found = _DATE.search(Path(name).stem)
    return "".join(found.groups()) if found else None


def _parsed(text: str) -> datetime | None:
    cleaned = re.sub(r"^(\d{4}):(\d{2}):(\d{2}) ", r"\1-\2-\3 ", text.strip().strip('"'))
    cleaned = re.sub(r"\s*(UTC|Z)$", "+00:00", cleaned)
    cleaned = re.sub(r"\.(\d{1,6})\d*", lambda digits: "." + digits[1].ljust(6, "0"), cleaned)
    try:
        found = datetime.fromisoformat(cleaned)
    except ValueError:
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    has_time = len(cleaned) > len("2000-01-01")
    return found if has_time else None


def _degrees(
    transform: Affine, cols: NDArray[np.float64], rows: NDArray[np.float64], crs: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x = transform.a * cols + transform.b * rows + transform.c
    y = transform.d * cols + transform.e * rows + transform.f
    try:
        to_globe = pyproj.Transformer.from_crs(pyproj.CRS.from_user_input(crs.to_wkt()), "EPSG:4326", always_xy=True)
        lon, lat = to_globe.transform(x, y, errcheck=True)
    except pyproj.exceptions.ProjError as error:
        raise InputError(
            f"its corners cannot be converted to longitude and latitude ({' '.join(str(error).split())})"
        ) from error
    lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise InputError("its corners have no longitude and latitude")
    return lon, lat
