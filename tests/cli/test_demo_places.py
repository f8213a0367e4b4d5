"""Does `clippan demo` show on real places what clippan is for?"""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from tests.cli.conftest import RunMain

PLACES = {"pamplona": ("EPSG:32630", 256, 511, "Geological Survey"), "virginia": ("EPSG:26917", 96, 384, "NAIP")}


def test_what_it_brings_is_small_and_has_its_credit() -> None:
    assets = [Path(str(path)) for path in (resources.files("clippan_cli") / "assets").iterdir()]
    assert sum(path.stat().st_size for path in assets) < 3_000_000
    credits = next(path for path in assets if path.name == "CREDITS.txt").read_text()
    assert all(owner in credits for owner in ("U.S. Geological Survey", "USDA Farm Service Agency", "public domain"))


@pytest.mark.parametrize("earlier", ["demo.html", "pamplona/ms.tif"])
def test_an_earlier_demo_stays(earlier: str, tmp_path: Path, run_main: RunMain) -> None:
    kept = tmp_path / earlier
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine")
    outcome = run_main(["demo", str(tmp_path)])
    assert outcome.code == 5 and "--overwrite" in outcome.error_line
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept] and kept.read_text() == "mine"


@pytest.mark.parametrize("more", [[], ["--synthetic"]])
def test_steps_below_zero_are_refused(more: list[str], tmp_path: Path, run_main: RunMain) -> None:
    outcome = run_main(["demo", str(tmp_path / "new"), "--steps", "-1", *more])
    assert outcome.code == 2 and "--steps" in outcome.error_line and not any(tmp_path.iterdir())


@pytest.mark.slow
def test_the_demo(tmp_path: Path, run_main: RunMain) -> None:
    folder = tmp_path / "clippan-demo"
    outcome = run_main(["demo", str(folder), "-j", "1", "--json", "-q"])
    assert (outcome.code, outcome.stderr) == (0, "")
    found = json.loads(outcome.stdout)
    for place in PLACES:
        files_lie_where_the_place_is_and_name_the_owner(folder / place)
    the_grids_of_landsat_have_common_centres(folder / "pamplona")
    assert not found["places"]["Pamplona"]["scores"]
    clippan_is_nearest_to_the_truth(folder / "virginia", found["places"]["Virginia"]["scores"])
    the_page_shows_all_images(Path(found["page"]).read_text())
    with Image.open(found["picture"]) as picture:
        assert picture.width == 5 * 256 + 4 * 8  # a truth or its place in both rows


def files_lie_where_the_place_is_and_name_the_owner(folder: Path) -> None:
    crs, ms_side, side, owner = PLACES[folder.name]
    for name, expected in {"ms": ms_side, "pan": side, "clippan": side, "gsa": side, "exp": side}.items():
        with rasterio.open(folder / f"{name}.tif") as dataset:
            assert (dataset.crs.to_string(), dataset.shape) == (crs, (expected, expected)), name
            assert owner in dataset.tags()["TIFFTAG_COPYRIGHT"], name
            assert name == "pan" or dataset.descriptions == ("red", "green", "blue", "nir"), name


def the_grids_of_landsat_have_common_centres(folder: Path) -> None:
    with rasterio.open(folder / "ms.tif") as ms, rasterio.open(folder / "pan.tif") as pan:
        assert ms.xy(10, 20) == pan.xy(20, 40)


def clippan_is_nearest_to_the_truth(folder: Path, scores: dict[str, dict[str, float]]) -> None:
    ours = scores["clippan"]
    for other in (scores["gsa"], scores["exp"]):
        assert ours["PSNR"] > other["PSNR"] + 2
        assert ours["SAM"] < other["SAM"] and ours["ERGAS"] < other["ERGAS"]
    inner = []
    for name in ("clippan", "truth"):
        with rasterio.open(folder / f"{name}.tif") as dataset:
            inner.append(dataset.read().astype(np.float64)[:, 16:-16, 16:-16])
    psnr = 10 * np.log10(2047**2 / ((inner[0] - inner[1]) ** 2).mean((1, 2)))
    assert ours["PSNR"] == pytest.approx(psnr.mean(), abs=0.01)


def the_page_shows_all_images(page: str) -> None:
    shown = re.findall(r'<img src="data:image/jpeg;base64,[^"]+" alt="(\w+): [^"]+: (\w+)"', page)
    images = ["PAN", "MS", "clippan", "gsa"]
    assert shown == 2 * [("Pamplona", name) for name in images] + 2 * [("Virginia", n) for n in [*images, "truth"]]
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)  # one file, without the network
    assert "U.S. Geological Survey" in page and "USDA Farm Service Agency" in page
