"""Two rasters that are not a pair."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from affine import Affine

from tests.cli.conftest import PAN_PIXEL, PAN_SIDE, Desk
from tests.cli.refusals.cases import INPUT, PAIR, USAGE, fails


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


@fails(PAIR, "pan.tif", "as MS and as PAN")
def one_file_as_both(desk: Desk) -> list[str]:
    return desk.sharpen(ms=desk.pan())


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
