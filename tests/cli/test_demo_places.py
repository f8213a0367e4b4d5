"""Does `clippan demo` show on real places what clippan is for?"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image

from tests.cli.conftest import RunMain

PLACES = {"pamplona": ("EPSG:32630", (256, 511), "Geological Survey"), "virginia": ("EPSG:26917", (96, 384), "NAIP")}


@dataclass(frozen=True)
class Demo:
    """What the demo left."""

    folder: Path
    document: dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tried") / "clippan-demo"


@pytest.fixture
def demo(folder: Path, run_main: RunMain) -> Demo:
    """Made once for all tests."""
    kept = folder.with_suffix(".json")
    if not kept.exists():
        outcome = run_main(["demo", str(folder), "-j", "1", "--json", "-q"])
        assert (outcome.code, outcome.stderr) == (0, "")
        kept.write_text(outcome.stdout)
    return Demo(folder, json.loads(kept.read_text()))


def test_what_it_brings_is_small_and_has_its_credit() -> None:
    assets = [Path(str(path)) for path in (resources.files("clippan_cli") / "assets").iterdir()]
    assert sum(path.stat().st_size for path in assets) < 3_000_000
    credits = next(path for path in assets if path.name == "CREDITS.txt").read_text()
    assert all(owner in credits for owner in ("U.S. Geological Survey", "USDA Farm Service Agency", "public domain"))


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_its_files_lie_where_the_place_is_and_name_the_owner(demo: Demo, place: str) -> None:
    crs, (ms_side, side), owner = PLACES[place]
    sizes = {"ms": ms_side, "pan": side, "clippan": side, "gsa": side, "exp": side}
    for name, expected in sizes.items():
        with rasterio.open(demo.folder / place / f"{name}.tif") as dataset:
            assert (dataset.crs.to_string(), dataset.shape) == (crs, (expected, expected)), name
            assert owner in dataset.tags()["TIFFTAG_COPYRIGHT"], name
            assert name == "pan" or dataset.descriptions == ("red", "green", "blue", "nir"), name


@pytest.mark.slow
def test_the_grids_of_landsat_have_common_centres(demo: Demo) -> None:
    with (
        rasterio.open(demo.folder / "pamplona" / "ms.tif") as ms,
        rasterio.open(demo.folder / "pamplona" / "pan.tif") as pan,
    ):
        assert ms.xy(10, 20) == pan.xy(20, 40)


@pytest.mark.slow
def test_it_is_nearer_to_the_truth_than_other_methods(demo: Demo) -> None:
    assert not demo.document["places"]["Pamplona"]["scores"]
    scores = demo.document["places"]["Virginia"]["scores"]
    for other in ("gsa", "exp"):
        assert scores["clippan"]["PSNR"] > scores[other]["PSNR"] + 2
        assert scores["clippan"]["SAM"] < scores[other]["SAM"] and scores["clippan"]["ERGAS"] < scores[other]["ERGAS"]
    read = {name: rasterio.open(demo.folder / "virginia" / f"{name}.tif").read() for name in ("clippan", "truth")}
    fused, truth = (image[:, 16:-16, 16:-16].astype(np.float64) for image in read.values())
    psnr = 10 * np.log10(2047**2 / ((fused - truth) ** 2).mean((1, 2)))
    assert scores["clippan"]["PSNR"] == pytest.approx(psnr.mean(), abs=0.01)


@pytest.mark.slow
def test_its_page_and_picture_show_all_images(demo: Demo) -> None:
    page = Path(demo.document["page"]).read_text()
    shown = re.findall(r'<img src="data:image/jpeg;base64,[^"]+" alt="(\w+): [^"]+: (\w+)"', page)
    images = ["PAN", "MS", "clippan", "gsa"]
    assert shown == 2 * [("Pamplona", name) for name in images] + 2 * [("Virginia", n) for n in [*images, "truth"]]
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)  # one file, without the network
    assert "U.S. Geological Survey" in page and "USDA Farm Service Agency" in page
    with Image.open(demo.document["picture"]) as picture:
        assert picture.width == 5 * 256 + 4 * 8


@pytest.mark.slow
def test_an_earlier_demo_stays(demo: Demo, run_main: RunMain) -> None:
    again = run_main(["demo", str(demo.folder)])
    assert again.code == 5 and "--overwrite" in again.error_line
