"""The page of an assessment: complete, offline, escaped, true to its numbers, and fit to be looked at."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image

from clippan_cli.pages.content import Chart, Density, Facts, Figure, Line, Section, TrainingContent, Vectors, Verdict
from clippan_cli.pages.pictures import viridis
from clippan_cli.pages.render import figure_text, render_training
from clippan_cli.scene.synthetic import make_demo_scene
from clippan_cli.tasks.demo import write_demo_scene
from clippan_models.metrics.catalogue import INDICES
from tests.cli.conftest import RunMain

NASTY = "<script>alert('x')</script> & \"q\" <b>.tif"
VOID = {"img", "input", "meta", "br", "line", "rect", "circle", "path", "polyline", "image", "link", "wbr"}


class Page(HTMLParser):
    """A page taken apart: its elements, its texts, and whether its tags close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.broken = False  # whether a word may break here
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.broken = tag == "wbr"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()
        self.broken = False

    def handle_data(self, data: str) -> None:
        into = self.scripts if self.open and self.open[-1] in ("script", "style") else self.texts
        if self.broken:
            into[-1] += data
        else:
            into.append(data)
        self.broken = False

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo pair and its truth, and an image with markup in its name."""
    folder = tmp_path_factory.mktemp("scene")
    demo = make_demo_scene(256)
    write_demo_scene(demo, folder / "ms.tif", folder / "pan.tif", folder / "truth.tif")
    with rasterio.open(folder / "truth.tif") as truth:
        pixels, profile = truth.read(), dict(truth.profile)
    noisy = np.clip(pixels + np.random.default_rng(1).normal(0, 15, pixels.shape), 0, 4095).astype(np.uint16)
    name = NASTY.replace("/", "\u2215")  # a slash parts folders
    with rasterio.open(folder / name, "w", **profile) as fused:
        fused.write(noisy)
        curve = {"best_step": 10, "loss": [{"step": 0, "total": 3.0}, {"step": 10, "total": 1.0}]}
        fused.update_tags(ns="CLIPPAN", CURVE=json.dumps(curve), TILE="128", METHOD="<i>made up</i>")
    points = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "EPSG:32633"}},
        "features": [
            {
                "type": "Feature",
                "properties": {"name": "<em>pond</em>"},
                "geometry": {"type": "Point", "coordinates": [500_030.0, 5_399_950.0]},
            }
        ],
    }
    (folder / "points.geojson").write_text(json.dumps(points))
    return folder


@pytest.fixture(scope="module")
def made(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page, the maps, the CSV and the JSON of one run."""
    from clippan_cli.quality.options import AssessOptions
    from clippan_cli.quality.result import Gate
    from clippan_cli.report.files import ReportFiles
    from clippan_cli.running.options import ComputeOptions
    from clippan_cli.scene.files import ReadOptions, SceneFiles
    from clippan_cli.tasks.assess import assess

    out = tmp_path_factory.mktemp("made")
    image = next(path for path in scene.iterdir() if "alert" in path.name)
    options = AssessOptions(
        compute=ComputeOptions(device="cpu", threads=1),
        baselines=True,
        reference=str(scene / "truth.tif"),
        gates=(Gate("QNR", 0.01, at_least=True), Gate("D_rho", 1e-9, at_least=False)),
    )
    files = ReportFiles(out / "page.html", out / "maps", out / "numbers.csv", scene / "points.geojson")
    report = assess(
        SceneFiles((str(scene / "ms.tif"),), str(scene / "pan.tif")), ReadOptions(), [str(image)], options, files=files
    )
    (out / "numbers.json").write_text(json.dumps(report.as_json()))
    return out


@pytest.fixture(scope="module")
def page(made: Path) -> Page:
    return Page((made / "page.html").read_text(encoding="utf-8"))


def test_it_is_one_file_that_asks_nobody_for_anything(made: Path, page: Page) -> None:
    text = (made / "page.html").read_text(encoding="utf-8")
    assert len(text.encode()) < 10_000_000
    assert "http:" not in text and "https:" not in text and "//cdn" not in text
    assert not page.open and not page.all("link") and not page.all("iframe")
    for name, attributes in page.elements:
        for key in ("src", "href", "xlink:href", "action", "data"):
            value = attributes.get(key)
            assert value is None or value.startswith(("data:image/", "#")), (name, value)
    for link in page.all("a"):
        assert any(attributes.get("id") == str(link["href"])[1:] for _, attributes in page.elements)


def test_every_picture_decodes_and_says_what_it_shows(page: Page) -> None:
    assert len(page.all("img")) > 30
    for attributes in page.all("img"):
        assert len(attributes["alt"] or "") > 10
        kind, data = str(attributes["src"]).split(";base64,")
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            picture.load()
            assert f"data:image/{str(picture.format).lower()}" == kind
    for attributes in page.all("svg"):
        assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"


def test_the_numbers_are_those_of_json_and_csv(made: Path, page: Page) -> None:
    document = json.loads((made / "numbers.json").read_text())
    (carried,) = [json.loads(s) for s in page.scripts if s.startswith('{"schema"')]
    assert carried["images"] == document["images"] and carried["best"] == document["best"]
    shown = {
        (a["data-image"], a["data-index"]): float(str(a["data-value"])) for a in page.all("td") if a.get("data-index")
    }
    labels = [Path(image["path"]).name for image in document["images"]]
    expected = {(n, k): v for n, i in zip(labels, document["images"], strict=True) for k, v in i["metrics"].items()}
    assert shown == expected and len(shown) == 3 * len(INDICES)
    texts = " ".join(page.texts)
    for value in document["images"][0]["metrics"].values():
        assert figure_text(value) in texts
    rows = list(csv.DictReader(io.StringIO((made / "numbers.csv").read_text())))
    for image in document["images"]:
        found = {r["name"]: float(r["value"]) for r in rows if (r["image"], r["scope"]) == (image["path"], "scene")}
        assert found == image["metrics"]


def test_names_and_tags_are_text_and_never_markup(made: Path, page: Page) -> None:
    text = (made / "page.html").read_text(encoding="utf-8")
    assert "<script>alert" not in text and "<em>pond" not in text and "<i>made up" not in text
    assert len(page.all("script")) == 2 and not page.all("em") and not page.all("i")
    shown = " ".join(page.texts)
    assert "<script>alert('x')<\u2215script>" in shown and "<em>pond</em>" in shown and "<i>made up</i>" in shown


def test_everything_that_was_promised_is_there(page: Page) -> None:
    shown = " ".join(page.texts)
    for words in (
        "Side by side", "Without a reference", "Against the reference", "Edges", "Vegetation", "Bright roofs",
        "Worst colours", "Histograms", "Radial power spectra", "PAN against the intensity", "Spectra",
        "Co-registration", "The image against PAN", "Seams", "Adaptation", "Definitions", "32 x 32", "sha256",
        "kept:", "broken:", "one stretch", "EXP", "GSA", "baseline", "Band by band", "D_rho",
    ):  # fmt: skip
        assert words in shown, words
    assert {a["data-label"] for a in page.all("img") if a.get("data-label")} >= {"PAN", "MS", "EXP", "GSA"}
    assert any("false colours" in str(a["alt"]) for a in page.all("img"))


def test_maps_are_geotiffs_in_their_place(made: Path, scene: Path) -> None:
    maps = sorted(path.name for path in (made / "maps").iterdir())
    assert len(maps) == 15 and "GSA_QNR.tif" in maps
    with rasterio.open(made / "maps" / "GSA_QNR.tif") as qnr, rasterio.open(scene / "pan.tif") as pan:
        assert (qnr.width, qnr.height, qnr.crs, qnr.dtypes[0]) == (8, 8, pan.crs, "float32")
        assert qnr.bounds == pan.bounds
        assert np.isfinite(qnr.read()).all() and 0 < float(qnr.read().mean()) < 1


def test_the_command_writes_it_and_refuses_to_replace_it(scene: Path, tmp_path: Path, run_main: RunMain) -> None:
    pair = ["--ms", str(scene / "ms.tif"), "--pan", str(scene / "pan.tif")]
    target = tmp_path / "quality.html"
    argv = ["assess", str(scene / "truth.tif"), *pair, "--no-baselines", "--report", str(target), "-j", "1"]
    first = run_main(argv)
    assert first.code == 0 and str(target) in first.stdout.replace("\n", "")
    before = target.read_bytes()
    again = run_main(argv)
    assert again.code == 5 and "--overwrite" in again.error_line and target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["quality.html"]
    assert run_main([*argv, "--overwrite", "--points", str(scene / "ms.tif")]).code == 3


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no browser here")
def test_a_browser_draws_it_without_complaint(made: Path, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    done = subprocess.run(
        [
            *(
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--enable-logging=stderr",
            ),
            *("--virtual-time-budget=5000", "--window-size=1280,2400", f"--user-data-dir={tmp_path / 'profile'}"),
            *(f"--screenshot={picture}", (made / "page.html").resolve().as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert picture.exists(), done.stderr
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not complaints
    with Image.open(picture) as shot:
        pixels = np.asarray(shot.convert("RGB"))
    assert pixels.shape == (2400, 1280, 3) and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000


def page_of(*figures: Figure, facts: Facts = (), data: dict[str, Any] | None = None) -> Page:
    """A page with some figures and little else."""
    section = Section("figures", figures=figures)
    return Page(render_training(TrainingContent("title", Verdict("", (), ()), (), (section,), (), facts, data or {})))


def test_markup_is_escaped_and_documents_cannot_leave_their_script() -> None:
    chart = Chart("<b>&", '"><script>', "<b>", "<b>", (Line("<b>", (0.0, 1.0), (0.0, 1.0)),), marks=((0.5, "<b>"),))
    page = page_of(chart, facts=(("<b>", "<b>"),), data={"name": "</script><b>", "bad": math.nan})
    assert not page.open and not page.all("b") and len(page.all("script")) == 2
    assert page.all("svg")[0]["aria-label"] == '"><script>' and page.texts.count("<b>") == 6
    (carried,) = [json.loads(script) for script in page.scripts if script.startswith("{")]
    assert carried == {"name": "</script><b>", "bad": None}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.1235"), (12.345, "12.35"), (12345.6, "12346"), (math.inf, "∞"), (math.nan, "n/a"), (0.0, "0")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert figure_text(value) == text


def test_charts_survive_whatever_they_are_given() -> None:
    flat = Chart("t", "alt", "x", "y", (Line("a", (1.0, 2.0), (0.0, 0.0)), Line("b", (1.0,), (math.nan,))))
    wild = Chart("t", "alt", "x", "y", (Line("a", (0.0, 1.0), (1e-30, 1e30)),), log_y=True)
    empty = Chart("t", "alt", "x", "y", ())
    density = Density("t", "alt", "x", "y", np.zeros((4, 4)), (0.0, 0.0), (0.0, 1.0), "note")
    vectors = Vectors("t", "alt", (10, 4000), ((1.0, 1.0, 0.0, 0.0),), 5.0)
    page = page_of(flat, wild, empty, density, vectors)
    assert not page.open and "nothing to draw" in page.texts and len(page.all("figure")) == 4
    shapes = ("svg", "line", "text", "polyline", "rect", "circle")
    drawn = " ".join(f"{value}" for tag, attributes in page.elements if tag in shapes for value in attributes.values())
    assert "nan" not in drawn and "inf" not in drawn
    assert len(page.all("polyline")) == 3 and len(page.all("circle")) == 1
    colours = viridis(np.array([[0.0, 1.0, np.nan]]), 0, 1)
    assert colours[0, 2, 3] == 0 and tuple(colours[0, 1, :3]) == (253, 231, 37)


def test_sharpen_reports_on_its_own_result(scene: Path, tmp_path: Path, run_main: RunMain) -> None:
    out, target = tmp_path / "hrms.tif", tmp_path / "hrms.html"
    argv = ["sharpen", str(scene / "ms.tif"), str(scene / "pan.tif"), "-o", str(out), "--of", "gtiff", "-j", "1"]
    argv += ["--method", "network", "--steps", "4", "--no-quality", "--report", str(target)]
    outcome = run_main(argv)
    assert outcome.code == 0 and str(target) in outcome.stdout.replace("\n", "")
    shown = " ".join(Page(target.read_text(encoding="utf-8")).texts)
    for words in ("Quality of hrms.tif", "Adaptation of hrms.tif", "Validation loss", "EXP", "GSA", "METHOD network"):
        assert words in shown, words
    refused = run_main([*argv, "--overwrite", "--bands", "1,2"])
    assert refused.code == 2 and "--bands" in refused.error_line
    assert run_main([*argv[:-1], str(out), "--overwrite"]).code == 5


@pytest.mark.parametrize(("step", "words"), [(0, "No seams"), (150, "look there")])
def test_seams_are_seen_where_there_are_some(step: int, words: str, scene: Path, tmp_path: Path) -> None:
    from clippan_cli.quality.options import AssessOptions
    from clippan_cli.report.files import ReportFiles
    from clippan_cli.running.options import ComputeOptions
    from clippan_cli.scene.files import ReadOptions, SceneFiles
    from clippan_cli.tasks.assess import assess

    with rasterio.open(scene / "truth.tif") as truth:
        pixels, profile = truth.read().astype(np.int32), dict(truth.profile)
    rows, cols = np.mgrid[0:256, 0:256] // 64
    stepped = np.clip(pixels + step * ((rows + cols) % 2), 0, 4095).astype(np.uint16)
    with rasterio.open(tmp_path / "fused.tif", "w", **profile) as fused:
        fused.write(stepped)
        fused.update_tags(ns="CLIPPAN", TILE="64")
    options = AssessOptions(compute=ComputeOptions(device="cpu", threads=1))
    pair = SceneFiles((str(scene / "ms.tif"),), str(scene / "pan.tif"))
    assess(pair, ReadOptions(), [str(tmp_path / "fused.tif")], options, files=ReportFiles(page=tmp_path / "page.html"))
    assert words in " ".join(Page((tmp_path / "page.html").read_text(encoding="utf-8")).texts)


def test_a_page_that_grows_too_large_shows_less(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_main: RunMain
) -> None:
    from clippan_cli.report import assessment as report

    monkeypatch.setattr(report, "MAX_BYTES", 240_000)
    target = tmp_path / "small.html"
    pair = ["--ms", str(scene / "ms.tif"), "--pan", str(scene / "pan.tif")]
    assert run_main(["assess", str(scene / "truth.tif"), *pair, "--report", str(target), "-j", "1"]).code == 0
    page = Page(target.read_text(encoding="utf-8"))
    assert target.stat().st_size <= 240_000 and len(page.all("td")) > 50
    assert not any("false colours" in str(a["alt"]) for a in page.all("img"))


def test_nothing_is_done_where_nothing_could_be_written(scene: Path, tmp_path: Path, run_main: RunMain) -> None:
    pair = ["--ms", str(scene / "ms.tif"), "--pan", str(scene / "pan.tif"), "-j", "1", "--no-baselines"]
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "old.tif").touch()
    for option, path, code in (
        ("--maps", tmp_path / "maps", 5),
        ("--maps", scene / "pan.tif", 5),
        ("--report", tmp_path, 5),
        ("--csv", tmp_path / "no" / "file.csv", 5),
        ("--points", tmp_path / "gone.geojson", 3),
    ):
        outcome = run_main(["assess", str(scene / "truth.tif"), *pair, option, str(path)])
        assert outcome.code == code and outcome.stdout == "", (option, outcome)
