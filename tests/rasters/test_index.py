"""Are tiles read by the index beside them, with the pixels that they have when joined, and joined where it is wrong?"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray

from clippan_cli.rasters.options import Trust
from clippan_cli.rasters.source import open_source
from clippan_models.contracts import Window
from tests.conftest import PAN_PIXEL, Bench, Grid

SIDE, TILE = 24, 16  # pixels; GDAL wants the first tiles of DIMAP alike
STARTS = [(row, col) for row in (0, TILE) for col in (0, TILE)]
BANDS = {"B0": (0.45, 0.53), "B1": (0.51, 0.59), "B2": (0.62, 0.7), "B3": (0.775, 0.915)}
IMAGE = np.random.default_rng(1).integers(1, 2000, (len(BANDS), SIDE, SIDE)).astype("uint16")
IMAGE[:, 3, 4] = IMAGE[:2, 20, 21] = 17


def tiles(bench: Bench, mask: NDArray[np.bool_] | None = None, **how: Any) -> list[str]:
    """The image in four tiles, such as IMG_R1C1.TIF."""
    names = []
    for row, col in STARTS:
        part = np.s_[row : row + TILE, col : col + TILE]
        values = IMAGE[:, *part]
        grid = Grid(PAN_PIXEL @ Affine.translation(col, row), values.shape[2], values.shape[1])
        name = f"IMG_R{row // TILE + 1}C{col // TILE + 1}.TIF"
        names.append(bench.write(name, values, grid, mask=None if mask is None else mask[part], **how))
    return names


def dimap(names: list[str], side: int = SIDE) -> str:
    """As Airbus writes it, as far as GDAL reads it."""
    files = "".join(
        f'<Data_File tile_R="{row // TILE + 1}" tile_C="{col // TILE + 1}"><DATA_FILE_PATH href="{Path(name).name}"/>'
        "</Data_File>"
        for name, (row, col) in zip(names, STARTS, strict=False)
    )
    shape = f"<NROWS>{side}</NROWS><NCOLS>{side}</NCOLS><NBANDS>{len(BANDS)}</NBANDS>"
    size = f'<Regular_Tiling><NTILES_SIZE ncols="{TILE}" nrows="{TILE}"/></Regular_Tiling>'
    ranges = "".join(
        f"<Band_Spectral_Range><BAND_ID>{band}</BAND_ID><MIN>{low}</MIN><MAX>{high}</MAX>"
        "<MEASURE_UNIT>micrometers</MEASURE_UNIT></Band_Spectral_Range>"
        for band, (low, high) in BANDS.items()
    )
    return (
        '<Dimap_Document><Metadata_Identification><METADATA_FORMAT version="2.0">DIMAP</METADATA_FORMAT>'
        f"</Metadata_Identification><Raster_Data><Data_Access><Data_Files>{files}</Data_Files></Data_Access>"
        f"<Raster_Dimensions>{shape}<Tile_Set>{size}</Tile_Set></Raster_Dimensions></Raster_Data>"
        "<Radiometric_Data><Radiometric_Calibration><Instrument_Calibration><Band_Measurement_List>"
        f"{ranges}</Band_Measurement_List></Instrument_Calibration></Radiometric_Calibration></Radiometric_Data>"
        "<Dataset_Sources><Source_Identification><Strip_Source><MISSION>PHR</MISSION><MISSION_INDEX>1A</MISSION_INDEX>"
        "</Strip_Source></Source_Identification></Dataset_Sources></Dimap_Document>"
    )


def til(names: list[str]) -> str:
    """As Maxar writes it."""
    text = f"numTiles = {len(names)};\n"
    for number, (name, (row, col)) in enumerate(zip(names, STARTS, strict=False), start=1):
        text += (
            f'BEGIN_GROUP = TILE_{number}\n\tfilename = "{Path(name).name}";\n\tULColOffset = {col};\n'
            f"\tULRowOffset = {row};\n\tLRColOffset = {min(col + TILE, SIDE) - 1};\n"
            f"\tLRRowOffset = {min(row + TILE, SIDE) - 1};\nEND_GROUP = TILE_{number}\n"
        )
    return text + "END;\n"


def imd(corner: tuple[float, float]) -> str:
    return (
        f'version = "R";\nbandId = "Multi";\nnumRows = {SIDE};\nnumColumns = {SIDE};\nbitsPerPixel = 16;\n'
        'BEGIN_GROUP = IMAGE_1\n\tsatId = "WV02";\nEND_GROUP = IMAGE_1\nBEGIN_GROUP = MAP_PROJECTED_PRODUCT\n'
        f"\tULX = {corner[0]};\n\tULY = {corner[1]};\nEND_GROUP = MAP_PROJECTED_PRODUCT\nEND;\n"
    )


def add_dimap(bench: Bench, names: list[str]) -> None:
    (bench.folder / "DIM_IMG.XML").write_text(dimap(names))


def add_til(bench: Bench, names: list[str], corner: tuple[float, float] = PAN_PIXEL @ (0.5, 0.5)) -> None:
    (bench.folder / "IMG.TIL").write_text(til(names))
    (bench.folder / "IMG.IMD").write_text(imd(corner))


Add = Callable[[Bench, list[str]], None]


def seen(names: list[str]) -> tuple[str, tuple[str, ...], NDArray[Any], NDArray[np.bool_]]:
    """Driver, notes, values and mask of tiles."""
    with ExitStack() as stack:
        source = open_source(names, "MS", Trust(), stack)
        assert source.transform == PAN_PIXEL and source.names == tuple(names)
        return source.grid.driver, source.notes, *source.read(Window(-2, -2, SIDE + 4, SIDE + 4))


def assert_same(names: list[str], expected: tuple[NDArray[Any], NDArray[np.bool_]]) -> tuple[str, tuple[str, ...]]:
    driver, notes, values, valid = seen(names)
    np.testing.assert_array_equal(valid, expected[1])
    np.testing.assert_array_equal(values, expected[0])
    return driver, notes


@pytest.mark.parametrize(("add", "driver"), [(add_dimap, "DIMAP"), (add_til, "TIL")])
def test_tiles_are_read_by_their_index_with_the_same_pixels(add: Add, driver: str, bench: Bench) -> None:
    names = tiles(bench)
    joined = seen(names)[2:]
    assert joined[1].sum() == IMAGE.size
    add(bench, names)
    found, notes = assert_same(names[::-1], joined)
    assert found == driver
    assert len(notes) == 1 and "are tiles, read as one image by their index" in notes[0]


def test_the_index_tells_of_bands_and_sensor(bench: Bench) -> None:
    names = tiles(bench)
    add_dimap(bench, names)
    with ExitStack() as stack:
        grid = open_source(names, "MS", Trust(), stack).grid
        assert grid.tags()["MISSION"] == "PHR"
        assert [grid.tags(band)["SPECTRAL_RANGE_MIN"] for band in grid.indexes] == ["0.45", "0.51", "0.62", "0.775"]


def that_lacks_a_tile(bench: Bench, names: list[str]) -> None:
    add_til(bench, names[:3])


def that_lists_another(bench: Bench, names: list[str]) -> None:
    bench.write("IMG_R2C3.TIF", IMAGE, Grid(PAN_PIXEL, SIDE, SIDE))
    (bench.folder / "IMG.XML").write_text(
        dimap(names).replace(
            "</Data_Files>",
            '<Data_File tile_R="2" tile_C="3"><DATA_FILE_PATH href="IMG_R2C3.TIF"/></Data_File></Data_Files>',
        )
    )


def of_another_size(bench: Bench, names: list[str]) -> None:
    (bench.folder / "IMG.XML").write_text(dimap(names, side=32))


def of_another_place(bench: Bench, names: list[str]) -> None:
    add_til(bench, names, corner=PAN_PIXEL @ (8.5, 0.5))


def cut_off(bench: Bench, names: list[str]) -> None:
    (bench.folder / "IMG.XML").write_text(dimap(names)[:-30])


def of_a_tile_that_is_gone(bench: Bench, names: list[str]) -> None:
    (bench.folder / "IMG.XML").write_text(dimap([*names[:3], "IMG_R9C9.TIF"]))


def of_a_name_that_no_file_can_have(bench: Bench, names: list[str]) -> None:
    (bench.folder / "IMG.TIL").write_text(til([*names[:3], "IMG_R2C2\0.TIF"]))


@pytest.mark.parametrize(
    ("add", "words"),
    [
        (that_lacks_a_tile, "IMG.TIL is passed over, as it does not list IMG_R2C2.TIF"),
        (that_lists_another, "IMG.XML is passed over, as it lists, besides them, IMG_R2C3.TIF"),
        (of_another_size, "IMG.XML is passed over, as it describes 32x32 pixels in 4 bands of uint16, but the tiles"),
        (of_another_place, "IMG.TIL is passed over, as it cannot be read: "),
        (cut_off, "IMG.XML is passed over, as it cannot be read: "),
        (of_a_tile_that_is_gone, "IMG.XML is passed over, as it cannot be read: "),
        (of_a_name_that_no_file_can_have, "IMG.TIL is passed over, as it cannot be read: "),
    ],
)
def test_tiles_are_joined_where_their_index_is_wrong(add: Add, words: str, bench: Bench) -> None:
    names = tiles(bench)
    joined = seen(names)[2:]
    add(bench, names)
    driver, notes = assert_same(names, joined)
    assert driver == "VRT" and "tiles of one image of 24x24 pixels" in notes[0]
    assert len(notes) == 2 and words in notes[1], notes


@pytest.mark.parametrize("add", [add_dimap, add_til])
@pytest.mark.parametrize("nodata", [None, 17])
def test_what_tiles_hide_stays_hidden_where_their_index_does_not_tell_of_it(
    add: Add, nodata: int | None, bench: Bench
) -> None:
    mask = None if nodata else np.random.default_rng(2).random((SIDE, SIDE)) > 0.3
    names = tiles(bench, mask=mask, nodata=nodata)
    joined = seen(names)[2:]
    assert joined[1].sum() == ((IMAGE != nodata) if mask is None else np.broadcast_to(mask, IMAGE.shape)).sum()
    add(bench, names)
    driver, notes = assert_same(names, joined)
    assert driver == "VRT" and "does not tell where the tiles hold no data" in notes[1]


def test_the_index_of_other_images_is_not_told_of(bench: Bench) -> None:
    names = tiles(bench)
    add_til(bench, ["OTHER_R1C1.TIF"])
    (bench.folder / "README.XML").write_text("<html><p>not closed")
    assert len(seen(names)[1]) == 1
