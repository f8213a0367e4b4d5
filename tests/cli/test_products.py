"""Do the commands take a product where they take MS and PAN, and answer what is none with the right exit code?"""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import rasterio

from tests.cli.conftest import RunMain
from tests.products.deliveries import LANDSAT, Mtl, Shelf, ground, landsat, pleiades

USAGE, INPUT = 2, 3
FAST = ["--method", "brovey", "--coregister", "off", "--no-quality", "--of", "gtiff", "-j", "1"]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "product", tmp_path / "plain", len(Mtl().bands))


def test_every_command_takes_a_product(shelf: Shelf, run_main: RunMain, tmp_path: Path) -> None:
    mtl, out = landsat(shelf), tmp_path / "out.tif"
    done = run_main(["sharpen", str(mtl), "-o", str(out), *FAST])
    assert done.code == 0 and f"MS is {LANDSAT}_B1.TIF and 6 more files, PAN is {LANDSAT}_B8.TIF" in done.stderr
    found = json.loads(run_main(["info", str(shelf.folder), "--json"]).stdout)
    assert (found["ms"]["bands"], found["pan"]["bands"], found["ms"]["has_mask"]) == (7, 1, True)
    assessed = run_main(["assess", str(out), "--product", str(mtl), "--json"])
    assert assessed.code == 0 and json.loads(assessed.stdout)["images"][0]["metrics"]


def test_a_sample_of_a_data_set_is_sharpened_and_compared_with_its_truth(run_main: RunMain, tmp_path: Path) -> None:
    pan = ground(1, 128)
    data, out = tmp_path / "wv3.npz", tmp_path / "out.tif"
    np.savez(data, ms=pan[:, ::4, ::4].repeat(4, 0)[None], pan=pan[None], gt=pan.repeat(4, 0)[None])
    done = run_main(["sharpen", f"{data}#0", "-o", str(out), *FAST])
    assert done.code == 0 and "MS is wv3.npz#0:ms, PAN is wv3.npz#0:pan" in done.stderr, done
    with rasterio.open(out) as file:
        assert json.loads(file.tags(ns="CLIPPAN")["MS"]) == ["wv3.npz#0:ms"]
    command = ["assess", str(out), "--product", f"{data}#0", "--json"]
    assessed, failed = run_main(command), run_main([*command, "--max", "ERGAS=0"])
    assert assessed.code == 0 and json.loads(assessed.stdout)["images"][0]["metrics"]["ERGAS"] > 0
    assert failed.code == 8, failed


def test_a_batch_makes_all_samples_of_a_data_set_once(run_main: RunMain, tmp_path: Path) -> None:
    data = tmp_path / "wv3.npz"
    np.savez(data, ms=np.stack([ground(4, 16, seed) for seed in (1, 2)]), pan=np.stack([ground(1, 64)] * 2))
    command = ["batch", str(data), "-o", str(tmp_path / "sharp"), *FAST, "--json"]
    for outcome in ("done", "unchanged"):
        scenes = json.loads(run_main(command).stdout)["scenes"]
        assert {scene["id"]: scene["outcome"] for scene in scenes} == {"wv3-0": outcome, "wv3-1": outcome}


def test_a_bound_that_needs_the_truth_is_refused_where_the_product_has_none(
    shelf: Shelf, run_main: RunMain, tmp_path: Path
) -> None:
    mtl = landsat(shelf)
    done = run_main(["assess", str(shelf.folder / f"{LANDSAT}_B1.TIF"), "--product", str(mtl), "--max", "ERGAS=9"])
    assert done.code == USAGE and "a bound on ERGAS needs --reference" in done.stderr


def test_a_batch_takes_products_in_folders_and_archives(shelf: Shelf, run_main: RunMain, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    landsat(Shelf(archive, tmp_path / "plain", 7))
    packed = Shelf(tmp_path / "PHR", tmp_path / "plain")
    pleiades(packed)
    with ZipFile(archive / "PHR.zip", "w") as file:
        for path in sorted(packed.folder.rglob("*")):
            file.write(path, path.relative_to(tmp_path))
    command = ["batch", str(archive), "-o", str(tmp_path / "sharp"), *FAST, "--json"]
    first = run_main(command)
    assert first.code == 0, first
    outcomes = {scene["id"]: scene["outcome"] for scene in json.loads(first.stdout)["scenes"]}
    assert outcomes == {LANDSAT: "done", "DIM_PHR1A_201208130950012_ORT_IPU_00": "done"}
    single = tmp_path / "single.tif"
    assert run_main(["sharpen", str(archive / f"{LANDSAT}_MTL.txt"), "-o", str(single), *FAST]).code == 0
    with rasterio.open(single) as one, rasterio.open(tmp_path / "sharp" / f"{LANDSAT}.tif") as other:
        np.testing.assert_array_equal(one.read(), other.read())
    (archive / "PHR.zip").write_bytes((archive / "PHR.zip").read_bytes())
    with rasterio.open(archive / f"{LANDSAT}_QA_PIXEL.TIF", "r+") as quality:
        quality.write(np.ones((1, 4, 4), np.uint16), window=((0, 4), (0, 4)))
    again = {scene["id"]: scene["outcome"] for scene in json.loads(run_main(command).stdout)["scenes"]}
    assert again == {LANDSAT: "done", "DIM_PHR1A_201208130950012_ORT_IPU_00": "unchanged"}


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("a_ms.tif", USAGE, "expected two files, MS then PAN, or one product"),
        ("missing.zip", INPUT, "cannot be read"),
        ("missing_MTL.txt", INPUT, "cannot be read as an MTL file"),
        ("README.XML", INPUT, "names no image"),
        ("empty", INPUT, "holds no pair"),
    ],
)
def test_what_is_no_product_is_answered(
    name: str, code: int, words: str, shelf: Shelf, run_main: RunMain, tmp_path: Path
) -> None:
    shelf.raster("a_ms.tif", shelf.ms, None)
    shelf.text("README.XML", "<README/>")
    (shelf.folder / "empty").mkdir()
    outcome = run_main(["sharpen", str(shelf.folder / name), "-o", str(tmp_path / "out.tif"), *FAST])
    assert outcome.code == code and words in outcome.error_line
    assert not (tmp_path / "out.tif").exists()


def test_a_quality_mask_that_does_not_exist_is_refused(shelf: Shelf, run_main: RunMain, tmp_path: Path) -> None:
    command = ["sharpen", str(landsat(shelf)), "-o", str(tmp_path / "out.tif"), *FAST]
    outcome = run_main([*command, "--quality-mask", "clouds"])
    assert outcome.code == USAGE and "--quality-mask clouds" in outcome.error_line
