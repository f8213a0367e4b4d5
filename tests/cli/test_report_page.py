"""The page as an analyst sees it: pictures in rows, places on the map, a fair comparison, a viewer in the browser."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from rasterio.crs import CRS

from clippan_cli.pages.layout import breakable, columns
from clippan_cli.quality.options import AssessOptions
from clippan_cli.report.files import ReportFiles
from clippan_cli.report.position import describe_place, scale_bar
from clippan_cli.running.control import Control
from clippan_cli.running.options import ComputeOptions
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.synthetic import make_demo_scene
from clippan_cli.sharpening.engine import sharpen_files
from clippan_cli.sharpening.options import bare_sharpening
from clippan_cli.tasks.assess import assess
from clippan_cli.tasks.demo import write_demo_scene
from clippan_models.contracts import Window
from tests.cli.test_report import Page

SIDE = 256
NAMES = ("by_gsa.tif", "by_brovey.tif", "noisy.tif")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo pair, three results, and the page that compares them: one is that of the baseline."""
    place = tmp_path_factory.mktemp("page")
    files = [place / name for name in ("ms.tif", "pan.tif", "truth.tif")]
    write_demo_scene(make_demo_scene(SIDE), *files)
    pair, compute = SceneFiles((str(files[0]),), str(files[1])), ComputeOptions(device="cpu", threads=1)
    for method in ("gsa", "brovey"):
        sharpen_files(pair, ReadOptions(), bare_sharpening(place / f"by_{method}.tif", method, compute), Control())
    with rasterio.open(files[2]) as truth:
        pixels, profile = truth.read(), dict(truth.profile)
    with rasterio.open(place / "noisy.tif", "w", **profile) as noisy:
        noise = np.random.default_rng(1).normal(0, 40, pixels.shape)
        noisy.write(np.clip(pixels + noise, 0, 4095).astype(np.uint16))
    options = AssessOptions(compute=compute, baselines=True)
    images = [str(place / name) for name in NAMES]
    assess(pair, ReadOptions(), images, options, files=ReportFiles(page=place / "page.html"))
    return place


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "page.html").read_text(encoding="utf-8"))


def pixels_of(address: str | None) -> NDArray[np.int64]:
    data = base64.b64decode(str(address).split(";base64,")[1])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.int64)


@pytest.mark.parametrize("most", [2, 3, 4, 6])
@pytest.mark.parametrize("count", range(1, 30))
def test_no_picture_is_alone_in_the_last_row(count: int, most: int) -> None:
    chosen = columns(count, most)
    assert count == 1 or count % chosen != 1
    assert chosen <= most or all(count % n == 1 for n in range(2, most + 1))


def test_every_grid_of_the_page_has_full_rows(page: Page) -> None:
    grids: list[tuple[str, int]] = []
    for tag, attributes in page.elements:
        if tag == "div" and "grid" in str(attributes.get("class")).split():
            grids.append((str(attributes["style"]), 0))
        elif tag == "figure" and grids:
            grids[-1] = (grids[-1][0], grids[-1][1] + 1)
    assert len(grids) > 12
    for style, figures in grids:
        chosen, every = map(int, re.findall(r": (\d+)", style))
        assert every == figures and (figures == 1 or figures % chosen != 1)


def test_names_break_after_separators_and_stay_text() -> None:
    assert breakable("a_b-c <i>.tif") == "a_<wbr>b-<wbr>c &lt;i&gt;.tif"


def test_places_have_the_coordinates_and_the_scale_of_the_raster(folder: Path, page: Page) -> None:
    pattern = r"(\d+) x (\d+) PAN pixels from column (\d+), row (\d+); centre at x ([\d.]+), y ([\d.]+) \(EPSG:32633\)"
    places = re.findall(pattern, " ".join(page.texts))
    bars = [re.search(r"width: ([\d.]+)%", str(a["style"])) for a in page.all("span") if a.get("class") == "scale-bar"]
    crops = [a for a in page.all("details") if a.get("class") == "crop"]
    assert len(places) == len(crops) > 3 and len(bars) == len(crops) + 1  # one on the overview
    with rasterio.open(folder / "pan.tif") as pan:
        for width, height, column, row, x, y in places:
            centre = pan.transform @ (int(column) + int(width) / 2, int(row) + int(height) / 2)
            assert (float(x), float(y)) == pytest.approx(centre, abs=0.1 * pan.res[0])
        lengths = [int(text.removesuffix(" m")) for text in page.texts if re.fullmatch(r"\d+ m", text)]
        widths = [SIDE, *(int(place[0]) for place in places)]
        for length, bar, width in zip(lengths, bars, widths, strict=True):
            assert bar is not None
            assert float(bar[1]) / 100 * width * pan.res[0] == pytest.approx(length, rel=0.005)  # UTM is no true metre


def pair_of(crs: str | None, transform: Affine) -> Any:
    return SimpleNamespace(
        crs=CRS.from_string(crs) if crs else None,
        transform=lambda window: transform @ Affine.translation(window.col, window.row),
    )


def test_degrees_become_metres_and_pixels_stay_pixels() -> None:
    window = Window(100, 200, 192, 192)
    pair = pair_of("EPSG:4326", Affine(1e-5, 0, 15.0, 0, -1e-5, 48.0))
    text, bar = describe_place(pair, window), scale_bar(pair, window)
    assert "centre at longitude 15.002960, latitude 47.998040 (EPSG:4326)" in text
    width = pyproj.Geod(ellps="WGS84").inv(15.002, 47.998, 15.00392, 47.998)[2]
    height = pyproj.Geod(ellps="WGS84").inv(15.002, 47.999, 15.002, 47.99708)[2]
    assert bar.text == "50 m" and bar.share * (width * height) ** 0.5 == pytest.approx(50, rel=0.01)
    bare = pair_of(None, Affine.identity())
    assert describe_place(bare, window) == "192 x 192 PAN pixels from column 200, row 100"
    assert scale_bar(bare, window).text == "50 PAN pixels" and scale_bar(bare, window).share == 50 / 192


def test_the_unsharpened_image_is_never_the_best(page: Page) -> None:
    cells = [a for a in page.all("td") if a.get("data-index")]
    marked = {str(a["data-index"]): a["data-image"] for a in cells if a.get("class") == "best"}
    values = {a["data-image"]: float(str(a["data-value"])) for a in cells if a["data-index"] == "D_lambda"}
    assert min(values, key=lambda name: values[name]) == "EXP" != marked["D_lambda"]
    assert len(marked) > 8 and "EXP" not in marked.values()


def test_a_baseline_that_was_given_is_not_shown_twice(page: Page) -> None:
    shown = {a["data-image"] for a in page.all("td") if a.get("data-index")}
    assert shown == {*NAMES, "EXP"} and "assessed; the baseline GSA has the same values" in page.texts
    assert "GSA" not in {a.get("data-label") for a in page.all("img")}
    (carried,) = [json.loads(script) for script in page.scripts if script.startswith('{"schema"')]
    assert [Path(image["path"]).name for image in carried["images"]] == [*NAMES, "EXP", "GSA"]


@pytest.mark.parametrize("index", ["QNR", "D_lambda", "D_s", "D_rho"])
def test_bright_is_better_in_every_map(index: str, page: Page) -> None:
    maps = [a for a in page.all("img") if str(a["alt"]).startswith(f"Map of {index} of ")]
    light = {float(str(a["alt"]).rpartition("mean ")[2]): pixels_of(a["src"]).sum(2).mean() for a in maps}
    best, worst = (max(light), min(light)) if index == "QNR" else (min(light), max(light))
    assert len(maps) == 4 and light[best] > light[worst]
    assert f"better: {int(index == 'QNR')}" in page.texts


def test_each_image_has_its_verdict_and_its_histograms(folder: Path) -> None:
    text = (folder / "page.html").read_text(encoding="utf-8")
    verdicts = re.findall(r"<li>(.+?)</li>", text)
    assert [verdict.split(" ")[0] for verdict in verdicts] == list(NAMES)
    assert all("D_rho" in verdict and "colours of MS" in verdict for verdict in verdicts)
    section = text.split("<h2>Histograms</h2>")[1].split("</section>")[0]
    assert re.findall(r"<summary>(.+?)</summary>", section) == list(NAMES)
    assert section.count('<figure class="chart">') == 4 * len(NAMES)


def in_browser(folder: Path, script: str, style: str, out: Path, *, width: int) -> str:
    """What a browser makes of the page once a script has run in it: the DOM; its picture is written to `out`."""
    text = (folder / "page.html").read_text(encoding="utf-8")
    added = f"<style>{style}</style><script>addEventListener('load', () => setTimeout(() => {{{script}}}, 50))</script>"
    changed = out.with_suffix(".html")
    changed.write_text(text.replace("</body>", f"{added}</body>"), encoding="utf-8")
    chromium = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--dump-dom"]
    options = [
        "--virtual-time-budget=1000",
        f"--window-size={width},700",
        f"--user-data-dir={out.with_suffix('.profile')}",
    ]
    command = [*chromium, *options, f"--screenshot={out}", changed.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


needs_browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="no browser here")


@needs_browser
def test_the_difference_is_that_of_the_two_pictures(folder: Path, page: Page, tmp_path: Path) -> None:
    script = "document.querySelectorAll('.viewer select')[3].selectedIndex = 0;"
    script += "document.querySelectorAll('.viewer select')[1].selectedIndex = 2;"
    script += "const right = document.querySelectorAll('.viewer select')[2];"
    script += "right.selectedIndex = 4; right.dispatchEvent(new Event('change'));"
    script += "document.querySelector('[data-mode=difference]').click();"
    style = ".stage { position: fixed; inset: 0; z-index: 9; max-height: none } .scale-bar { display: none }"
    dom = in_browser(folder, script, style, tmp_path / "shot.png", width=600)
    assert "Difference between by_gsa.tif and noisy.tif" in dom
    one, other = (
        next(
            pixels_of(a["src"]) for a in page.all("img") if a.get("data-label") == name and a.get("class") == "natural"
        )
        for name in ("by_gsa.tif", "noisy.tif")
    )
    height, width = one.shape[:2]
    shown = np.asarray(Image.open(tmp_path / "shot.png").convert("RGB"), np.int64)[:height, :width]
    expected = np.minimum(4 * np.abs(one - other), 255)
    assert (
        expected.std() > 20 and np.abs(shown - expected).max() <= 4 * 2
    )  # decoders of JPEG may differ by a level each


@needs_browser
def test_blinking_names_the_picture_and_narrow_tables_say_that_they_scroll(folder: Path, tmp_path: Path) -> None:
    script = "document.querySelector('[data-mode=blink]').click();"
    dom = in_browser(folder, script, "", tmp_path / "shot.png", width=500)
    assert re.search(r'class="swipe blink( right)?"', dom) and "Shown now: " in dom
    assert 'data-mode="blink" aria-pressed="true"' in dom and dom.count('class="scroll-hint"') > 3
    assert 'class="wide" tabindex="0"' in dom
