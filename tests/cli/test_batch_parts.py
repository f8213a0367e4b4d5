"""Is a scene in tiles or band files sharpened as if each image were one file, and made again if a part has changed?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from clippan_cli.batch.record import Job, with_key
from clippan_cli.rasters.options import Trust
from clippan_cli.running.control import Control
from clippan_cli.scene.files import ReadOptions
from clippan_cli.scene.pairs import find_pairs
from clippan_cli.sharpening.options import SharpenOptions
from tests.cli.conftest import MS_PIXEL, PAN_PIXEL, PAN_SIDE, Desk, RunMain

FAILED = 9
LANDSAT = "LC08_L1TP_190026_20200101_20200113_01_T1"
OPTIONS = ["--sensor", "generic", "--no-quality", "--of", "gtiff", "-j", "1"]


def write_tiles(desk: Desk, name: str, pixels: NDArray[Any], place: Affine) -> list[str]:
    half = pixels.shape[1] // 2
    return [
        desk.raster(
            f"archive/{name}_R{row + 1}C{col + 1}.tif",
            pixels[:, row * half : (row + 1) * half, col * half : (col + 1) * half],
            transform=place @ Affine.translation(col * half, row * half),
        )
        for row in (0, 1)
        for col in (0, 1)
    ]


@pytest.fixture
def whole(desk: Desk) -> list[str]:
    """MS and PAN as one file each; in the folder `archive` the same in tiles, and as files of bands."""
    (desk.folder / "archive").mkdir()
    pixels = {"MS": desk.pixels(4, PAN_SIDE // 4), "PAN": desk.pixels(1, PAN_SIDE)}
    write_tiles(desk, "IMG_MS", pixels["MS"], MS_PIXEL)
    write_tiles(desk, "IMG_PAN", pixels["PAN"], PAN_PIXEL)
    east = Affine.translation(1000, 0)
    for number, band in enumerate(pixels["MS"], start=2):
        desk.raster(f"archive/{LANDSAT}_B{number}.TIF", band[np.newaxis], transform=east @ MS_PIXEL)
    desk.raster(f"archive/{LANDSAT}_B8.TIF", pixels["PAN"], transform=east @ PAN_PIXEL)
    return [desk.ms(pixels=pixels["MS"]), desk.pan(pixels=pixels["PAN"])]


def outcomes(stdout: str) -> dict[str, str]:
    return {scene["id"]: scene["outcome"] for scene in json.loads(stdout)["scenes"]}


def pixels_of(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as dataset:
        values: NDArray[Any] = dataset.read()
        return values


def change(path: Path) -> None:
    with rasterio.open(path, "r+") as file:
        file.write(file.read() + 1)


@pytest.mark.parametrize("method", ["gsa", "brovey"])
def test_parts_are_sharpened_as_the_whole(method: str, whole: list[str], desk: Desk, run_main: RunMain) -> None:
    archive, out = desk.folder / "archive", desk.folder / "sharp"
    found = run_main(["batch", str(archive), "-o", str(out), "--method", method, *OPTIONS, "--json"])
    assert found.code == 0 and outcomes(found.stdout) == {"IMG": "done", LANDSAT: "done"}
    assert run_main(["sharpen", *whole, "-o", str(desk.out), "--method", method, *OPTIONS]).code == 0
    for name in ("IMG", LANDSAT):
        assert np.array_equal(pixels_of(out / f"{name}.tif"), pixels_of(desk.out))


def test_a_dry_run_names_all_parts(whole: list[str], desk: Desk, run_main: RunMain) -> None:
    archive = desk.folder / "archive"
    shown = json.loads(run_main(["batch", str(archive), "--dry-run", "--json"]).stdout)
    pairs = {pair.pop("id"): pair for pair in shown["pairs"]}
    tiles = {role: [str(archive / f"IMG_{role}_R{r}C{c}.tif") for r in "12" for c in "12"] for role in ("MS", "PAN")}
    first, *others = tiles["PAN"]
    assert pairs["IMG"] == {"ms": tiles["MS"], "pan": first, "pan_tiles": others, "reason": "names agree"}
    bands = [str(archive / f"{LANDSAT}_B{number}.TIF") for number in (2, 3, 4, 5, 8)]
    assert pairs[LANDSAT] == {"ms": bands[:4], "pan": bands[4], "pan_tiles": [], "reason": "names agree"}
    assert shown["left_out"] == []


def test_a_changed_part_makes_its_scene_again(whole: list[str], desk: Desk, run_main: RunMain) -> None:
    archive = desk.folder / "archive"
    command = ["batch", str(archive), "-o", str(desk.folder / "sharp"), "--method", "exp", *OPTIONS, "--json"]
    run_main(command)
    assert set(outcomes(run_main(command).stdout).values()) == {"unchanged"}
    change(archive / "IMG_PAN_R2C1.tif")
    assert outcomes(run_main(command).stdout) == {"IMG": "done", LANDSAT: "unchanged"}


@pytest.mark.parametrize("part", ["IMG_PAN_R1C1.tif", "IMG_MS_R2C2.tif", f"{LANDSAT}_B4.TIF"])
def test_each_part_counts_for_what_is_remembered(part: str, whole: list[str], desk: Desk) -> None:
    def keys() -> dict[str, str]:
        pairs = find_pairs(desk.folder / "archive", Trust(), Control()).pairs
        return {pair.id: with_key(Job(pair, ReadOptions(), SharpenOptions(desk.out))).key for pair in pairs}

    before = keys()
    change(desk.folder / "archive" / part)
    assert [name for name, key in keys().items() if key != before[name]] == ["IMG" if "IMG" in part else LANDSAT]


def test_a_scene_without_one_of_its_tiles_is_a_part(whole: list[str], desk: Desk, run_main: RunMain) -> None:
    archive, out = desk.folder / "archive", desk.folder / "sharp"
    for role in ("MS", "PAN"):
        (archive / f"IMG_{role}_R1C2.tif").unlink()
    method = ["--method", "exp", "--coregister", "off", *OPTIONS]
    command = ["batch", str(archive), "-o", str(out), *method]
    found = run_main(command)
    assert found.code == FAILED and "IMG_MS_R1C2.tif: this tile is missing" in found.error_line
    assert run_main(["sharpen", *whole, "-o", str(desk.out), *method]).code == 0
    made, expected, half = pixels_of(out / "IMG.tif"), pixels_of(desk.out), PAN_SIDE // 2
    assert not made[:, :half, half:].any()
    away = slice(half + 16, None)  # further than interpolation reaches
    assert np.array_equal(made[:, away], expected[:, away])
    assert run_main([*command, "--ignore-unpaired"]).code == 0


def test_tiles_can_be_named(whole: list[str], desk: Desk, run_main: RunMain) -> None:
    names = {
        role: [str(desk.folder / "archive" / f"IMG_{role}_R{r}C{c}.tif") for r in "12" for c in "12"]
        for role in ("MS", "PAN")
    }
    tiles = [
        word for role, option in (("MS", "--ms"), ("PAN", "--pan")) for name in names[role] for word in (option, name)
    ]
    fused = [desk.folder / "whole.tif", desk.folder / "tiles.tif"]
    for files, path in ((whole, fused[0]), (tiles, fused[1])):
        assert run_main(["sharpen", *files, "-o", str(path), "--method", "gsa", *OPTIONS]).code == 0
    assert np.array_equal(pixels_of(fused[0]), pixels_of(fused[1]))
    shown = json.loads(run_main(["info", *tiles, "--json"]).stdout)
    assert (shown["pan"]["width"], len(shown["pan"]["files"])) == (PAN_SIDE, 4)
    with rasterio.open(fused[1]) as file:
        tags = file.tags(ns="CLIPPAN")
    assert [tags["PAN"], *json.loads(tags["PAN_TILES"])] == [Path(name).name for name in names["PAN"]]
