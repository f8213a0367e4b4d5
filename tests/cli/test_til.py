"""Products in tiles that a .TIL of Maxar joins: read as one image, with the care of any file that leads to others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from tests.cli.conftest import PAN_PIXEL, PAN_SIDE, Desk, RunMain
from tests.cli.test_leads import raw, secret, write

INPUT = 3
SPLIT = 40  # where a tile ends, in PAN pixels
PARTS = [(row, col) for row in (0, SPLIT) for col in (0, SPLIT)]
CORNER = (
    "BEGIN_GROUP = MAP_PROJECTED_PRODUCT\n\tULX = 500000.25;\n\tULY = 5399999.75;\nEND_GROUP = MAP_PROJECTED_PRODUCT\n"
)


def til(names: list[str]) -> str:
    """As Maxar writes it."""
    text = 'bandId = "P";\nnumTiles = 4;\ntileUnits = "Pixels";\ntileOverlap = 0;\n'
    for number, (name, (row, col)) in enumerate(zip(names, PARTS, strict=True), start=1):
        below, right = (min(begin + SPLIT, PAN_SIDE) - 1 for begin in (row, col))
        text += (
            f'BEGIN_GROUP = TILE_{number}\n\tfilename = "{name}";\n\tULColOffset = {col};\n\tULRowOffset = {row};\n'
            f"\tLRColOffset = {right};\n\tLRRowOffset = {below};\nEND_GROUP = TILE_{number}\n"
        )
    return text + "END;\n"


def imd(corner: str = CORNER) -> str:
    head = f'version = "R";\nbandId = "P";\nnumRows = {PAN_SIDE};\nnumColumns = {PAN_SIDE};\nbitsPerPixel = 16;\n'
    image = 'BEGIN_GROUP = IMAGE_1\n\tsatId = "WV02";\nEND_GROUP = IMAGE_1\n'
    return head + image + corner + "END;\n"


def product(desk: Desk, corner: str = CORNER) -> tuple[str, str]:
    """PAN as a file, and the same in four tiles of a TIL."""
    pan = desk.pan()
    with rasterio.open(pan) as dataset:
        pixels = dataset.read()
    names = [f"P_R{1 + row // SPLIT}C{1 + col // SPLIT}.TIF" for row, col in PARTS]
    for name, (row, col) in zip(names, PARTS, strict=True):
        part = pixels[:, row : row + SPLIT, col : col + SPLIT]
        desk.raster(name, part, transform=PAN_PIXEL @ Affine.translation(col, row))
    write(desk, "P.IMD", imd(corner))
    return pan, write(desk, "P.TIL", til(names))


def edit(desk: Desk, name: str, old: str, new: str) -> None:
    path = Path(desk.path(name))
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_the_tiles_are_one_image(desk: Desk, run_main: RunMain) -> None:
    pan, tiled = product(desk)
    ms, found = desk.ms(), []
    for name in (pan, tiled):
        assert run_main(desk.sharpen("--method", "brovey", "--overwrite", ms=ms, pan=name)).code == 0
        with rasterio.open(desk.out) as fused:
            found.append((fused.transform, fused.crs, fused.read()))
    assert found[0][:2] == found[1][:2]
    np.testing.assert_array_equal(found[0][2], found[1][2])


def test_the_tiles_of_a_folder_are_read_by_the_til_beside_them(desk: Desk, run_main: RunMain) -> None:
    pan, _ = product(desk)
    ms = desk.ms("elsewhere_ms.tif")
    assert run_main(desk.sharpen("--method", "brovey", ms=ms, pan=pan)).code == 0
    Path(pan).unlink()
    results = desk.folder / "results"
    batch = ["batch", desk.path(""), "-o", str(results), "--method", "brovey", "--of", "gtiff", "--no-quality"]
    outcome = run_main([*batch, "--sensor", "generic", "--coregister", "off", "-j", "1"])
    assert outcome.code == 0, outcome
    (found,) = results.glob("*.tif")
    with rasterio.open(found) as by_til, rasterio.open(desk.out) as whole:
        assert by_til.transform == whole.transform
        np.testing.assert_array_equal(by_til.read(), whole.read())


def test_info_says_that_tiles_are_read_by_the_til_beside_them(desk: Desk, run_main: RunMain) -> None:
    _, tiled = product(desk)
    tiles = [word for path in sorted(desk.folder.glob("P_R*.TIF")) for word in ("--pan", str(path))]
    outcome = run_main(["info", "--ms", desk.ms(), *tiles, "--json"])
    found = json.loads(outcome.stdout)
    assert found["pan"]["driver"] == "TIL"
    assert any(f"tiles, read as one image by their index {tiled}" in note for note in found["notes"]), found["notes"]


def test_the_sensor_is_told_by_the_imd(desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(["info", desk.ms(), product(desk)[1]])
    assert outcome.code == 0 and "SATID WV02: worldview-2" in outcome.stdout


def test_a_vrt_of_a_til_needs_to_be_allowed(desk: Desk, run_main: RunMain) -> None:
    pan, _ = product(desk)
    source = '<SimpleSource><SourceFilename relativeToVRT="1">P.TIL</SourceFilename></SimpleSource>'
    place = "<SRS>EPSG:32633</SRS><GeoTransform>500000, 0.5, 0, 5400000, 0, -0.5</GeoTransform>"
    band = f'<VRTRasterBand dataType="UInt16" band="1">{source}</VRTRasterBand>'
    vrt = f'<VRTDataset rasterXSize="{PAN_SIDE}" rasterYSize="{PAN_SIDE}">{place}{band}</VRTDataset>'
    name, ms = write(desk, "P.vrt", vrt), desk.ms()
    refused = run_main(desk.sharpen(ms=ms, pan=name))
    assert refused.code == INPUT and "--allow-vrt" in refused.error_line
    assert run_main(desk.sharpen("--allow-vrt", "--method", "brovey", ms=ms, pan=name)).code == 0
    with rasterio.open(desk.out) as fused:
        by_vrt = fused.read()
    assert run_main(desk.sharpen("--method", "brovey", "--overwrite", ms=ms, pan=pan)).code == 0
    with rasterio.open(desk.out) as fused:
        np.testing.assert_array_equal(fused.read(), by_vrt)


def tile_that_is_a_vrt(desk: Desk) -> None:
    write(desk, "P_R2C1.TIF", raw(secret(desk)))


def tile_outside(desk: Desk) -> None:
    secret(desk)
    edit(desk, "P.TIL", "P_R2C1.TIF", "../P_R2C1.TIF")
    Path(desk.path("P_R2C1.TIF")).rename(desk.folder.parent / "P_R2C1.TIF")


def tile_that_links_outside(desk: Desk) -> None:
    elsewhere = desk.folder.parent / f"{desk.folder.name}.tif"
    Path(desk.path("P_R2C1.TIF")).rename(elsewhere)
    Path(desk.path("P_R2C1.TIF")).symlink_to(elsewhere)


def tile_of_another_format(desk: Desk) -> None:
    Path(desk.path("P_R1C1.TIF")).unlink()
    pixels = np.zeros((1, SPLIT, SPLIT), np.uint8)
    desk.raster("P_R1C1.TIF", pixels, driver="BMP", crs=None)


def tile_that_is_missing(desk: Desk) -> None:
    Path(desk.path("P_R2C1.TIF")).unlink()


def tile_behind_a_comment(desk: Desk) -> None:
    edit(desk, "P.TIL", '\tfilename = "P_R1C1.TIF"', '\tfilename /* */ = "../P_R1C1.TIF"')


def tile_by_another_key(desk: Desk) -> None:
    edit(desk, "P.TIL", "END;", "BEGIN_GROUP = TILE_1.filename:/etc/x\n\ta = 1;\nEND_GROUP = TILE_1\nEND;")


def itself(desk: Desk) -> None:
    edit(desk, "P.TIL", "P_R1C1.TIF", "P.TIL")


def no_imd(desk: Desk) -> None:
    Path(desk.path("P.IMD")).unlink()


def no_corner(desk: Desk) -> None:
    write(desk, "P.IMD", imd(corner=""))


def another_corner(desk: Desk) -> None:
    write(desk, "P.IMD", imd(CORNER.replace("500000.25", "500000.5")))


SPOILT: dict[Callable[[Desk], None], tuple[str, ...]] = {
    tile_that_is_a_vrt: ("P_R2C1.TIF", "VRT", "--allow-vrt"),
    tile_outside: ("../P_R2C1.TIF", "outside"),
    tile_that_links_outside: ("P_R2C1.TIF", "outside"),
    tile_of_another_format: ("P_R1C1.TIF", "not in a format"),
    tile_that_is_missing: ("P_R2C1.TIF", "No such file"),
    tile_behind_a_comment: ("P.TIL", "line 6", "filename /* */"),
    tile_by_another_key: ("P.TIL", "not a valid TIL", "TILE_1.filename"),
    itself: ("P.TIL", "reads itself"),
    no_imd: ("P.TIL", "missing metadata"),
    no_corner: ("P.TIL begins at -0.25, 0.25 by its IMD", "P_R1C1.TIF", "gdalbuildvrt"),
    another_corner: ("0.5 pixels off", "P_R1C1.TIF"),
}


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_what_a_til_must_not_lead_to_is_named(spoil: Callable[[Desk], None], desk: Desk, run_main: RunMain) -> None:
    _, tiled = product(desk)
    spoil(desk)
    outcome = run_main(["info", desk.ms(), tiled])
    assert outcome.code == INPUT, outcome
    assert not [words for words in SPOILT[spoil] if words not in outcome.error_line], outcome.error_line
