"""Files that are not what they seem, that lead elsewhere, or whose pixels clippan does not work with."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import ColorInterp

from tests.cli.conftest import MS_PIXEL, PAN_PIXEL, PAN_SIDE, Desk
from tests.cli.refusals.cases import INPUT, OUTPUT, PAIR, USAGE, fails


@fails(INPUT, "empty.tif", "0 bytes")
def empty_file(desk: Desk) -> list[str]:
    Path(desk.path("empty.tif")).touch()
    return desk.sharpen(ms=desk.path("empty.tif"))


@fails(INPUT, "notes.tif", "not in a format that clippan reads", "GTiff")
def text_named_tif(desk: Desk) -> list[str]:
    Path(desk.path("notes.tif")).write_text("north field, two pictures\n" * 20)
    return desk.sharpen(ms=desk.path("notes.tif"))


@fails(USAGE, "an argument is empty", "variable of the shell")
def file_without_a_name(desk: Desk) -> list[str]:
    return desk.sharpen(ms="")


@fails(USAGE, "--ms is empty", "variable of the shell")
def option_without_a_value(desk: Desk) -> list[str]:
    return ["sharpen", "--ms", "", "--pan", desk.pan(), "-o", str(desk.out)]


@fails(USAGE, "an argument is empty", "variable of the shell")
def archive_without_a_name(desk: Desk) -> list[str]:
    return ["batch", "", "-o", str(desk.out)]


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


@fails(OUTPUT, r"C:\sharp is a path of Windows")
def folder_of_results_on_windows(desk: Desk) -> list[str]:
    desk.ms(), desk.pan()
    return ["batch", desk.path(""), "-o", r"C:\sharp", "--method", "exp"]


@fails(OUTPUT, r"C:\demo is a path of Windows")
def folder_of_the_demo_on_windows(desk: Desk) -> list[str]:
    return ["demo", r"C:\demo"]


@fails(OUTPUT, r"C:\maps is a path of Windows")
def folder_of_maps_on_windows(desk: Desk) -> list[str]:
    return ["assess", desk.ms(), "--ms", desk.ms(), "--pan", desk.pan(), "--maps", r"C:\maps"]


@fails(INPUT, "not a path of a local file")
def path_into_the_memory_of_gdal(desk: Desk) -> list[str]:
    return desk.sharpen(ms="MEM:::DATAPOINTER=1,PIXELS=10,LINES=10")


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
