"""Inputs and options that cannot work: one line that says why, the right exit code, and nothing written."""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from tests.cli.conftest import MS_PIXEL, PAN_PIXEL, PAN_SIDE, Desk, RunClippan, RunMain

USAGE, INPUT, PAIR, OUTPUT, RESOURCES, QUALITY = 2, 3, 4, 5, 6, 8

Prepare = Callable[[Desk], list[str]]


@dataclass(frozen=True)
class Case:
    """Something that cannot work."""

    prepare: Prepare
    code: int
    words: tuple[str, ...]
    notes: int


CASES: dict[str, Case] = {}


def fails(code: int, *words: str, notes: int = 0) -> Callable[[Prepare], Prepare]:
    """Register a function that makes bad files and returns arguments, with the code and words to expect."""

    def register(prepare: Prepare) -> Prepare:
        CASES[prepare.__name__] = Case(prepare, code, words, notes)
        return prepare

    return register


# --- Files that are not what they seem --------------------------------------------------------------------------------


@fails(INPUT, "empty.tif", "0 bytes")
def empty_file(desk: Desk) -> list[str]:
    Path(desk.path("empty.tif")).touch()
    return desk.sharpen(ms=desk.path("empty.tif"))


@fails(INPUT, "notes.tif", "not in a format that clippan reads", "GTiff")
def text_named_tif(desk: Desk) -> list[str]:
    Path(desk.path("notes.tif")).write_text("north field, two pictures\n" * 20)
    return desk.sharpen(ms=desk.path("notes.tif"))


@fails(INPUT, "missing.tif", "No such file")
def missing_file(desk: Desk) -> list[str]:
    return desk.sharpen(pan=desk.path("missing.tif"))


@fails(INPUT, "pan.tif", "cannot be read", "incomplete")
def truncated_in_the_middle(desk: Desk) -> list[str]:
    pan = desk.pan()
    os.truncate(pan, os.path.getsize(pan) // 2)
    return desk.sharpen(pan=pan)


@fails(INPUT, "pan.tif", "cannot be read")
def truncated_in_the_last_tile(desk: Desk) -> list[str]:
    pan = desk.pan(tiled=True, blockxsize=16, blockysize=16, compress="deflate")
    os.truncate(pan, os.path.getsize(pan) - 40)
    return desk.sharpen(pan=pan)


@fails(INPUT, "ms.tif", "cannot be read")
def ms_truncated_in_the_last_strip(desk: Desk) -> list[str]:
    ms = desk.ms(interleave="band", blockysize=1)
    os.truncate(ms, os.path.getsize(ms) - 10)
    return desk.sharpen(ms=ms)


@fails(INPUT, "pan.tif", "cannot be read")
def bits_flipped_in_a_deflated_block(desk: Desk) -> list[str]:
    pan = desk.pan(tiled=True, blockxsize=16, blockysize=16, compress="deflate")
    content = bytearray(Path(pan).read_bytes())
    for position in range(len(content) // 2, len(content) // 2 + 64):
        content[position] ^= 0x55
    Path(pan).write_bytes(content)
    return desk.sharpen(pan=pan)


@fails(INPUT, "ms.tif", "cannot be opened")
def directory_of_tags_past_the_end(desk: Desk) -> list[str]:
    Path(desk.path("ms.tif")).write_bytes(struct.pack("<2sHI", b"II", 42, 10_000_000) + bytes(100))
    return desk.sharpen(ms=desk.path("ms.tif"))


@fails(INPUT, "ms.tif", "cannot be opened")
def directory_of_tags_that_is_noise(desk: Desk) -> list[str]:
    noise = desk.rng.integers(0, 256, 4000, dtype=np.uint8).tobytes()
    Path(desk.path("ms.tif")).write_bytes(struct.pack("<2sHI", b"II", 42, 8) + noise)
    return desk.sharpen(ms=desk.path("ms.tif"))


@fails(PAIR, "pan.tif", "1x1 PAN pixels")
def image_of_one_pixel(desk: Desk) -> list[str]:
    return desk.sharpen(ms=desk.ms(side=1), pan=desk.pan(side=1))


@fails(PAIR, "ms.tif", "64x1 PAN pixels")
def strip_of_one_row(desk: Desk) -> list[str]:
    return desk.sharpen(pan=desk.pan(pixels=desk.pixels(1, PAN_SIDE)[:, :1]))


@fails(OUTPUT, "not enough space", "GB needed")
def huge_dimensions_in_a_tiny_file(desk: Desk) -> list[str]:
    side, files = 4_000_000, []
    for name, count, pixel, width in (("ms.tif", 4, MS_PIXEL, side // 4), ("pan.tif", 1, PAN_PIXEL, side)):
        layout = {"tiled": True, "blockxsize": 2048, "blockysize": 2048, "SPARSE_OK": True, "BIGTIFF": "YES"}
        shape = {"count": count, "width": width, "height": width, "dtype": "uint16"}
        files.append(desk.path(name))
        with rasterio.open(files[-1], "w", driver="GTiff", crs="EPSG:32633", transform=pixel, **shape, **layout):
            pass
    return desk.sharpen(ms=files[0], pan=files[1])


@fails(INPUT, "ms.tif", "cannot be read")
def one_strip_beyond_all_memory(desk: Desk) -> list[str]:
    files = []
    for name, side in (("ms.tif", 2**29), ("pan.tif", 2**31 - 4)):
        tags = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
        tags += [(277, 3, 1, 1), (278, 4, 1, side), (279, 4, 1, 2**31)]
        directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
        files.append(desk.path(name))
        Path(files[-1]).write_bytes(struct.pack("<2sHI", b"II", 42, 8) + directory)
    return ["info", "--assume-aligned", *files]


@fails(INPUT, "ms.tif", "is a folder")
def folder_as_input(desk: Desk) -> list[str]:
    Path(desk.path("ms.tif")).mkdir()
    return desk.sharpen(ms=desk.path("ms.tif"))


@fails(INPUT, "ms.tif", "not a regular file")
def pipe_as_input(desk: Desk) -> list[str]:
    os.mkfifo(desk.path("ms.tif"))
    return desk.sharpen(ms=desk.path("ms.tif"))


@fails(INPUT, "/dev/zero", "not a regular file")
def device_as_input(desk: Desk) -> list[str]:
    return desk.sharpen(ms="/dev/zero")


@fails(INPUT, "link.tif", "No such file")
def dangling_link(desk: Desk) -> list[str]:
    os.symlink(desk.path("gone.tif"), desk.path("link.tif"))
    return desk.sharpen(ms=desk.path("link.tif"))


@fails(INPUT, "loop.tif", "symbolic links")
def link_to_itself(desk: Desk) -> list[str]:
    os.symlink(desk.path("loop.tif"), desk.path("loop.tif"))
    return desk.sharpen(ms=desk.path("loop.tif"))


@fails(INPUT, r"C:\data\ms.tif is a path of Windows, but this is ", "/mnt/c/...")
def path_of_windows(desk: Desk) -> list[str]:
    return desk.sharpen(ms=r"C:\data\ms.tif")


@fails(INPUT, "D:/pan.tif is a path of Windows", "/mnt/d/...")
def path_of_windows_with_slashes(desk: Desk) -> list[str]:
    return desk.sharpen(pan="D:/pan.tif")


@fails(INPUT, r"\\server\share\ms.tif is a path of Windows", "share is mounted")
def path_of_a_share_of_windows(desk: Desk) -> list[str]:
    return ["info", r"\\server\share\ms.tif", desk.pan()]


@fails(INPUT, r"D:\archive is a path of Windows")
def folder_of_windows(desk: Desk) -> list[str]:
    return ["batch", r"D:\archive", "-o", str(desk.out.parent)]


@fails(OUTPUT, r"C:\fused.tif is a path of Windows")
def output_on_windows(desk: Desk) -> list[str]:
    return ["sharpen", desk.ms(), desk.pan(), "-o", r"C:\fused.tif", "--method", "exp"]


@fails(INPUT, "not a path of a local file")
def path_into_the_memory_of_gdal(desk: Desk) -> list[str]:
    return desk.sharpen(ms="MEM:::DATAPOINTER=1,PIXELS=10,LINES=10")


# --- VRT and remote files ---------------------------------------------------------------------------------------------


def vrt(source: str, *, inside: str = "", band: str = "") -> str:
    """The text of a VRT of the size of MS."""
    georeferencing = f"<SRS>EPSG:32633</SRS><GeoTransform>{', '.join(map(str, MS_PIXEL.to_gdal()))}</GeoTransform>"
    simple = f"<SimpleSource><SourceFilename>{source}</SourceFilename><SourceBand>1</SourceBand>{inside}</SimpleSource>"
    body = f'<VRTRasterBand dataType="UInt16" band="1" {band}>{simple}</VRTRasterBand>'
    return f'<VRTDataset rasterXSize="16" rasterYSize="16">{georeferencing}{body}</VRTDataset>'


@fails(INPUT, "ms.tif", "VRT", "--allow-vrt")
def vrt_named_tif(desk: Desk) -> list[str]:
    Path(desk.path("ms.tif")).write_text(vrt(desk.ms("true.tif")))
    return desk.sharpen(ms=desk.path("ms.tif"))


@fails(INPUT, "ms.vrt", "gone.tif", "No such file")
def vrt_with_a_missing_source(desk: Desk) -> list[str]:
    Path(desk.path("ms.vrt")).write_text(vrt(desk.path("gone.tif")))
    return desk.sharpen("--allow-vrt", ms=desk.path("ms.vrt"))


@fails(INPUT, "ms.vrt", "reads itself")
def vrt_of_itself(desk: Desk) -> list[str]:
    Path(desk.path("ms.vrt")).write_text(vrt(desk.path("ms.vrt")))
    return desk.sharpen("--allow-vrt", ms=desk.path("ms.vrt"))


@fails(INPUT, "ms.vrt", "Python code")
def vrt_with_a_python_function(desk: Desk) -> list[str]:
    code = f"open({desk.path('pwned')!r}, 'w')"
    function = (
        "<PixelFunctionType>f</PixelFunctionType><PixelFunctionLanguage>Python</PixelFunctionLanguage>"
        f"<PixelFunctionCode>{code}</PixelFunctionCode>"
    )
    text = vrt(desk.ms("true.tif"), band='subClass="VRTDerivedRasterBand"')
    Path(desk.path("ms.vrt")).write_text(text.replace("<SimpleSource>", function + "<SimpleSource>"))
    return desk.sharpen("--allow-vrt", ms=desk.path("ms.vrt"))


@fails(INPUT, "ms.vrt", "/vsicurl", "--allow-remote")
def vrt_of_a_remote_file(desk: Desk) -> list[str]:
    Path(desk.path("ms.vrt")).write_text(vrt("/vsicurl/http://127.0.0.1:9/ms.tif"))
    return desk.sharpen("--allow-vrt", ms=desk.path("ms.vrt"))


@fails(INPUT, "https://", "--allow-remote")
def remote_file(desk: Desk) -> list[str]:
    return desk.sharpen(pan="https://127.0.0.1:9/pan.tif")


@fails(INPUT, "http://127.0.0.1:9/pan.tif", "cannot be read", "connect")
def remote_file_that_nobody_serves(desk: Desk) -> list[str]:
    return desk.sharpen("--allow-remote", pan="http://127.0.0.1:9/pan.tif")


# --- The output -------------------------------------------------------------------------------------------------------


@fails(OUTPUT, "ms.tif", "same file")
def output_is_ms(desk: Desk) -> list[str]:
    return [*desk.sharpen("--overwrite"), "-o", desk.path("ms.tif")]


@fails(OUTPUT, "pan.tif", "same file")
def output_is_pan(desk: Desk) -> list[str]:
    return [*desk.sharpen("--overwrite"), "-o", desk.path("pan.tif")]


@fails(OUTPUT, "fused.tif", "same file")
def output_is_a_hard_link_to_ms(desk: Desk) -> list[str]:
    argv = desk.sharpen("--overwrite")
    os.link(desk.path("ms.tif"), desk.out)
    return argv


@fails(OUTPUT, "fused.tif", "same file")
def output_is_a_link_to_pan(desk: Desk) -> list[str]:
    argv = desk.sharpen("--overwrite")
    os.symlink(desk.path("pan.tif"), desk.out)
    return argv


@fails(OUTPUT, "fused.tif", "exists", "--overwrite")
def output_exists(desk: Desk) -> list[str]:
    desk.out.write_text("precious")
    return desk.sharpen()


@fails(OUTPUT, "nowhere", "does not exist")
def folder_of_the_output_is_missing(desk: Desk) -> list[str]:
    return [*desk.sharpen(), "-o", desk.path("nowhere/fused.tif")]


@fails(OUTPUT, "out", "is a folder")
def output_is_a_folder(desk: Desk) -> list[str]:
    return [*desk.sharpen("--overwrite"), "-o", str(desk.out.parent)]


@fails(OUTPUT, "ms.tif", "same file")
def quicklook_is_ms(desk: Desk) -> list[str]:
    return desk.sharpen("--quicklook", desk.path("ms.tif"))


@fails(OUTPUT, "picture.png", "exists", "--overwrite")
def quicklook_exists(desk: Desk) -> list[str]:
    picture = Path(desk.path("picture.png"))
    picture.write_bytes(b"somebody's")
    return desk.sharpen("--quicklook", str(picture))


@fails(OUTPUT, "fused.tif", "same file")
def quicklook_is_the_output(desk: Desk) -> list[str]:
    return desk.sharpen("--quicklook", str(desk.out))


@fails(OUTPUT, "name too long")
def output_with_a_name_too_long(desk: Desk) -> list[str]:
    return [*desk.sharpen(), "-o", desk.path("x" * 300 + ".tif")]


# --- Two rasters that are not a pair ----------------------------------------------------------------------------------


@fails(PAIR, "swapped", "MS, then PAN")
def swapped(desk: Desk) -> list[str]:
    return desk.sharpen(ms=desk.pan(), pan=desk.ms())


@fails(PAIR, "pan.tif", "coarser", "swapped")
def swapped_where_both_have_one_band(desk: Desk) -> list[str]:
    return desk.sharpen(ms=desk.pan(), pan=desk.ms(bands=1))


@fails(PAIR, "pan.tif", "4 bands", "--pan-band")
def pan_of_four_bands(desk: Desk) -> list[str]:
    return desk.sharpen(pan=desk.pan(bands=4))


@fails(PAIR, "pan.tif", "4 bands", "ms.tif one", "swapped")
def ms_of_one_band_and_pan_of_four(desk: Desk) -> list[str]:
    return desk.sharpen(ms=desk.ms(bands=1), pan=desk.pan(bands=4))


@fails(USAGE, "--pan-band 5", "1 to 4")
def band_of_pan_that_is_not_there(desk: Desk) -> list[str]:
    return desk.sharpen("--pan-band", "5", pan=desk.pan(bands=4))


@fails(PAIR, "not finer", "nothing to sharpen")
def ratio_of_one(desk: Desk) -> list[str]:
    return desk.sharpen(ms=desk.ms(transform=PAN_PIXEL, side=PAN_SIDE))


@fails(PAIR, "64 times finer", "beyond 16")
def ratio_of_64(desk: Desk) -> list[str]:
    return desk.sharpen(ms=desk.ms(transform=PAN_PIXEL @ Affine.scale(64), side=2), pan=desk.pan(side=128))


@fails(PAIR, "ms.tif", "pan.tif", "do not overlap")
def touching_but_not_overlapping(desk: Desk) -> list[str]:
    return desk.sharpen(ms=desk.ms(transform=PAN_PIXEL @ Affine.translation(PAN_SIDE, 0) @ Affine.scale(4)))


@fails(PAIR, "do not overlap", "columns")
def half_a_world_apart(desk: Desk) -> list[str]:
    return desk.sharpen(ms=desk.ms(transform=PAN_PIXEL @ Affine.translation(4e12, -3e12) @ Affine.scale(4)))


@fails(PAIR, "overlap by 3x64 PAN pixels only")
def overlap_smaller_than_an_ms_pixel(desk: Desk) -> list[str]:
    return desk.sharpen(ms=desk.ms(transform=PAN_PIXEL @ Affine.translation(PAN_SIDE - 3, 0) @ Affine.scale(4)))


@fails(PAIR, "ms.tif", "cannot be projected", "-a_srs")
def crs_that_cannot_be_projected(desk: Desk) -> list[str]:
    local = 'LOCAL_CS["site grid",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
    return desk.sharpen(ms=desk.ms(crs=local))


@fails(PAIR, "ms.tif", "no CRS", "EPSG:32633", "-a_srs")
def no_crs_on_one(desk: Desk) -> list[str]:
    return desk.sharpen(ms=desk.ms(crs=None))


@fails(PAIR, "do not overlap")
def another_crs_elsewhere(desk: Desk) -> list[str]:
    return desk.sharpen(ms=desk.ms(crs="EPSG:32631"))


@fails(INPUT, "ms.tif", "geotransform", "nan")
def geotransform_of_nan(desk: Desk) -> list[str]:
    ms = desk.ms()
    patch_tag(ms, 33550, struct.pack("<3d", float("nan"), float("nan"), 0.0))
    return desk.sharpen(ms=ms)


@fails(INPUT, "ms.tif", "geotransform")
def pixels_of_no_size(desk: Desk) -> list[str]:
    return desk.sharpen(ms=desk.ms(transform=Affine(2, 0, 500_000, 4, 0, 5_400_000)))


@fails(PAIR, "no geotransform", "--assume-aligned")
def no_georeferencing(desk: Desk) -> list[str]:
    bare: dict[str, Any] = {"transform": None, "crs": None}
    return desk.sharpen(ms=desk.ms(**bare), pan=desk.pan(**bare))


@fails(PAIR, "ms.tif", "no geotransform")
def no_georeferencing_of_ms(desk: Desk) -> list[str]:
    return desk.sharpen(ms=desk.ms(transform=None, crs=None))


def patch_tag(path: str, tag: int, value: bytes) -> None:
    """Overwrite the value of a tag of a little-endian classic TIFF where it lies."""
    content = bytearray(Path(path).read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", content, entry)[0] == tag:
            (place,) = struct.unpack_from("<I", content, entry + 8)
            content[place : place + len(value)] = value
            Path(path).write_bytes(content)
            return
    raise AssertionError(f"{path} has no tag {tag}")


# --- Pixels that clippan does not work with ---------------------------------------------------------------------------


@fails(INPUT, "no pixel is valid", "nodata")
def all_nodata(desk: Desk) -> list[str]:
    return desk.sharpen(ms=desk.ms(pixels=np.zeros((4, 16, 16), np.uint16), nodata=0))


@fails(INPUT, "no pixel is valid", "all bands")
def one_band_all_nodata(desk: Desk) -> list[str]:
    pixels = desk.pixels(4, 16)
    pixels[2] = 0
    return desk.sharpen(ms=desk.ms(pixels=pixels, nodata=0))


@fails(INPUT, "no pixel is valid")
def pan_all_nan(desk: Desk) -> list[str]:
    return desk.sharpen(pan=desk.pan(pixels=np.full((1, PAN_SIDE, PAN_SIDE), np.nan, np.float32)))


@pytest.mark.parametrize("dtype", ["complex64", "int8", "uint32", "int32"])
def test_types_that_clippan_does_not_read(dtype: str, desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(desk.sharpen(ms=desk.ms(dtype=dtype)))
    assert outcome.code == INPUT
    assert f"holds {dtype} values" in outcome.error_line and "-ot" in outcome.error_line


@fails(INPUT, "palette", "-expand rgb")
def palette(desk: Desk) -> list[str]:
    ms = desk.ms(bands=1, dtype="uint8", photometric="palette")
    with rasterio.open(ms, "r+") as dataset:
        dataset.write_colormap(1, {n: (n, n, n, 255) for n in range(256)})
    return desk.sharpen(ms=ms)


@fails(INPUT, "alpha band only")
def nothing_but_alpha(desk: Desk) -> list[str]:
    ms = desk.ms(pixels=np.full((1, 16, 16), 255, np.uint8))
    with rasterio.open(ms, "r+") as dataset:
        dataset.colorinterp = (ColorInterp.alpha,)
    return desk.sharpen(ms=ms)


# --- Options ----------------------------------------------------------------------------------------------------------


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


@fails(USAGE, "--bands abc", "3,2,1")
def bands_that_are_no_numbers(desk: Desk) -> list[str]:
    return desk.sharpen("--bands", "abc")


@fails(USAGE, "--bands none", "1 to 4")
def no_bands(desk: Desk) -> list[str]:
    return desk.sharpen("--bands", "")


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


# --- Assess -----------------------------------------------------------------------------------------------------------


def fused(desk: Desk, *, bands: int = 4, side: int = PAN_SIDE, transform: Affine = PAN_PIXEL) -> str:
    return desk.ms("fused.tif", bands=bands, side=side, transform=transform)


def assessing(desk: Desk, *images: str) -> list[str]:
    return ["assess", *images, "--ms", desk.ms(), "--pan", desk.pan(), "-j", "1"]


@fails(PAIR, "fused.tif", "3 bands", "ms.tif has 4")
def assess_other_bands(desk: Desk) -> list[str]:
    return assessing(desk, fused(desk, bands=3))


@fails(PAIR, "fused.tif", "grid of", "column")
def assess_another_grid(desk: Desk) -> list[str]:
    return assessing(desk, fused(desk, transform=PAN_PIXEL @ Affine.translation(0.5, 0)))


@fails(PAIR, "fused.tif", "grid of", "2 x 2")
def assess_another_resolution(desk: Desk) -> list[str]:
    return assessing(desk, fused(desk, side=32, transform=PAN_PIXEL @ Affine.scale(2)))


@fails(PAIR, "fused.tif", "beyond")
def assess_an_image_of_elsewhere(desk: Desk) -> list[str]:
    return assessing(desk, fused(desk, transform=PAN_PIXEL @ Affine.translation(1000, 0)))


@fails(INPUT, "gone.tif", "No such file")
def assess_a_missing_file(desk: Desk) -> list[str]:
    return assessing(desk, desk.path("gone.tif"))


@fails(QUALITY, "fused.tif", "QNR", "below 2")
def assess_below_the_gate(desk: Desk) -> list[str]:
    return [*assessing(desk, fused(desk)), "--min-qnr", "2"]


@fails(USAGE, "--pan FILE")
def assess_without_a_pair(desk: Desk) -> list[str]:
    return ["assess", fused(desk)]


@fails(INPUT, "fused.tif", "0 of 4096 pixels are valid")
def assess_an_image_of_nodata(desk: Desk) -> list[str]:
    empty = desk.ms("fused.tif", pixels=np.zeros((4, PAN_SIDE, PAN_SIDE), np.uint16), transform=PAN_PIXEL, nodata=0)
    return assessing(desk, empty)


# --- The same demands on all of them ----------------------------------------------------------------------------------

_FOREIGN = re.compile(r"Traceback|Warning|ERROR|\bwarn|TIFF[A-Z]|_tiff|CPLE|File \"")


@pytest.mark.parametrize("name", CASES)
def test_refused_with_one_line_and_nothing_written(name: str, desk: Desk, run_main: RunMain) -> None:
    case = CASES[name]
    argv = case.prepare(desk)
    before = desk.contents()
    outcome = run_main(argv)
    assert outcome.code == case.code, outcome
    line = outcome.error_line
    assert [word for word in case.words if word not in line] == [], line
    assert len(outcome.notes) == case.notes and not _FOREIGN.search("".join(outcome.notes)), outcome.stderr
    assert desk.contents() == before


# --- At the border of the process -------------------------------------------------------------------------------------

BORDER = ("empty_file", "truncated_in_the_middle", "no_georeferencing", "swapped", "output_exists", "unknown_method")


@pytest.mark.slow
@pytest.mark.parametrize("name", BORDER)
def test_a_shell_sees_the_same(name: str, desk: Desk, run_clippan: RunClippan) -> None:
    case = CASES[name]
    argv = case.prepare(desk)
    before = desk.contents()
    outcome = run_clippan(argv)
    assert outcome.code == case.code
    assert outcome.stderr.startswith("clippan: ") and outcome.stderr.count("\n") == 1, outcome.stderr
    assert outcome.stdout == ""
    assert desk.contents() == before


@pytest.mark.slow
def test_damage_found_by_the_thread_that_reads_ahead_is_one_line(desk: Desk, run_clippan: RunClippan) -> None:
    """The whole of PAN is only read behind the first windows; GDAL warns there of what it has seen on opening."""
    pan = desk.pan(side=1024, blockysize=4)
    ms = desk.ms(side=256)
    os.truncate(pan, os.path.getsize(pan) - 3000)
    outcome = run_clippan(desk.sharpen("--tile", "256", ms=ms, pan=pan))
    assert outcome.code == INPUT
    assert outcome.stderr.count("\n") == 1 and "pan.tif" in outcome.error_line, outcome.stderr
    assert os.listdir(desk.out.parent) == []


# --- What is awkward and yet works ------------------------------------------------------------------------------------

AWKWARD = (
    "two words.tif",
    "a&b;c.tif",
    'it\'s "quoted".tif',
    "größe 日本.tif",
    "line\nbreak.tif",
    "50%25?x=1#y.tif",
    "[bold]red[green].tif",
    "x" * 200 + ".tif",
)


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_names_work(name: str, desk: Desk, run_main: RunMain) -> None:
    argv = desk.sharpen(ms=desk.ms("ms " + name), pan=desk.pan("pan " + name))
    argv[argv.index("-o") + 1] = str(desk.out.with_name(name))
    outcome = run_main(argv)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert os.listdir(desk.out.parent) == [name]
    assert name in outcome.stdout


def test_an_area_that_crosses_itself_is_mended(desk: Desk, run_main: RunMain) -> None:
    bow_tie = polygon((500_004, 5_399_976), (500_028, 5_399_996), (500_028, 5_399_976), (500_004, 5_399_996))
    assert run_main(desk.sharpen("--aoi", area(desk, bow_tie))).code == 0
    with rasterio.open(desk.out) as dataset:
        share = (dataset.read_masks(1) > 0).mean()
    assert 0.4 < share < 0.6


def test_a_box_with_spaces_works(desk: Desk, run_main: RunMain) -> None:
    assert run_main(desk.sharpen("--bbox", BOX.replace(",", " "))).code == 0
    with rasterio.open(desk.out) as dataset:
        assert (dataset.width, dataset.height) == (48, 40)


def test_a_box_around_the_world_is_the_whole_scene(desk: Desk, run_main: RunMain) -> None:
    assert run_main(desk.sharpen("--bbox", "-180,-90,180,90", "--bbox-crs", "EPSG:4326")).code == 0
    with rasterio.open(desk.out) as dataset:
        assert (dataset.width, dataset.height) == (PAN_SIDE, PAN_SIDE) and dataset.read_masks().all()


def test_a_pair_without_georeferencing_works_when_told(desk: Desk, run_clippan: RunClippan) -> None:
    bare: dict[str, Any] = {"transform": None, "crs": None}
    outcome = run_clippan(desk.sharpen("--assume-aligned", ms=desk.ms(**bare), pan=desk.pan(**bare)))
    assert outcome.code == 0
    assert outcome.stderr.count("\n") == 1 and "--assume-aligned" in outcome.stderr, outcome.stderr


def test_a_vrt_of_local_files_works_when_allowed(desk: Desk, run_main: RunMain) -> None:
    desk.ms("true.tif")
    text = vrt("true.tif").replace("<SourceFilename>", '<SourceFilename relativeToVRT="1">')
    Path(desk.path("ms.vrt")).write_text(text)
    assert run_main(desk.sharpen("--allow-vrt", ms=desk.path("ms.vrt"))).code == 0


def test_a_file_with_a_loop_behind_its_image_is_read_or_refused(desk: Desk, run_main: RunMain) -> None:
    ms = desk.ms()
    content = bytearray(Path(ms).read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    struct.pack_into("<I", content, start + 2 + 12 * count, start)
    Path(ms).write_bytes(content)
    outcome = run_main(desk.sharpen(ms=ms))
    assert outcome.code in (0, INPUT)
    assert outcome.stderr == "" if outcome.code == 0 else outcome.error_line


def test_read_only_folder(desk: Desk, run_main: RunMain) -> None:
    argv = desk.sharpen()
    desk.out.parent.chmod(0o500)
    if os.access(desk.out.parent, os.W_OK):
        pytest.skip("whoever runs this may write everywhere")
    outcome = run_main(argv)
    assert outcome.code == OUTPUT and "cannot write in the folder" in outcome.error_line


def test_unreadable_input(desk: Desk, run_main: RunMain) -> None:
    argv = desk.sharpen()
    Path(desk.path("ms.tif")).chmod(0)
    if os.access(desk.path("ms.tif"), os.R_OK):
        pytest.skip("whoever runs this may read everything")
    outcome = run_main(argv)
    assert outcome.code == INPUT and "permission denied" in outcome.error_line


# --- Damage of any kind -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_any_damage_is_survived(seed: int, desk: Desk, run_main: RunMain) -> None:
    """Flip, cut or repeat bytes anywhere: the run works, or it fails in a documented way."""
    rng = np.random.default_rng(seed)
    ms = desk.ms(compress=["deflate", "lzw", "none"][seed % 3], tiled=True, blockxsize=16, blockysize=16)
    argv = desk.sharpen(ms=ms)
    content = bytearray(Path(ms).read_bytes())
    for _ in range(rng.integers(1, 8)):
        place = int(rng.integers(0, len(content) if seed % 2 else 400))
        content[place] = int(rng.integers(0, 256))
    if seed % 5 == 0:
        content = content[: int(rng.integers(0, len(content)))]
    Path(ms).write_bytes(content)
    outcome = run_main(argv)
    assert outcome.code in (0, USAGE, INPUT, PAIR, OUTPUT), outcome.stderr
    if outcome.code:
        assert outcome.error_line and os.listdir(desk.out.parent) == []
