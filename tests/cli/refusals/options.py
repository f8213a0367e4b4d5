"""Options that cannot work."""

from __future__ import annotations

import json
from pathlib import Path

from affine import Affine

from tests.cli.conftest import MS_PIXEL, Desk
from tests.cli.refusals.cases import INPUT, PAIR, RESOURCES, USAGE, fails


@fails(USAGE, "'gas'", "did you mean gsa")
def unknown_method(desk: Desk) -> list[str]:
    return desk.sharpen("--method", "gas")


@fails(USAGE, "worldveiw-2", "worldview-2")
def unknown_sensor(desk: Desk) -> list[str]:
    return desk.sharpen("--sensor", "worldveiw-2")


@fails(USAGE, "--device abacus")
def unknown_device(desk: Desk) -> list[str]:
    return desk.sharpen("--device", "abacus")


@fails(USAGE, "mine.toml", "TOML")
def sensor_file_that_is_not_toml(desk: Desk) -> list[str]:
    Path(desk.path("mine.toml")).write_text("name = [1, 2\n")
    return desk.sharpen("--sensor", desk.path("mine.toml"))


@fails(USAGE, "mine.toml", "pan_gain")
def sensor_file_with_nan(desk: Desk) -> list[str]:
    Path(desk.path("mine.toml")).write_text('name = "mine"\nbits = 11\nratio = 4\npan_gain = nan\ndefault_gain = 0.3\n')
    return desk.sharpen("--sensor", desk.path("mine.toml"))


@fails(USAGE, "mine.toml", "No such file")
def sensor_file_that_is_missing(desk: Desk) -> list[str]:
    return desk.sharpen("--sensor", desk.path("mine.toml"))


@fails(USAGE, "worldview-2", "8 bands", "5")
def sensor_with_other_bands(desk: Desk) -> list[str]:
    return desk.sharpen("--sensor", "worldview-2", ms=desk.ms(bands=5))


BOX = "500004,5399976,500028,5399996"


@fails(USAGE, "--bbox 500028.0,", "left < right")
def box_reversed(desk: Desk) -> list[str]:
    left, bottom, right, top = BOX.split(",")
    return desk.sharpen("--bbox", f"{right},{bottom},{left},{top}")


@fails(USAGE, "--bbox", "nan", "beyond any map")
def box_with_nan(desk: Desk) -> list[str]:
    return desk.sharpen("--bbox", "nan,5399976,500028,5399996")


@fails(USAGE, "--bbox", "beyond any map")
def box_beyond_all_bounds(desk: Desk) -> list[str]:
    return desk.sharpen("--bbox", "-1e308,-1e308,1e308,1e308")


@fails(PAIR, "--bbox", "cannot be projected")
def box_in_a_crs_that_is_nowhere(desk: Desk) -> list[str]:
    return desk.sharpen("--bbox", BOX, "--bbox-crs", 'LOCAL_CS["site grid",UNIT["metre",1]]')


@fails(USAGE, "--bbox", "four numbers")
def box_of_three_numbers(desk: Desk) -> list[str]:
    return desk.sharpen("--bbox", "1,2,3")


@fails(PAIR, "--bbox", "outside the scene")
def box_outside(desk: Desk) -> list[str]:
    return desk.sharpen("--bbox", "1,2,3,4")


@fails(USAGE, "EPSG:999999", "not a CRS")
def box_in_an_unknown_crs(desk: Desk) -> list[str]:
    return desk.sharpen("--bbox", BOX, "--bbox-crs", "EPSG:999999")


@fails(PAIR, "--bbox", "projected")
def box_beyond_the_pole(desk: Desk) -> list[str]:
    return desk.sharpen("--bbox", "0,91,10,95", "--bbox-crs", "EPSG:4326")


@fails(USAGE, "--bbox-crs", "needs a --bbox")
def crs_without_a_box(desk: Desk) -> list[str]:
    return desk.sharpen("--bbox-crs", "EPSG:4326")


@fails(USAGE, "--bbox", "--aoi")
def box_and_area(desk: Desk) -> list[str]:
    return desk.sharpen("--bbox", BOX, "--aoi", area(desk, polygon()))


def polygon(*corners: tuple[float, float]) -> dict[str, object]:
    corners = corners or ((500_004, 5_399_976), (500_028, 5_399_976), (500_028, 5_399_996), (500_004, 5_399_996))
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    return {"type": "Polygon", "coordinates": [[*corners, corners[0]]], "crs": crs}


def area(desk: Desk, document: object) -> str:
    Path(desk.path("area.geojson")).write_text(json.dumps(document))
    return desk.path("area.geojson")


@fails(INPUT, "area.geojson", "no polygon")
def area_without_features(desk: Desk) -> list[str]:
    return desk.sharpen("--aoi", area(desk, {"type": "FeatureCollection", "features": []}))


@fails(INPUT, "area.geojson", "no polygon with an area")
def area_of_no_area(desk: Desk) -> list[str]:
    return desk.sharpen("--aoi", area(desk, polygon((0, 0), (10, 10), (0, 0), (10, 10))))


@fails(INPUT, "area.geojson", "GeoJSON")
def area_that_is_not_json(desk: Desk) -> list[str]:
    Path(desk.path("area.geojson")).write_text("POLYGON ((0 0, 1 0, 1 1, 0 0))")
    return desk.sharpen("--aoi", desk.path("area.geojson"))


@fails(INPUT, "area.geojson", "GeoJSON")
def area_of_nonsense(desk: Desk) -> list[str]:
    return desk.sharpen("--aoi", area(desk, {"type": "FeatureCollection", "features": [1, "two"]}))


@fails(INPUT, "area.geojson", "GeoJSON")
def area_of_features_that_are_no_list(desk: Desk) -> list[str]:
    return desk.sharpen("--aoi", area(desk, {"type": "FeatureCollection", "features": 7}))


@fails(INPUT, "area.geojson", "beyond any map")
def area_of_infinite_size(desk: Desk) -> list[str]:
    return desk.sharpen("--aoi", area(desk, polygon((0, 0), (1e999, 0), (10, 10))))


@fails(PAIR, "area.geojson", "outside the scene")
def area_outside(desk: Desk) -> list[str]:
    return desk.sharpen("--aoi", area(desk, polygon((0, 0), (10, 0), (10, 10))))


@fails(INPUT, "area.geojson", "cannot be read as GeoJSON: No such file")
def area_that_is_missing(desk: Desk) -> list[str]:
    return desk.sharpen("--aoi", desk.path("area.geojson"))


@fails(USAGE, "--bands 0", "1 to 4")
def band_zero(desk: Desk) -> list[str]:
    return desk.sharpen("--bands", "0,1")


@fails(USAGE, "--bands 9", "1 to 4")
def band_nine(desk: Desk) -> list[str]:
    return desk.sharpen("--bands", "1,9")


@fails(USAGE, "--bands abc", "no band of this name", "1, 2, 3, 4")
def bands_that_have_no_name(desk: Desk) -> list[str]:
    return desk.sharpen("--bands", "abc")


@fails(USAGE, "--bands none", "1 to 4")
def no_bands(desk: Desk) -> list[str]:
    return desk.sharpen("--bands", " ")


@fails(USAGE, "--co BIGTIFF", "KEY=VALUE")
def creation_option_without_a_value(desk: Desk) -> list[str]:
    return desk.sharpen("--co", "BIGTIFF")


@fails(USAGE, "NO_SUCH_OPTION")
def unknown_creation_option(desk: Desk) -> list[str]:
    return desk.sharpen("--co", "NO_SUCH_OPTION=1")


@fails(USAGE, "--co BLOCKSIZE=0", "16 to 4096")
def blocks_of_no_size(desk: Desk) -> list[str]:
    """GDAL would abort the process."""
    return desk.sharpen("--of", "cog", "--co", "BLOCKSIZE=0")


@fails(USAGE, "unknown compression 'zipp'", "deflate")
def unknown_compression(desk: Desk) -> list[str]:
    return desk.sharpen("--compress", "zipp")


@fails(USAGE, "unknown output format 'png'", "cog, gtiff")
def unknown_format(desk: Desk) -> list[str]:
    return desk.sharpen("--of", "png")


@fails(USAGE, "--extent everywhere", "intersection or pan")
def unknown_extent(desk: Desk) -> list[str]:
    return desk.sharpen("--extent", "everywhere")


@fails(USAGE, "--tile 1", "64")
def tile_of_one_pixel(desk: Desk) -> list[str]:
    return desk.sharpen("--tile", "1")


@fails(USAGE, "--threads 100000", "1 to 1024")
def threads_without_number(desk: Desk) -> list[str]:
    return desk.sharpen("--threads", "100000")


@fails(USAGE, "--seed -1", "0 to")
def negative_seed(desk: Desk) -> list[str]:
    return desk.sharpen("--seed", "-1")


@fails(USAGE, "--threads 0", "1 to 1024")
def no_threads(desk: Desk) -> list[str]:
    return desk.sharpen("--threads", "0")


@fails(USAGE, "--ram 1", "256")
def one_megabyte(desk: Desk) -> list[str]:
    return desk.sharpen("--ram", "1")


@fails(USAGE, "--steps -1", "0 or more")
def negative_steps(desk: Desk) -> list[str]:
    return desk.sharpen("--steps", "-1")


@fails(USAGE, "--time-limit nan", "more than 0")
def time_limit_that_is_no_number(desk: Desk) -> list[str]:
    return desk.sharpen("--time-limit", "nan")


@fails(RESOURCES, "--device cuda:99", "--device cpu")
def gpu_that_is_not_there(desk: Desk) -> list[str]:
    return desk.sharpen("--device", "cuda:99")


@fails(USAGE, "-o FILE")
def no_output(desk: Desk) -> list[str]:
    return ["sharpen", desk.ms(), desk.pan()]


@fails(USAGE, "either", "not both")
def files_named_twice(desk: Desk) -> list[str]:
    return desk.sharpen("--ms", desk.path("ms.tif"), "--pan", desk.path("pan.tif"))


@fails(USAGE, "MS then PAN", "3")
def three_files(desk: Desk) -> list[str]:
    return [*desk.sharpen(), desk.path("ms.tif")]


@fails(USAGE, "--pan FILE")
def no_pan(desk: Desk) -> list[str]:
    return ["sharpen", "--ms", desk.ms(), "-o", str(desk.out)]


def one_band_files(desk: Desk, *extra: str, sides: tuple[int, ...] = (16, 16)) -> list[str]:
    """A run over MS bands in files of their own."""
    names = [desk.ms(f"b{n}.tif", bands=1, side=side) for n, side in enumerate(sides)]
    fast = ["--method", "exp", "--coregister", "off", "--no-quality", "--of", "gtiff", "-j", "1"]
    ms = [word for name in names for word in ("--ms", name)]
    return ["sharpen", *ms, "--pan", desk.pan(), "-o", str(desk.out), *fast, *extra]


@fails(PAIR, "b1.tif", "15x15", "16x16")
def band_files_of_different_size(desk: Desk) -> list[str]:
    return one_band_files(desk, sides=(16, 15))


@fails(PAIR, "b1.tif", "uint8", "b0.tif", "uint16")
def band_files_of_different_types(desk: Desk) -> list[str]:
    argv = one_band_files(desk)
    desk.ms("b1.tif", bands=1, dtype="uint8")
    return argv


@fails(PAIR, "b1.tif", "another grid", "b0.tif")
def band_files_on_different_grids(desk: Desk) -> list[str]:
    argv = one_band_files(desk)
    desk.ms("b1.tif", bands=1, transform=MS_PIXEL @ Affine.translation(1, 0))
    return argv
