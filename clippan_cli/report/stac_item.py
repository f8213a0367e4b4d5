"""The STAC item of a result, and the collection of those of a batch, for catalogues.

Written without pystac, as items are read: a page of JSON needs no model of all that STAC can say.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyproj import CRS
from shapely import MultiPolygon, to_geojson
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

from clippan_cli import __version__
from clippan_cli.rasters.footprint import acquired, pixel_metres, valid_footprint
from clippan_cli.rasters.names import is_remote, public_name
from clippan_cli.rasters.options import Trust
from clippan_cli.rasters.source import RasterSource, open_source
from clippan_cli.report.files import write_text
from clippan_cli.scene.matching import tags_of
from clippan_cli.scene.scene import Scene
from clippan_cli.sharpening.run import Run
from clippan_models.errors import InputError, OutputError
from clippan_models.outside import read_json
from clippan_models.store.files import sha256_of

COLLECTION = "collection.json"

_VERSION = "1.1.0"
_EXTENSIONS = [
    "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
]
_COMMON_NAMES = {
    **{name: name for name in ("coastal", "blue", "green", "yellow", "red", "rededge", "nir")},
    **{"deepblue": "coastal", "rededge1": "rededge071", "rededge2": "rededge075", "nir1": "nir", "nir2": "nir09"},
    **{"swir1": "swir16", "swir2": "swir22", "nearinfrared": "nir", "near-infrared": "nir"},
}
_DESCRIPTION = "Images that clippan has sharpened, one item for each scene."


def write_item(path: Path, run: Run, provenance: Mapping[str, str]) -> Path:
    """Write the STAC item of a sharpened scene.

    Args:
        path: of the item, in the folder of the image.
        run: that has made it.
        provenance: the tags of the image.

    Raises:
        OutputError: it cannot be written.
    """
    image, quicklook = run.options.output, run.options.quicklook
    with ExitStack() as stack:
        result = open_source([str(image)], "fused", Trust(), stack)
        shape = _footprint(result)
        assets = {"data": {**_file(image, _media_type(result), "data"), **_bands(result, run)}}
        if quicklook is not None and quicklook.parent == image.parent:
            assets["overview"] = _file(quicklook, "image/png", "overview")
        item = {
            "type": "Feature",
            "stac_version": _VERSION,
            "stac_extensions": _EXTENSIONS,
            "id": image.stem,
            "geometry": None if shape is None else json.loads(to_geojson(shape)),
            **({} if shape is None else {"bbox": _box(shape)}),
            "properties": {**_when(run), **_how(run.scene, provenance), **_where(result)},
            "links": _sources(run),
            "assets": assets,
        }
    return write_text(path, json.dumps(item, indent=2) + "\n")


def check_collection(folder: Path, names: Sequence[Path], overwrite: bool) -> None:
    """Refuse, before any work, a collection that would replace a file that is none of clippan's.

    Raises:
        OutputError: there is one, or an item of the batch has the name of the collection.
    """
    path = folder / COLLECTION
    if any(name.with_suffix(".json").name.lower() == COLLECTION for name in names):
        raise OutputError(f"the item of a scene and the collection of all would both be {path}; use --name-template")
    if path.exists() and not overwrite and _contents(path).get("description") != _DESCRIPTION:
        raise OutputError(f"{path} exists; add --overwrite to replace it")


def write_collection(folder: Path, items: Sequence[Path]) -> Path:
    """Write the static collection of the items of a batch, as far as they are there.

    Raises:
        OutputError: it cannot be written.
    """
    found = {path.name: item for path in items if (item := _contents(path)).get("stac_extensions") == _EXTENSIONS}
    boxes = [item["bbox"] for item in found.values() if "bbox" in item]
    times = sorted(item["properties"]["datetime"] for item in found.values())
    collection = {
        "type": "Collection",
        "stac_version": _VERSION,
        "id": folder.resolve().name or "clippan",
        "description": _DESCRIPTION,
        "license": "other",
        "extent": {
            "spatial": {"bbox": [_around(boxes)]},
            "temporal": {"interval": [[times[0], times[-1]] if times else [None, None]]},
        },
        "links": [
            {"rel": "root", "href": f"./{COLLECTION}", "type": "application/json"},
            *({"rel": "item", "href": f"./{name}", "type": "application/geo+json"} for name in sorted(found)),
        ],
    }
    return write_text(folder / COLLECTION, json.dumps(collection, indent=2) + "\n")


def _around(boxes: Sequence[Sequence[float]]) -> list[float]:
    """The box around others; the whole globe where there are none, and all longitudes across the antimeridian."""
    if not boxes:
        return [-180, -90, 180, 90]
    wests, souths, easts, norths = zip(*boxes, strict=True)
    crossing = any(west > east for west, east in zip(wests, easts, strict=True))
    west, east = (-180, 180) if crossing else (min(wests), max(easts))
    return [west, min(souths), east, max(norths)]


def _contents(path: Path) -> dict[str, Any]:
    try:
        document = read_json(path, "STAC")
    except InputError:
        return {}
    return document if isinstance(document, dict) else {}


def _footprint(result: RasterSource) -> BaseGeometry | None:
    """Where on the globe the valid pixels lie, to about a tenth of a pixel; None where that is not known."""
    try:
        shape = valid_footprint(result.grid)
    except InputError:
        return None
    west, south, east, north = shape.bounds
    lean = shape.simplify(0.1 * max((east - west) / result.width, (north - south) / result.height))
    parts = [orient(part) for part in getattr(lean, "geoms", [lean])]  # counterclockwise, as GeoJSON has it
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)


def _box(shape: BaseGeometry) -> list[float]:
    """West, south, east, north; west is greater where the shape crosses the antimeridian."""
    parts = [part.bounds for part in getattr(shape, "geoms", [shape])]
    west, south, east, north = shape.bounds
    if (west, east) == (-180.0, 180.0):
        west, east = min(p[0] for p in parts if p[2] == 180.0), max(p[2] for p in parts if p[0] == -180.0)
    return [west, south, east, north]


def _when(run: Run) -> dict[str, str]:
    now = datetime.now(UTC)
    sources = (run.scene.pair.ms, run.scene.pair.pan)
    known = (acquired(tags_of(source), Path(source.names[0]).name) for source in sources)
    taken = next((time for time in known if time is not None), None)
    if taken is None:
        run.control.on_note("the files do not say when the images were taken: the STAC item has the time of this run")
    return {"datetime": _stamp(taken or now), "created": _stamp(now)}


def _stamp(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _how(scene: Scene, provenance: Mapping[str, str]) -> dict[str, Any]:
    ms, pan = (
        ", ".join(Path(public_name(name)).name for name in names) for names in (scene.files.ms, scene.files.pans)
    )
    lineage = f"{ms} sharpened with {pan} by clippan {__version__}, method {provenance['METHOD']}"
    platform = {} if scene.sensor.key == "generic" else {"platform": scene.sensor.key}
    return {**platform, "processing:lineage": lineage, "processing:software": {"clippan": __version__}}


def _where(result: RasterSource) -> dict[str, Any]:
    grid = result.grid
    placed: dict[str, Any] = {"proj:shape": [grid.height, grid.width], "proj:code": None}
    if grid.crs is None or grid.transform.is_identity:
        return placed
    code = grid.crs.to_epsg()
    named = {"proj:code": f"EPSG:{code}"} if code else {"proj:wkt2": CRS.from_wkt(grid.crs.to_wkt()).to_wkt()}
    corners = {"proj:transform": list(grid.transform)[:6], "proj:bbox": list(grid.bounds)}
    return placed | named | corners | _metres("gsd", result)


def _metres(key: str, result: RasterSource) -> dict[str, float]:
    """The side of a pixel on the ground, where the image has a place on the globe."""
    grid = result.grid
    if grid.crs is None or grid.transform.is_identity:
        return {}
    with suppress(InputError):
        return {key: round(pixel_metres(grid.transform, grid.width, grid.height, grid.crs), 4)}
    return {}


def _sources(run: Run) -> list[dict[str, str]]:
    """Links to MS and PAN; of an item that goes elsewhere, the lineage alone names those on this machine."""
    links = []
    for name in run.scene.files.names:
        if is_remote(name):
            links.append(public_name(name))
        elif not run.options.published:
            links.append(os.path.relpath(os.path.realpath(name), os.path.realpath(run.options.output.parent)))
    return [{"rel": "derived_from", "href": Path(href).as_posix() if "://" not in href else href} for href in links]


def _file(path: Path, media_type: str, role: str) -> dict[str, Any]:
    return {
        "href": f"./{path.name}",
        "type": media_type,
        "roles": [role],
        "file:size": path.stat().st_size,
        "file:checksum": f"1220{sha256_of(path)}",  # a multihash: SHA-256, of 32 bytes
    }


def _media_type(result: RasterSource) -> str:
    cog = result.grid.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"
    return "image/tiff; application=geotiff" + ("; profile=cloud-optimized" if cog else "")


def _bands(result: RasterSource, run: Run) -> dict[str, Any]:
    """What each band is, and how its values are stored."""
    grid, sensor = result.grid, run.scene.sensor.bands
    known = [sensor[band] if len(sensor) == run.scene.pair.ms.count else None for band in run.output.bands]
    pixel = _metres("spatial_resolution", result)
    optical, stored = [], []
    for number, band in enumerate(known):
        name = grid.descriptions[number] or (band.name if band else f"band {number + 1}")
        common = _COMMON_NAMES.get((band.name if band else name).lower().replace(" ", ""))
        wavelength = {"center_wavelength": sum(band.wavelength_nm) / 2000} if band else {}
        optical.append({"name": name, **({"common_name": common} if common else {}), **wavelength})
        stored.append({"data_type": grid.dtypes[number], **_values(grid, number), **pixel})
    return {"eo:bands": optical, "raster:bands": stored}


def _values(grid: Any, number: int) -> dict[str, Any]:
    """What the values of a band mean, as far as the file says."""
    nodata, unit = grid.nodatavals[number], grid.units[number]
    scaled = (grid.scales[number], grid.offsets[number]) != (1.0, 0.0)
    return {
        **({} if nodata is None else {"nodata": "nan" if nodata != nodata else nodata}),
        **({"unit": unit} if unit else {}),
        **({"scale": grid.scales[number], "offset": grid.offsets[number]} if scaled else {}),
    }
