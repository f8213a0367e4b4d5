"""Many scenes at once: found, measured, flagged, and not stopped by one that fails."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from clippan_cli.quality.many_scenes import SCHEMA, IndexReport, SceneOutcome, with_outliers
from clippan_cli.quality.options import AssessOptions
from clippan_cli.quality.result import Assessment, AssessReport
from clippan_cli.rasters.options import Trust
from clippan_cli.report.files import ReportFiles
from clippan_cli.report.index import write_index_page
from clippan_cli.running.control import Control
from clippan_cli.running.options import ComputeOptions
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.pairs import find_pairs, names_many_scenes
from clippan_cli.scene.synthetic import make_demo_scene
from clippan_cli.tasks.assess_index import assess_scenes
from clippan_cli.tasks.demo import write_demo_scene
from clippan_models.errors import InputError
from tests.cli.conftest import RunMain
from tests.cli.test_report import Page

NAMES = ["a", "b", "c", "d", "e<i>"]


def find_scenes(folder: Path) -> tuple[SceneFiles, ...]:
    return find_pairs(folder, Trust(), Control()).pairs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five small scenes, one of them spoilt, and one whose fused image is none."""
    place = tmp_path_factory.mktemp("scenes")
    for number, name in enumerate(NAMES):
        start = place / f"{name}_"
        paths = [Path(f"{start}{kind}.tif") for kind in ("ms", "pan", "gt")]
        write_demo_scene(make_demo_scene(128, seed=3 + number), *paths)
        with rasterio.open(paths[2]) as truth:
            pixels, profile = truth.read().astype(np.float64), dict(truth.profile)
        rng = np.random.default_rng(number)
        noise = 500.0 if name == "c" else 10.0
        with rasterio.open(f"{start}net.tif", "w", **profile) as fused:
            fused.write(np.clip(pixels + rng.normal(0, noise, pixels.shape), 0, 4095).astype(np.uint16))
    for kind in ("ms", "pan"):
        (place / f"broken_{kind}.tif").write_bytes((place / f"a_{kind}.tif").read_bytes())
    (place / "broken_net.tif").write_bytes(b"no raster")
    return place


@pytest.fixture(scope="module")
def made(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, IndexReport]:
    out = tmp_path_factory.mktemp("index")
    options = AssessOptions(compute=ComputeOptions(device="cpu", threads=1))
    files = ReportFiles(page=out / "index.html", csv=out / "index.csv")
    base = ReadOptions(coregister="off")
    return out, assess_scenes(find_scenes(folder), base, options, files, Control())


def test_scenes_are_found_in_a_folder(folder: Path) -> None:
    found = {entry.id: entry for entry in find_scenes(folder)}
    assert set(found) == {"a", "b", "c", "d", "e-i", "broken"}
    entry = found["a"]
    assert [Path(p).name for p in (*entry.ms, entry.pan, *entry.fused)] == ["a_ms.tif", "a_pan.tif", "a_net.tif"]
    assert entry.reference is not None and entry.reference.endswith("a_gt.tif")
    assert names_many_scenes([str(folder)]) and names_many_scenes(["x.csv"])
    assert not names_many_scenes(["x.tif"]) and not names_many_scenes(["a.csv", "b"])


def test_scenes_without_names_are_named_by_their_folder(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "town"
    place.mkdir()
    for kind in ("ms", "pan", "net"):
        (place / f"{kind}.tif").write_bytes((folder / f"a_{kind}.tif").read_bytes())
    (entry,) = find_scenes(tmp_path)
    assert entry.id == "town" and [Path(p).name for p in entry.fused] == ["net.tif"]


def test_one_name_that_begins_like_another_keeps_its_own_images(folder: Path, tmp_path: Path) -> None:
    for name in ("x", "x_1"):
        for kind in ("ms", "pan", "net"):
            (tmp_path / f"{name}_{kind}.tif").write_bytes((folder / f"a_{kind}.tif").read_bytes())
    found = {entry.id: [Path(p).name for p in entry.fused] for entry in find_scenes(tmp_path)}
    assert found == {"x": ["x_net.tif"], "x_1": ["x_1_net.tif"]}


def test_a_scene_that_fails_does_not_stop_the_others(made: tuple[Path, IndexReport]) -> None:
    out, report = made
    assert [outcome.entry.id for outcome in report.failed] == ["broken"]
    assert len(report.outcomes) == 6 and "broken_net.tif" in str(report.failed[0].error)
    with pytest.raises(InputError, match="1 of 6 scenes"):
        report.check()
    pages = sorted(path.name for path in (out / "index_scenes").iterdir())
    assert pages == ["a.html", "b.html", "c.html", "d.html", "e-i.html"]


def test_what_stands_out_is_flagged(made: tuple[Path, IndexReport]) -> None:
    flagged = {outcome.entry.id: outcome.outliers[0] for outcome in made[1].outcomes if outcome.outliers}
    assert "PSNR" in flagged["c"] and "D_rho" in flagged["c"]
    assert all("PSNR" not in names for scene, names in flagged.items() if scene != "c")


def test_each_image_is_compared_with_those_of_its_name(tmp_path: Path) -> None:
    """The second image of s2 is spoilt, and s4 has its images in another order."""
    scenes = []
    for number in range(6):
        bad = 0.5 if number == 2 else 0.0
        images = {"gsa": 0.2 + number / 1000, "net": 0.02 + number / 1000 + bad}
        names = sorted(images, reverse=number == 4)
        scenes.append(outcome_of(f"s{number}", *((f"s{number}_{name}.tif", images[name]) for name in names)))
    report = IndexReport(with_outliers(scenes))
    assert [outcome.outliers for outcome in report.outcomes if any(outcome.outliers)] == [((), ("D_rho",))]
    told = [scene["outliers"] for scene in report.as_json()["scenes"]]
    assert told == [[], [], [{"image": "net", "indices": ["D_rho"]}], [], [], []]
    html = write_index_page(tmp_path / "index.html", report, "assess").read_text()
    (marked,) = [row for row in html.split("<tr") if row.startswith(' class="outlier"')]
    assert 'data-image="net"' in marked and "stands out in D_rho" in marked


def test_only_images_of_their_scenes_are_compared_whatever_their_names() -> None:
    values = [0.1, 0.101, 0.102, 0.099, 0.9]
    outcomes = [outcome_of(f"s{number}", (f"run{number}.tif", value)) for number, value in enumerate(values)]
    assert [any(outcome.outliers) for outcome in with_outliers(outcomes)] == [False] * 4 + [True]


def outcome_of(name: str, *images: tuple[str, float]) -> SceneOutcome:
    """A scene with images and their D_rho."""
    found = tuple(Assessment(image, {"D_rho": value}, "toolbox", "generic", 1.0, 1, 1.0) for image, value in images)
    entry = SceneFiles((f"in/{name}_ms.tif",), f"in/{name}_pan.tif", id=name, fused=tuple(dict(images)))
    return SceneOutcome(entry, AssessReport(found, 0.0), None, None)


@pytest.mark.parametrize("scenes", [5, 8, 30])
def test_scenes_that_are_much_alike_have_hardly_an_outlier(scenes: int) -> None:
    rng, flagged = np.random.default_rng(scenes), 0
    for _ in range(100):
        values = rng.normal(0.1, 0.02, scenes)
        outcomes = with_outliers([outcome_of(f"s{k}", (f"s{k}.tif", v)) for k, v in enumerate(values)])
        flagged += any(any(outcome.outliers) for outcome in outcomes)
    assert flagged <= 10
    far = [outcome_of(f"s{k}", (f"s{k}.tif", v)) for k, v in enumerate([*values[1:], 0.8])]
    assert [any(outcome.outliers) for outcome in with_outliers(far)] == [False] * (scenes - 1) + [True]


@pytest.mark.parametrize(
    ("scene", "image", "label"),
    [("town", "out/town.tif", "result"), ("town", "out/town_gsa.tif", "gsa"), ("town", "out/townhall.tif", "townhall")],
)
def test_the_result_of_one_method_has_one_name_in_all_scenes(scene: str, image: str, label: str) -> None:
    assert outcome_of(scene, (image, 0.1)).labels == [label]


@pytest.mark.parametrize("command", ["assess", "batch"])
def test_the_page_names_the_command_that_made_it_and_the_means(command: str, tmp_path: Path) -> None:
    report = IndexReport(tuple(outcome_of(n, (f"out/{n}.tif", q)) for n, q in (("a", 0.5), ("b", 0.75))))
    page = Page(write_index_page(tmp_path / "i.html", report, command).read_text(encoding="utf-8"))
    shown = " ".join(page.texts)
    assert f"Made by clippan {command}." in shown and "Mean over the scenes" in shown and "0.6250" in shown
    assert "Amber" not in shown and "Red" not in shown and "remarks" not in shown


def test_the_page_the_csv_and_the_json_say_the_same(made: tuple[Path, IndexReport]) -> None:
    out, report = made
    text = (out / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    document = json.loads(json.dumps(report.as_json()))
    assert document["schema"] == SCHEMA and not page.open and "http:" not in text and "https:" not in text
    cells = [a for a in page.all("td") if a.get("data-index") and a["data-value"]]
    shown = {(a["data-scene"], a["data-index"]): float(str(a["data-value"])) for a in cells}
    scenes = [scene for scene in document["scenes"] if scene["report"]]
    expected = {(s["name"], n): v for s in scenes for n, v in s["report"]["images"][0]["metrics"].items()}
    assert shown == expected
    rows = list(csv.DictReader((out / "index.csv").open()))
    listed = {(r["name_of_scene"], r["name"]): float(r["value"]) for r in rows if r["scope"] == "scene"}
    assert listed == expected
    links = [str(a["href"]) for a in page.all("a")]
    assert len(links) == 5 and all((out / link).is_file() for link in links)
    assert len(page.all("img")) == 5 and all(len(a["alt"] or "") > 3 for a in page.all("img"))
    assert not page.all("i") and sum("failed" in str(a.get("class")) for a in page.all("tr")) == 1
    psnr = [v for (_, name), v in expected.items() if name == "PSNR"]
    (summary,) = document["summary"]
    assert summary["image"] == "net" and summary["mean"]["PSNR"] == pytest.approx(np.mean(psnr))
    assert summary["std"]["PSNR"] == pytest.approx(np.std(psnr, ddof=1))


def test_a_table_of_scenes_on_the_command_line(folder: Path, tmp_path: Path, run_main: RunMain) -> None:
    table = folder / "list.csv"
    rows = ["name,ms,pan,fused,reference", "one,a_ms.tif,a_pan.tif,a_net.tif;a_gt.tif,a_gt.tif"]
    rows += ["two,b_ms.tif,b_pan.tif,gone.tif,", "three,b_ms.tif,b_pan.tif,,"]
    table.write_text("\n".join(rows))
    outcome = run_main(["assess", str(table), "--no-baselines", "--json", "-q", "-j", "1"])
    assert outcome.code == 3 and "2 of 3 scenes" in outcome.error_line
    scenes = json.loads(outcome.stdout)["scenes"]
    assert [bool(scene["report"]) for scene in scenes] == [True, False, False]
    assert [Path(i["path"]).name for i in scenes[0]["report"]["images"]] == ["a_net.tif", "a_gt.tif"]
    assert "gone.tif" in scenes[1]["error"] and "no fused" in scenes[2]["error"]
    plain = run_main(["assess", str(table), "--no-baselines", "-j", "1", "-q"])
    assert plain.code == 3 and "failed     two" in plain.stdout


@pytest.mark.parametrize("text", ["", "ms,pan\na,b", "ms,pan,fused"])
def test_bad_tables_are_refused(text: str, tmp_path: Path, run_main: RunMain) -> None:
    table = tmp_path / "list.csv"
    table.write_text(text)
    assert run_main(["assess", str(table)]).code == 3
    assert run_main(["assess", str(tmp_path / "gone.csv")]).code == 3
    assert run_main(["assess", str(tmp_path)]).code == 3
    assert run_main(["assess", str(tmp_path), "--ms", "x.tif", "--pan", "y.tif"]).code == 2


def test_align_holds_for_the_scenes_that_have_a_reference(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "scenes.csv"
    rows = [
        {"ms": folder / f"{name}_ms.tif", "pan": folder / f"{name}_pan.tif", "fused": folder / f"{name}_net.tif"}
        for name in ("a", "b")
    ]
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, ("ms", "pan", "fused", "reference"))
        writer.writeheader()
        writer.writerows([rows[0] | {"reference": folder / "a_gt.tif"}, rows[1]])
    options = AssessOptions(compute=ComputeOptions(device="cpu", threads=1), align=True)
    entries = find_pairs(table, Trust(), Control()).pairs
    first, second = assess_scenes(entries, ReadOptions(), options, ReportFiles(), Control()).outcomes
    assert first.report is not None and first.report.given[0].aligned
    assert second.report is not None and "PSNR" not in second.report.given[0].metrics
