"""Polygons in the formats of GIS: the features wanted, in the CRS of the file, and no other file than the one named."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import shapely
from shapely.geometry import box

from clippan_cli.rasters import vector
from clippan_cli.rasters.vector import Selection, read_shapes
from clippan_models.errors import InputError, UsageError

pyogrio = pytest.importorskip("pyogrio", reason="pyogrio is the extra [vector]")

SQUARES = [box(10 * n, 0, 10 * n + 5, 5) for n in range(3)]
DRIVERS = {".shp": "ESRI Shapefile", ".gpkg": "GPKG", ".fgb": "FlatGeobuf"}


def written(path: Path, layer: str | None = None, crs: str | None = "EPSG:32631", append: bool = False) -> Path:
    """Three squares with a name and a number each."""
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(SQUARES),
        field_data=[np.array(["wood", "lake", "wood"], object), np.array([1, 2, 3])],
        fields=["kind", "number"],
        layer=layer,
        driver=DRIVERS[path.suffix],
        geometry_type="Polygon",
        crs=crs,
        append=append,
    )
    return path


def geojson(path: Path) -> Path:
    kinds = zip(SQUARES, ["wood", "lake", "wood"], [1, 2, 3], strict=True)
    features = [
        {"type": "Feature", "properties": {"kind": k, "number": n}, "geometry": shapely.geometry.mapping(s)}
        for s, k, n in kinds
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def made(folder: Path, suffix: str) -> Path:
    path = folder / f"areas{suffix}"
    return geojson(path) if suffix == ".geojson" else written(path)


def same(found: vector.Shapes, wanted: list[shapely.Polygon]) -> bool:
    return {shape.normalize().wkt for shape in found.shapes} == {shape.normalize().wkt for shape in wanted}


@pytest.mark.parametrize("suffix", [*DRIVERS, ".geojson"])
def test_all_features_and_those_with_an_attribute(suffix: str, tmp_path: Path) -> None:
    path = made(tmp_path, suffix)
    everything = read_shapes(path)
    assert same(everything, SQUARES)
    assert everything.crs == ("OGC:CRS84" if suffix == ".geojson" else "EPSG:32631")
    chosen = read_shapes(path, Selection(where="kind = 'wood' AND number > 1"))
    assert same(chosen, SQUARES[2:]) and chosen.crs == everything.crs


def test_a_layer_of_several(tmp_path: Path) -> None:
    path = written(tmp_path / "areas.gpkg", layer="parcels")
    written(path, layer="roads", append=True)
    with pytest.raises(UsageError, match="--aoi-layer: parcels, roads"):
        read_shapes(path)
    assert same(read_shapes(path, Selection("roads", "number = 2")), SQUARES[1:2])
    with pytest.raises(UsageError, match=r"no such layer in .*it has parcels, roads"):
        read_shapes(path, Selection("woods"))


def test_geojson_has_no_layers(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no layers"):
        read_shapes(geojson(tmp_path / "areas.geojson"), Selection("roads"))


@pytest.mark.parametrize("suffix", [*DRIVERS, ".geojson"])
@pytest.mark.parametrize(
    "where, words", [("number = 9", "no feature"), ("colour = 1", "aoi_where"), ("=", "aoi_where")]
)
def test_a_condition_that_selects_nothing(suffix: str, where: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        read_shapes(made(tmp_path, suffix), Selection(where=where))


def test_a_shapefile_that_does_not_say_its_crs(tmp_path: Path) -> None:
    path = written(tmp_path / "areas.shp")
    path.with_suffix(".prj").unlink()
    assert read_shapes(path).crs is None


@pytest.mark.parametrize("content", [b"PK\x03\x04" + b"\0" * 200, b"<OGRVRTDataSource/>", b"<kml/>", b"\x89PNG\0\0"])
def test_other_formats_are_not_shown_to_gdal(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyogrio, "list_layers", lambda _: pytest.fail("GDAL has opened it"))
    path = tmp_path / "areas.shp"
    path.write_bytes(content)
    with pytest.raises(InputError, match="ogr2ogr"):
        read_shapes(path)


def test_a_database_that_only_claims_to_be_a_geopackage(tmp_path: Path) -> None:
    path = tmp_path / "areas.gpkg"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE notes (text)")
        database.execute("PRAGMA application_id = 0x47504B47")
    with pytest.raises((InputError, UsageError), match=r"areas\.gpkg"):
        read_shapes(path)


@pytest.mark.parametrize("suffix", DRIVERS)
def test_a_file_cut_short(suffix: str, tmp_path: Path) -> None:
    path = made(tmp_path, suffix)
    os.truncate(path, 120)
    with pytest.raises((InputError, UsageError), match=r"areas\."):
        read_shapes(path)


def test_a_shapefile_whose_table_is_elsewhere(tmp_path: Path) -> None:
    path = written(tmp_path / "areas.shp")
    (tmp_path / "other").mkdir()
    table = path.with_suffix(".dbf").rename(tmp_path / "other" / "areas.dbf")
    path.with_suffix(".dbf").symlink_to(table)
    with pytest.raises(InputError, match="outside its folder"):
        read_shapes(path)
    path.with_suffix(".dbf").unlink()
    os.mkfifo(path.with_suffix(".dbf"))
    with pytest.raises(InputError, match="not a regular file"):
        read_shapes(path)


@pytest.mark.parametrize("bound, value", [("LARGEST_VECTOR", 90), ("MOST_FEATURES", 2), ("MOST_VALUES", 20)])
def test_too_much(bound: str, value: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector, bound, value)
    with pytest.raises(InputError, match=r"larger than|more than"):
        read_shapes(written(tmp_path / "areas.gpkg"))


def test_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "areas.shp")
    monkeypatch.setitem(__import__("sys").modules, "pyogrio", None)
    with pytest.raises(UsageError, match="vector"):
        read_shapes(path)
    assert same(read_shapes(geojson(tmp_path / "areas.geojson")), SQUARES)
