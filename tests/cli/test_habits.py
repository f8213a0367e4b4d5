"""Options as GDAL, rio and the Orfeo Toolbox spell them: they do what they do there, or say what does it here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import rasterio

from tests.cli.conftest import PAN_PIXEL, Desk, RunMain

LEFT, TOP = PAN_PIXEL.c, PAN_PIXEL.f
BOX = [LEFT + 4, TOP - 20, LEFT + 20, TOP - 8]
AS_TEXT = [f"{edge:.0f}" for edge in BOX]


def profile(path: Path) -> dict[str, Any]:
    with rasterio.open(path) as dataset:
        return {**dataset.profile, "bounds": list(dataset.bounds)}


def made(desk: Desk, run_main: RunMain, *extra: str) -> dict[str, Any]:
    outcome = run_main(desk.sharpen("--overwrite", *extra))
    assert outcome.code == 0, outcome.stderr
    return profile(desk.out)


def test_the_format(desk: Desk, run_main: RunMain) -> None:
    run_main(desk.sharpen("-of", "COG"))
    with rasterio.open(desk.out) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


@pytest.mark.parametrize("option", ["-of", "-f", "--driver", "--format", "--output-format"])
def test_the_format_by_other_names(option: str, desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(desk.sharpen(option, "Zarr"))
    assert outcome.code == 2 and "unknown output format 'zarr'" in outcome.error_line


@pytest.mark.parametrize("argv", [["-co", "COMPRESS=LZW"], ["--creation-option", "COMPRESS=LZW"]])
def test_creation_options(argv: list[str], desk: Desk, run_main: RunMain) -> None:
    assert made(desk, run_main, *argv)["compress"] == "lzw"


@pytest.mark.parametrize(
    "argv", [["-b", "3", "-b", "1"], ["-b", "3,1"], ["--bidx", "3,1"], ["--bands=3", "--bands", "1"], ["-b", "3 1"]]
)
def test_bands(argv: list[str], desk: Desk, run_main: RunMain) -> None:
    ms = desk.ms()
    with rasterio.open(ms, "r+") as dataset:
        dataset.descriptions = ("one", "two", "three", "four")
    assert run_main(desk.sharpen(*argv, ms=ms)).code == 0
    with rasterio.open(desk.out) as dataset:
        assert dataset.descriptions == ("three", "one")


@pytest.mark.parametrize(
    "argv",
    [
        ["--bbox", *AS_TEXT],
        ["--bbox", ",".join(AS_TEXT)],
        ["--bbox", " ".join(AS_TEXT)],
        ["--bbox", *(f"{edge}," for edge in AS_TEXT[:3]), AS_TEXT[3]],
        ["-te", *AS_TEXT],
        ["-projwin", AS_TEXT[0], AS_TEXT[3], AS_TEXT[2], AS_TEXT[1]],
    ],
    ids=["four words", "commas", "spaces", "commas and words", "gdalwarp", "gdal_translate"],
)
def test_a_box_in_one_word_or_four(argv: list[str], desk: Desk, run_main: RunMain) -> None:
    assert made(desk, run_main, *argv)["bounds"] == BOX


def test_a_box_west_and_south_of_zero(desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(desk.sharpen("--bbox", "-8", "-9", "-7", "-8.5"))
    assert "outside the scene" in outcome.error_line


def test_one_hyphen_is_as_good_as_two(desk: Desk, run_main: RunMain) -> None:
    assert made(desk, run_main, "-nodata", "7", "-threads", "ALL_CPUS", "-overwrite", "-json")["nodata"] == 7


def test_the_options_of_the_orfeo_toolbox(desk: Desk, run_main: RunMain) -> None:
    argv = ["sharpen", "-inp", desk.pan(), "-inxs", desk.ms(), "-out", str(desk.out), "-method", "EXP", "-ram", "512"]
    outcome = run_main([*argv, "--no-quality"])
    assert outcome.code == 0 and desk.out.exists(), outcome.stderr


@pytest.mark.parametrize(
    "argv, words",
    [
        (["-spat_adjust", "union"], "--extent"),
        (["-t_srs", "EPSG:4326"], "gdalwarp"),
        (["-crop_to_cutline"], "--aoi"),
        (["-mode", "phr"], "RPC"),
        (["--half-window"], "leave it out"),
        (["--config", "GDAL_CACHEMAX", "512"], "GDAL_CACHEMAX=VALUE"),
    ],
)
def test_what_has_no_equal_is_explained(argv: list[str], words: str, desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(desk.sharpen(*argv))
    assert outcome.code == 2 and argv[0] in outcome.error_line and words in outcome.error_line
    assert not desk.out.exists()


def test_an_option_of_another_command(desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(["info", desk.ms(), desk.pan(), "-co", "COMPRESS=LZW"])
    assert outcome.code == 2
    assert "-co" in outcome.error_line and "clippan info does not have" in outcome.error_line


def test_the_order_of_gdal_pansharpen(desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(["sharpen", desk.pan(), desk.ms(), str(desk.out), "-of", "GTiff", "-o", str(desk.out)])
    assert outcome.code == 2 and "MS then PAN" in outcome.error_line and "-o" in outcome.error_line


@pytest.mark.parametrize("argv", [["--prompt", "-of"], ["--ms-nodata", "-1", "--ms-nodata", "none"]])
def test_a_value_is_not_taken_for_an_option(argv: list[str], desk: Desk, run_main: RunMain) -> None:
    assert run_main(desk.sharpen(*argv)).code == 0


@pytest.mark.parametrize(
    "argv",
    [
        ["--method", "EXP"],
        ["--of", "GTiff"],
        ["--extent", "PAN"],
        ["--coregister", "Off"],
        ["--device", "CPU"],
        ["--preset", "FAST"],
        ["--progress", "None"],
        ["--compress", "LZW"],
        ["--sensor", "GENERIC"],
        ["--teacher", "GSA"],
        ["--loss", "SPEC,Wald=2"],
    ],
)
def test_the_case_of_names_does_not_matter(argv: list[str], desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(desk.sharpen("--dry-run", *argv))
    assert outcome.code == 0, outcome.stderr


@pytest.mark.parametrize(
    "names",
    [["--ms", "ms.tif,band=3", "--ms", "ms.tif,band=1", "--pan", "pan.tif,band=2"], ["ms.tif,band=3", "pan.tif"]],
)
def test_bands_in_the_names_of_files(
    names: list[str], desk: Desk, run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk.folder)
    with rasterio.open(desk.ms(), "r+") as dataset:
        dataset.descriptions = ("one", "two", "three", "four")
    desk.pan(bands=2 if "pan.tif,band=2" in names else 1)
    argv = ["sharpen", *names, "-o", str(desk.out), "--method", "gsa", "--no-quality", "-of", "GTiff"]
    outcome = run_main(argv)
    assert outcome.code == 0, outcome.stderr
    with rasterio.open(desk.out) as dataset:
        assert dataset.descriptions == (("three", "one") if "--ms" in names else ("three",))
        assert dataset.tags(ns="CLIPPAN")["MS_SIZE"] == f"16x16x{dataset.count}"


@pytest.mark.parametrize("name, code", [("ms.tif,band=9", 2), ("ms.tif,band=x", 3), ("gone.tif,band=1", 3)])
def test_bands_that_are_not_there(
    name: str, code: int, desk: Desk, run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk.folder)
    outcome = run_main(desk.sharpen(ms=desk.ms() and name))
    assert outcome.code == code and name.split(",")[0] in outcome.error_line
