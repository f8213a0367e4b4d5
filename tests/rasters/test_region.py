"""Do `--bbox` and `--aoi` give the pixels asked for, and the same values as the whole scene has there?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box, mapping
from shapely.geometry.base import BaseGeometry

from clippan_cli.rasters.options import PairOptions
from clippan_cli.scene.synthetic import DemoScene
from clippan_models.errors import IncompatiblePairError, InputError, UsageError
from tests.conftest import PAN_PIXEL, UTM31, Bench, Grid, Output

WGS84 = "EPSG:4326"
NEAR = 1e-3  # pixels: a centre this near an outline may fall on either side


@dataclass(frozen=True)
class Place:
    """A pair and what it gives as a whole."""

    bench: Bench
    ms: str
    pan: str
    whole: Output

    def part(self, **region: Any) -> Output:
        """A part of it."""
        return self.bench.sharpen(self.ms, self.pan, **region)

    def check(self, output: Output, area: BaseGeometry, crs: str | None = UTM31) -> None:
        """The output has the pixels of an area, in a CRS, and their values are those of the whole scene."""
        grid = self.whole.grid
        inside, outside = self.sides(area, crs)
        row, col = self.offset(output)
        here = np.zeros((grid.height, grid.width), np.bool_)
        here[row : row + output.grid.height, col : col + output.grid.width] = output.valid.all(0)
        assert here[inside].all() and not here[outside].any() and here.any()
        window = (slice(None), slice(row, row + output.grid.height), slice(col, col + output.grid.width))
        np.testing.assert_array_equal(output.pixels[output.valid], self.whole.pixels[window][output.valid])

    def sides(self, area: BaseGeometry, crs: str | None) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Pixels of the whole scene whose centre lies in an area, and those whose centre does not."""
        grid = self.whole.grid
        x, y = grid.centres()
        if crs is not None and crs != UTM31:
            x, y = pyproj.Transformer.from_crs(grid.crs, crs, always_xy=True).transform(x, y)
        near = NEAR * (x[0, 1] - x[0, 0])
        sides = (shapely.contains_xy(area.buffer(d), x, y) for d in (-abs(near), abs(near)))
        inside, around = (np.asarray(side, np.bool_) for side in sides)
        return inside, ~around

    def offset(self, output: Output) -> tuple[int, int]:
        """Row and column of the output in the whole scene."""
        col, row = ~self.whole.grid.transform @ (output.grid.transform @ (0, 0))
        assert abs(col - round(col)) < 1e-6 and abs(row - round(row)) < 1e-6
        return round(row), round(col)


def write_place(bench: Bench, town: DemoScene, pan: Grid) -> Place:
    ms = Grid(pan.transform @ Affine.scale(4), 32, 32, pan.crs)
    names = (
        bench.write("ms.tif", np.rint(town.ms).astype("uint16"), ms),
        bench.write("pan.tif", np.rint(town.pan).astype("uint16"), pan),
    )
    return Place(bench, *names, bench.sharpen(*names))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, town: DemoScene) -> Place:
    return write_place(Bench(tmp_path_factory.mktemp("place")), town, Grid(PAN_PIXEL, 128, 128))


X, Y = 500_000, 4_000_000
BOXES = {
    "on pixel edges": (X + 10, Y - 40, X + 30, Y - 10),
    "through pixels": (X + 10.3, Y - 40.17, X + 30.26, Y - 10.6),
    "through centres": (X + 10.25, Y - 40.25, X + 30.25, Y - 10.25),
    "half outside": (X - 70, Y - 30, X + 8, Y + 99),
    "larger than the scene": (X - 500, Y - 500, X + 500, Y + 500),
    "a strip": (X + 0.1, Y - 20.4, X + 64, Y - 19.6),
    "one pixel": (X + 10.1, Y - 20.4, X + 10.4, Y - 20.1),
}


@pytest.mark.parametrize("name", BOXES)
def test_a_box_gives_the_pixels_whose_centre_lies_in_it(place: Place, name: str) -> None:
    output = place.part(bbox=BOXES[name])
    place.check(output, box(*BOXES[name]))
    assert output.valid.all()
    assert output.nodata is None


@pytest.mark.parametrize("crs", [WGS84, "EPSG:32632", "EPSG:3035"])
def test_a_box_in_another_crs_is_a_slanted_area(place: Place, crs: str) -> None:
    change = pyproj.Transformer.from_crs(UTM31, crs, always_xy=True)
    left, bottom = change.transform(X + 14, Y - 45)
    right, top = change.transform(X + 41, Y - 12)
    area = (min(left, right), min(bottom, top), max(left, right), max(bottom, top))
    place.check(place.part(bbox=area, bbox_crs=crs), box(*area), crs)


def test_naming_the_crs_of_the_scene_changes_nothing(place: Place) -> None:
    plain = place.part(bbox=BOXES["through pixels"])
    named = place.part(bbox=BOXES["through pixels"], bbox_crs=UTM31)
    assert named.grid == plain.grid and named.nodata is None
    with rasterio.open(named.path) as dataset:
        assert MaskFlags.all_valid in dataset.mask_flag_enums[0]
    np.testing.assert_array_equal(named.pixels, plain.pixels)


@pytest.mark.parametrize(
    "pan",
    [
        Grid(PAN_PIXEL @ Affine.rotation(30), 128, 128),
        Grid(PAN_PIXEL @ Affine.translation(0, 128) @ Affine.scale(1, -1), 128, 128),
    ],
    ids=["rotated", "south-up"],
)
def test_a_box_is_a_box_on_the_map_however_the_rows_of_pan_run(bench: Bench, town: DemoScene, pan: Grid) -> None:
    turned = write_place(bench, town, pan)
    x, y = pan.middle
    area = (x - 13, y - 7, x + 9, y + 16)
    turned.check(turned.part(bbox=area), box(*area))


def test_a_scene_without_crs_has_a_box_in_its_own_coordinates(bench: Bench, town: DemoScene) -> None:
    bare = write_place(bench, town, Grid(PAN_PIXEL, 128, 128, None))
    bare.check(bare.part(bbox=BOXES["through pixels"]), box(*BOXES["through pixels"]), None)
    with pytest.raises(UsageError, match="no CRS"):
        bare.part(bbox=(3.0, 36.0, 3.1, 36.2), bbox_crs=WGS84)


def test_a_box_and_the_whole_of_pan_go_together(place: Place, town: DemoScene) -> None:
    ms = Grid(PAN_PIXEL @ Affine.scale(4), 16, 32)
    left_half = place.bench.write("left.tif", np.rint(town.ms[:, :, :16]).astype("uint16"), ms)
    area = (X + 25, Y - 20, X + 40, Y - 10)
    output = place.bench.sharpen(left_half, place.pan, bbox=area, pair=PairOptions(extent="pan"))
    assert (output.grid.width, output.grid.height) == (30, 20)
    assert output.valid[:, :, :14].all() and not output.valid[:, :, 14:].any()


def to_wgs84(area: BaseGeometry) -> BaseGeometry:
    """An area in the CRS of the scene, in longitude and latitude."""
    change = pyproj.Transformer.from_crs(UTM31, WGS84, always_xy=True)
    moved = shapely.transform(area, lambda xy: np.column_stack(change.transform(xy[:, 0], xy[:, 1])))
    return moved


FIELD = Polygon(
    [(X + 5, Y - 5), (X + 50, Y - 12), (X + 31, Y - 58)],
    [[(X + 20, Y - 20), (X + 30, Y - 20), (X + 25, Y - 30)]],
)
FIELDS = MultiPolygon([FIELD, Polygon([(X + 2, Y - 40), (X + 12, Y - 40), (X + 2, Y - 60)])])


def feature(area: BaseGeometry) -> dict[str, Any]:
    return {"type": "Feature", "properties": {"name": "a field"}, "geometry": mapping(area)}


def collection(*areas: BaseGeometry, **members: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": [feature(a) for a in areas], **members}


def with_height(area: Polygon) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[(x, y, 100.0) for x, y in area.exterior.coords]]}


BOW_TIE = Polygon([(X + 10, Y - 10), (X + 40, Y - 40), (X + 40, Y - 10), (X + 10, Y - 40)])
SPIKED = Polygon([(X + 2, Y - 40), (X + 12, Y - 40), (X + 50, Y - 40), (X + 12, Y - 40), (X + 2, Y - 60)])
IN_UTM = {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}}
DOCUMENTS: dict[str, tuple[dict[str, Any], BaseGeometry, str]] = {
    "a geometry": (mapping(to_wgs84(FIELD)), to_wgs84(FIELD), WGS84),
    "a feature": (feature(to_wgs84(FIELD)), to_wgs84(FIELD), WGS84),
    "several features": (collection(*(to_wgs84(f) for f in FIELDS.geoms)), to_wgs84(FIELDS), WGS84),
    "a multi-polygon": (collection(to_wgs84(FIELDS)), to_wgs84(FIELDS), WGS84),
    "beside points and lines": (
        collection(to_wgs84(FIELD), to_wgs84(Point(X, Y)), to_wgs84(LineString([(X, Y), (X + 9, Y - 9)]))),
        to_wgs84(FIELD),
        WGS84,
    ),
    "a geometry collection": (
        {
            "type": "GeometryCollection",
            "geometries": [mapping(to_wgs84(Point(X, Y))), *(mapping(to_wgs84(f)) for f in FIELDS.geoms)],
        },
        to_wgs84(FIELDS),
        WGS84,
    ),
    "in the CRS of the scene": (collection(FIELD, **IN_UTM), FIELD, UTM31),
    "with heights": (with_height(to_wgs84(FIELDS.geoms[1])), to_wgs84(FIELDS.geoms[1]), WGS84),
    "with a spike": (collection(SPIKED, **IN_UTM), FIELDS.geoms[1], UTM31),
    "crossing itself": (collection(BOW_TIE, **IN_UTM), shapely.make_valid(BOW_TIE), UTM31),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_area_gives_the_pixels_whose_centre_lies_in_it(place: Place, tmp_path: Path, name: str) -> None:
    document, area, crs = DOCUMENTS[name]
    path = tmp_path / "area.geojson"
    path.write_text(json.dumps(document), encoding="utf-8")
    output = place.part(aoi=path)
    place.check(output, area, crs)
    inside, _ = place.sides(area, crs)
    rows, cols = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    assert output.grid.height <= rows[-1] - rows[0] + 3 and output.grid.width <= cols[-1] - cols[0] + 3


def test_an_area_of_a_layer(place: Place, tmp_path: Path) -> None:
    pyogrio = pytest.importorskip("pyogrio", reason="pyogrio is the extra [vector]")
    path = tmp_path / "areas.gpkg"
    for layer, areas in {
        "fields": [to_wgs84(area) for area in FIELDS.geoms],
        "country": [to_wgs84(box(X - 500, Y - 500, X + 500, Y + 500))],
    }.items():
        names = [np.array([f"{layer} {n}" for n in range(len(areas))], object)]
        pyogrio.raw.write(
            path,
            shapely.to_wkb(areas),
            names,
            ["name"],
            layer=layer,
            geometry_type="Polygon",
            crs=WGS84,
            append=path.exists(),
        )
    output = place.part(aoi=path, aoi_layer="fields", aoi_where="name = 'fields 1'")
    place.check(output, to_wgs84(FIELDS.geoms[1]), WGS84)


@pytest.mark.parametrize("tile", [64, 77])
def test_an_area_does_not_depend_on_the_tiles(place: Place, tmp_path: Path, tile: int) -> None:
    path = tmp_path / "area.geojson"
    path.write_text(json.dumps(collection(to_wgs84(FIELDS))), encoding="utf-8")
    one, many = place.part(aoi=path), place.part(aoi=path, tile=tile)
    np.testing.assert_array_equal(many.valid, one.valid)
    np.testing.assert_array_equal(many.pixels, one.pixels)


def test_an_area_beside_the_scene_is_refused(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "area.geojson"
    path.write_text(json.dumps(collection(to_wgs84(shapely.affinity.translate(FIELD, 900, 0)))), encoding="utf-8")
    with pytest.raises(IncompatiblePairError, match="outside the scene"):
        place.part(aoi=path)
    with pytest.raises(IncompatiblePairError, match="outside the scene"):
        place.part(bbox=(X - 20, Y - 20, X - 10, Y - 10))


def test_an_area_between_the_centres_of_the_pixels_is_refused(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "area.geojson"
    sliver = Polygon([(X + 10.3, Y - 10.3), (X + 10.7, Y - 10.7), (X + 10.65, Y - 10.72)])
    path.write_text(json.dumps(collection(sliver, **IN_UTM)), encoding="utf-8")
    with pytest.raises((InputError, IncompatiblePairError)):
        place.part(aoi=path)
