"""The STAC items that `--stac` writes, as pystac reads them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import rasterio
from affine import Affine
from pyproj import Transformer
from shapely.geometry import box, shape

from tests.cli.conftest import MS_PIXEL, PAN_PIXEL, Desk, RunMain

pystac = pytest.importorskip("pystac", reason="needs pystac, of the extra dev")
from pystac.extensions.eo import EOExtension  # noqa: E402
from pystac.extensions.file import FileExtension  # noqa: E402
from pystac.extensions.projection import ProjectionExtension  # noqa: E402
from pystac.extensions.raster import RasterExtension  # noqa: E402
from pystac.validation.stac_validator import JsonSchemaSTACValidator  # noqa: E402


def read_item(path: Path) -> Any:
    """An item as pystac reads it, checked against the schemas of the core, which come with pystac."""
    document = json.loads(path.read_text())
    JsonSchemaSTACValidator().validate_core(document, pystac.STACObjectType.ITEM, document["stac_version"])
    return pystac.Item.from_file(str(path))


def common_names(asset: Any) -> list[str | None]:
    return [band.common_name for band in EOExtension.ext(asset).bands or ()]


def item_of(desk: Desk, run_main: RunMain, *extra: str, **pair: str) -> Any:
    run = run_main(desk.sharpen("--stac", *extra, **pair))
    assert run.code == 0, run.stderr
    return read_item(desk.out.with_suffix(".json"))


def test_an_item_tells_what_the_image_is_and_where(desk: Desk, run_main: RunMain) -> None:
    ms = desk.ms("20200102T030405_ms.tif")
    pan = desk.pan("20200102T030405_pan.tif")
    quicklook = str(desk.out.with_suffix(".png"))
    item = item_of(desk, run_main, "--sensor", "pleiades", "--quicklook", quicklook, ms=ms, pan=pan)
    asset = item.assets["data"]
    with rasterio.open(desk.out) as image:
        placed = ProjectionExtension.ext(item)
        assert (placed.code, placed.shape) == ("EPSG:32633", [image.height, image.width])
        assert placed.transform == list(image.transform)[:6] and placed.bbox == list(image.bounds)
        stored = RasterExtension.ext(asset).bands or []
        assert [band.data_type for band in stored] == list(image.dtypes)
    assert common_names(asset) == ["red", "green", "blue", "nir"]
    assert item.datetime == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert item.properties["platform"] == "pleiades" and item.properties["gsd"] == pytest.approx(0.5, rel=0.01)
    assert "20200102T030405_ms.tif sharpened with 20200102T030405_pan.tif" in item.properties["processing:lineage"]
    assert set(item.properties["processing:software"]) == {"clippan"}
    for name, file in (("data", desk.out), ("overview", Path(quicklook))):
        content, told = file.read_bytes(), FileExtension.ext(item.assets[name])
        assert (told.size, told.checksum) == (len(content), "1220" + hashlib.sha256(content).hexdigest())
        assert Path(item.assets[name].get_absolute_href()) == file
    sources = [link.get_absolute_href() for link in item.links if link.rel == "derived_from"]
    assert sources == [ms, pan]


def test_bands_are_those_written(desk: Desk, run_main: RunMain) -> None:
    item = item_of(desk, run_main, "--sensor", "pleiades", "--bands", "4,1")
    assert common_names(item.assets["data"]) == ["nir", "red"]


def test_without_a_time_in_the_files_that_of_the_run_is_taken(desk: Desk, run_main: RunMain) -> None:
    run = run_main(desk.sharpen("--stac"))
    assert any("do not say when" in note for note in run.notes)
    item = read_item(desk.out.with_suffix(".json"))
    assert abs(item.datetime - datetime.now(UTC)) < timedelta(minutes=5)


def test_the_geometry_is_that_of_valid_pixels(desk: Desk, run_main: RunMain) -> None:
    whole = shape(item_of(desk, run_main).geometry)
    left, top = PAN_PIXEL @ (0, 0)
    right, bottom = PAN_PIXEL @ (64, 64)
    corner = [[left, top], [left, bottom], [right, bottom], [left, top]]
    aoi = Path(desk.path("aoi.json"))
    crs = {"type": "name", "properties": {"name": "EPSG:32633"}}
    aoi.write_text(json.dumps({"type": "Polygon", "coordinates": [corner], "crs": crs}))
    half = item_of(desk, run_main, "--aoi", str(aoi), "--overwrite")
    assert shape(half.geometry).exterior.is_ccw
    assert shape(half.geometry).area == pytest.approx(whole.area / 2, rel=0.06)
    assert shape(half.geometry).within(whole.buffer(1e-7)) and half.bbox == pytest.approx(list(whole.bounds), abs=1e-5)


def test_an_image_across_the_antimeridian_has_two_parts(desk: Desk, run_main: RunMain) -> None:
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:32601", always_xy=True).transform(-180, 0.9)
    there = Affine.translation(x - 16, y + 16) @ Affine.translation(-500_000, -5_400_000)
    ms = desk.ms(crs="EPSG:32601", transform=there @ MS_PIXEL)
    pan = desk.pan(crs="EPSG:32601", transform=there @ PAN_PIXEL)
    item = item_of(desk, run_main, ms=ms, pan=pan)
    assert item.geometry["type"] == "MultiPolygon" and len(item.geometry["coordinates"]) == 2
    west, south, east, north = item.bbox
    assert 179 < west < 180 and -180 < east < -179 and south < 0.9 < north


def test_an_image_without_a_place_has_no_geometry(desk: Desk, run_main: RunMain) -> None:
    nowhere: dict[str, Any] = {"crs": None, "transform": Affine.identity()}
    item = item_of(desk, run_main, "--assume-aligned", ms=desk.ms(**nowhere), pan=desk.pan(**nowhere))
    assert item.geometry is None and item.bbox is None


def test_an_item_that_is_there_stays(desk: Desk, run_main: RunMain) -> None:
    item = desk.out.with_suffix(".json")
    item.write_text("mine")
    run = run_main(desk.sharpen("--stac"))
    assert run.code == 5 and "fused.json exists" in run.error_line
    assert item.read_text() == "mine" and not desk.out.exists()


@pytest.fixture
def archive(desk: Desk) -> Path:
    """Two scenes side by side."""
    folder = desk.folder / "archive"
    folder.mkdir()
    for number, day in enumerate(("20200102", "20200103")):
        away = Affine.translation(1000 * number, 0)
        desk.ms(f"archive/{day}T030405_ms.tif", transform=away @ MS_PIXEL)
        desk.pan(f"archive/{day}T030405_pan.tif", transform=away @ PAN_PIXEL)
    return folder


def batch(archive: Path, out: Path, *extra: str) -> list[str]:
    fast = ["--method", "exp", "--sensor", "generic", "--coregister", "off", "--no-quality", "-j", "1"]
    return ["batch", str(archive), "-o", str(out), "--stac", "--json", *fast, *extra]


def test_a_batch_has_a_collection(archive: Path, desk: Desk, run_main: RunMain) -> None:
    out = desk.folder / "sharp"
    run = run_main(batch(archive, out))
    assert run.code == 0, run.stderr
    scenes = json.loads(run.stdout)["scenes"]
    document = json.loads((out / "collection.json").read_text())
    JsonSchemaSTACValidator().validate_core(document, pystac.STACObjectType.COLLECTION, document["stac_version"])
    collection = pystac.Collection.from_file(str(out / "collection.json"))
    items = list(collection.get_items())
    assert sorted(item.get_self_href() for item in items) == sorted(scene["stac"] for scene in scenes)
    around = box(*collection.extent.spatial.bboxes[0])
    assert all(around.buffer(1e-9).contains(shape(item.geometry)) for item in items)
    times = [datetime(2020, 1, day, 3, 4, 5, tzinfo=UTC) for day in (2, 3)]
    assert collection.extent.temporal.intervals == [times]

    Path(scenes[0]["stac"]).unlink()
    again = json.loads(run_main(batch(archive, out)).stdout)["scenes"]
    assert [scene["outcome"] for scene in again] == ["done", "unchanged"]
    assert Path(scenes[0]["stac"]).exists()


def test_a_collection_of_somebody_else_stays(archive: Path, desk: Desk, run_main: RunMain) -> None:
    (desk.folder / "sharp").mkdir()
    theirs = desk.folder / "sharp" / "collection.json"
    theirs.write_text('{"type": "Collection"}')
    run = run_main(batch(archive, theirs.parent))
    assert run.code == 5 and "collection.json exists" in run.error_line
    assert [path.name for path in theirs.parent.iterdir()] == ["collection.json"]
