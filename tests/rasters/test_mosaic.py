"""Do the tiles of an image read as the image, and are files that are none refused?"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from clippan_cli.rasters.options import Trust
from clippan_cli.rasters.source import RasterSource, open_source
from clippan_models.contracts import Window
from clippan_models.errors import ClippanError, IncompatiblePairError, InputError
from tests.conftest import PAN_PIXEL, Bench, Grid

CUTS = ((0, 7), (7, 16)), ((0, 12), (12, 20))  # first and last row, first and last column of the tiles


def image(dtype: str = "uint16", bands: int = 2) -> NDArray[Any]:
    return np.random.default_rng(1).integers(1, 250, (bands, 16, 20)).astype(dtype)


def tiles(bench: Bench, values: NDArray[Any], *, mask: NDArray[np.bool_] | None = None, **how: Any) -> list[str]:
    """The four tiles of an image, in no particular order."""
    names = []
    for r, (top, bottom) in reversed(list(enumerate(CUTS[0], start=1))):
        for c, (left, right) in enumerate(CUTS[1], start=1):
            grid = Grid(PAN_PIXEL @ Affine.translation(left, top), right - left, bottom - top)
            part = None if mask is None else mask[top:bottom, left:right]
            name = f"x_R{r}C{c}.tif"
            names.append(bench.write(name, values[:, top:bottom, left:right], grid, mask=part, **how))
    return names


def read(names: list[str]) -> tuple[RasterSource, NDArray[Any], NDArray[np.bool_]]:
    with ExitStack() as stack:
        source = open_source(names, "MS", Trust(), stack)
        values, valid = source.read(Window(-1, -1, source.height + 2, source.width + 2))
        assert not valid[:, 0].any() and not valid[:, :, -1].any()
        assert source.transform == PAN_PIXEL and source.grid.crs.to_epsg() == 32631
        return source, values[:, 1:-1, 1:-1], valid[:, 1:-1, 1:-1]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("nodata", [None, 17])
def test_tiles_read_as_the_image(dtype: str, nodata: float | None, bench: Bench) -> None:
    whole = image(dtype)
    whole[1, 3, 4] = whole[0, 9, 15] = 17
    source, values, valid = read(tiles(bench, whole, nodata=nodata))
    assert (source.width, source.height, source.dtype, source.nodata) == (20, 16, dtype, (nodata, nodata))
    assert np.array_equal(values[valid], whole[valid].astype(np.float32))
    assert np.array_equal(valid, whole != nodata)
    assert source.notes == (f"{source.names[0]} and 3 more are tiles of one image of 20x16 pixels",)


@pytest.mark.parametrize("nodata", [None, 0, np.nan])
def test_what_lies_between_tiles_is_invalid(nodata: float | None, bench: Bench) -> None:
    whole = image("float32")
    _, values, valid = read([name for name in tiles(bench, whole, nodata=nodata) if "R1C2" not in name])
    expected = np.ones((16, 20), bool)
    expected[:7, 12:] = False
    assert (valid == expected).all()
    assert np.array_equal(values[:, expected], whole[:, expected])


def test_masks_and_alpha_of_tiles_count(bench: Bench) -> None:
    whole, mask = image("uint8", 4), np.random.default_rng(2).random((16, 20)) > 0.3
    _, _, valid = read(tiles(bench, whole, mask=mask))
    assert (valid == mask).all()
    whole[3] = np.where(mask, 255, 0)
    colors = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    source, _, valid = read(tiles(bench, whole, colors=colors))
    assert source.count == 3 and (valid == mask).all()


def test_tiles_may_overlap_where_one_is_empty(bench: Bench) -> None:
    whole = image()
    left, right = whole[:, :, :12].copy(), whole[:, :, 8:].copy()
    right[:, :, :4] = 0
    names = [
        bench.write("left.tif", left, Grid(PAN_PIXEL, 12, 16), nodata=0),
        bench.write("right.tif", right, Grid(PAN_PIXEL @ Affine.translation(8, 0), 12, 16), nodata=0),
    ]
    _, values, valid = read(names)
    assert valid.all() and np.array_equal(values, whole)


def test_a_mosaic_keeps_what_all_tiles_say(bench: Bench) -> None:
    names = tiles(bench, image(), tags={"ACQUISITIONDATETIME": "2020-01-01 10:00:00", "A & B": '<"é">'})
    for number, name in enumerate(names):
        with rasterio.open(name, "r+") as file:
            file.descriptions = ("Blue", "Red")
            file.scales, file.units = (0.5, 2.0), ("K", "")
            file.update_tags(OWN=str(number))
            file.update_tags(2, wavelength="660")
    with ExitStack() as stack:
        grid = open_source(names, "MS", Trust(), stack).grid
        tags = grid.tags()
        assert tags["A & B"] == '<"é">' and "OWN" not in tags and tags["ACQUISITIONDATETIME"]
        assert (grid.descriptions, grid.scales, grid.units[0]) == (("Blue", "Red"), (0.5, 2.0), "K")
        assert grid.tags(2)["wavelength"] == "660"


@pytest.mark.parametrize(
    ("pixel", "right", "how", "words"),
    [
        (1.0, 12.5, {}, "another grid"),
        (1.02, 12, {}, "another grid"),
        (1.0, 12, {"dtype": "float32"}, "type differs"),
        (1.0, 12, {"nodata": 0}, "nodata differs"),
        (1.0, 12, {"bands": 3}, "number of bands differs"),
    ],
)
def test_what_is_no_tile_is_refused(pixel: float, right: float, how: dict[str, Any], words: str, bench: Bench) -> None:
    values = image(how.get("dtype", "uint16"), how.get("bands", 2))
    place = PAN_PIXEL @ Affine.translation(right, 0) @ Affine.scale(pixel)
    names = [
        bench.write("a.tif", image()[:, :, :12], Grid(PAN_PIXEL, 12, 16)),
        bench.write("b.tif", values[:, :, 12:], Grid(place, 8, 16), nodata=how.get("nodata")),
    ]
    with pytest.raises(IncompatiblePairError, match=words):
        read(names)


def test_a_tile_is_checked_as_if_it_were_named(bench: Bench, tmp_path: Path) -> None:
    names = tiles(bench, image())
    vrt = tmp_path / "x_R1C1.vrt"
    vrt.write_text(f"<VRTDataset rasterXSize='12' rasterYSize='7'><x>{names[2]}</x></VRTDataset>")
    with pytest.raises(InputError, match="add --allow-vrt"):
        read([str(vrt), *names])
    Path(names[1]).write_bytes(Path(names[1]).read_bytes()[:200])
    with pytest.raises(ClippanError, match="x_R2C2"):
        read(names)


@pytest.mark.parametrize("ms_in_tiles", [True, False])
@pytest.mark.parametrize("method", ["gsa", "brovey"])
def test_tiles_are_sharpened_as_the_image(
    method: str, ms_in_tiles: bool, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    ms, pan = (rng.integers(100, 900, shape).astype("uint16") for shape in ((4, 16, 20), (1, 64, 80)))
    coarse, fine = Grid(PAN_PIXEL @ Affine.scale(4), 20, 16), Grid(PAN_PIXEL, 80, 64)
    whole = bench.write("ms.tif", ms, coarse), bench.write("pan.tif", pan, fine)
    pans = []
    for row in (0, 24):
        for col in (0, 50):
            part = pan[:, row : 24 if row == 0 else 64, col : 50 if col == 0 else 80]
            grid = Grid(PAN_PIXEL @ Affine.translation(col, row), part.shape[2], part.shape[1])
            pans.append(bench.write(f"pan_{row}_{col}.tif", part, grid))
    names = [
        bench.write(
            f"ms_{left}.tif", ms[:, :, left:right], Grid(coarse.transform @ Affine.translation(left, 0), 10, 16)
        )
        for left, right in ((0, 10), (10, 20))
    ]
    monkeypatch.chdir(tmp_path)
    names = [Path(name).name for name in names] if ms_in_tiles else [whole[0]]
    expected = bench.sharpen(*whole, method=method, sensor="generic")
    found = bench.sharpen(names, pans, method=method, sensor="generic")
    assert np.array_equal(found.pixels, expected.pixels) and found.grid == expected.grid
