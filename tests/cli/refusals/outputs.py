"""Outputs that cannot or must not be written."""

from __future__ import annotations

import os
from pathlib import Path

from tests.cli.conftest import PAN_PIXEL, PAN_SIDE, Desk
from tests.cli.refusals.cases import OUTPUT, fails


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


@fails(OUTPUT, "fused.png", ".tif or .tiff", "gdal_translate")
def output_of_another_format(desk: Desk) -> list[str]:
    return [*desk.sharpen(), "-o", desk.path("fused.png")]


@fails(OUTPUT, "-: ", ".tif or .tiff")
def output_on_stdout(desk: Desk) -> list[str]:
    return [*desk.sharpen(), "-o", "-"]


@fails(OUTPUT, "ms.tif", "same file")
def quicklook_is_ms(desk: Desk) -> list[str]:
    return desk.sharpen("--quicklook", desk.path("ms.tif"))


@fails(OUTPUT, "picture.png", "exists", "--overwrite")
def quicklook_exists(desk: Desk) -> list[str]:
    picture = Path(desk.path("picture.png"))
    picture.write_bytes(b"somebody's")
    return desk.sharpen("--quicklook", str(picture))


@fails(OUTPUT, "picture.html is named for two outputs")
def report_is_the_quicklook(desk: Desk) -> list[str]:
    return desk.sharpen("--quicklook", desk.path("picture.html"), "--report", desk.path("./picture.html"))


@fails(OUTPUT, "page.html is named for two outputs")
def table_is_the_page(desk: Desk) -> list[str]:
    page = desk.path("page.html")
    fused = desk.ms("fused.tif", side=PAN_SIDE, transform=PAN_PIXEL)
    return ["assess", fused, "--ms", desk.ms(), "--pan", desk.pan(), "--report", page, "--csv", page]


@fails(OUTPUT, "/ ' exists")
def output_with_a_blank_name_exists(desk: Desk) -> list[str]:
    Path(desk.path(" ")).touch()
    return [*desk.sharpen(), "-o", desk.path(" ")]


@fails(OUTPUT, "ms.tif is a file; name a folder")
def folder_of_a_batch_is_a_file(desk: Desk) -> list[str]:
    return ["batch", str(Path(desk.pan()).parent), "-o", desk.ms(), "--method", "exp"]


@fails(OUTPUT, "ms.tif is not a text file")
def log_file_is_ms(desk: Desk) -> list[str]:
    return desk.sharpen("--log-file", desk.path("ms.tif"))


@fails(OUTPUT, "fused.tif", "two outputs")
def quicklook_is_the_output(desk: Desk) -> list[str]:
    return desk.sharpen("--quicklook", str(desk.out))


@fails(OUTPUT, "name too long")
def output_with_a_name_too_long(desk: Desk) -> list[str]:
    return [*desk.sharpen(), "-o", desk.path("x" * 300 + ".tif")]
