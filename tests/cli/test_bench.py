"""`clippan bench`: does a suite compare all methods on all scenes, whatever fails, and however often it is stopped?"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch

import clippan
from clippan_cli.bench.task import bench
from clippan_cli.running.control import Control
from clippan_cli.scene.synthetic import make_demo_scene
from clippan_models.errors import Interrupted
from clippan_models.metrics.sam import sam
from tests.cli.conftest import Desk, RunMain

BROKEN = """
[[method]]
name = "broken"
method = "gsa"
weights_pan = "1,2"
"""

WITHOUT_BROKEN = """
[[scene]]
name = "field"
synthetic = 7
side = 64

[[scene]]
name = "pair"
ms = "ms.tif"
pan = "pan.tif"
sensor = "generic"

[[method]]
name = "exp"

[[method]]
name = "my brovey"
method = "brovey"

[metrics]
names = ["PSNR", "SAM", "HQNR"]
border = 4
peak = 4095
"""
SUITE = WITHOUT_BROKEN + BROKEN
RUNS = [(scene, method) for scene in ("field", "pair") for method in ("exp", "my brovey", "broken")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a suite of a generated scene and a pair without truth, and its results in `bench`."""
    folder = tmp_path_factory.mktemp("suite")
    desk = Desk(folder)
    desk.ms()
    desk.pan()
    (folder / "suite.toml").write_text(SUITE)
    bench(folder / "suite.toml", folder / "bench")
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of the same, to change."""
    return Path(shutil.copytree(finished, tmp_path / "suite"))


def results(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "bench" / "results.json").read_text())
    return document


def made_again(folder: Path, **options: Any) -> list[str]:
    """The runs that a call has made."""
    notes: list[str] = []
    bench(folder / "suite.toml", folder / "bench", control=Control(on_note=notes.append), **options)
    return [note for note in notes if note.partition(", ")[0] in ("field", "pair")]


def test_every_method_is_measured_on_every_scene(finished: Path) -> None:
    document = results(finished)
    assert [(row["scene"], row["method"]) for row in document["rows"]] == RUNS
    assert {table["kind"]: table["indices"] for table in document["tables"]} == {
        "with truth": ["PSNR", "SAM"],
        "without truth": ["HQNR"],
    }
    compared = [(each["kind"], each["method"], each["against"], each["index"]) for each in document["differences"]]
    with_truth = [("with truth", "my brovey", "exp", index) for index in ("PSNR", "SAM")]
    assert compared == [*with_truth, ("without truth", "my brovey", "exp", "HQNR")]
    seconds = json.loads((finished / "bench" / "seconds.json").read_text())
    assert [each["seconds"] is not None for each in seconds] == [True, True, False] * 2


def test_all_files_are_written(finished: Path) -> None:
    out = finished / "bench"
    tables = {f"{kind}.{ending}" for kind in ("with_truth", "without_truth") for ending in ("md", "tex")}
    names = {path.name for path in out.iterdir() if path.is_file()}
    assert names == {"results.json", "results.csv", "seconds.json", "bench.html"} | tables
    page = (out / "bench.html").read_text()
    assert "my brovey" in page and "<circle" in page and "://" not in page
    assert len((out / "results.csv").read_text().splitlines()) == 1 + len(RUNS)


def test_scores_leave_out_the_border(finished: Path) -> None:
    out = finished / "bench"
    with (
        rasterio.open(out / "scenes" / "field" / "truth.tif") as truth,
        rasterio.open(out / "runs" / "field" / "exp" / "fused.tif") as fused,
    ):
        inner = (slice(None), slice(4, -4), slice(4, -4))
        errors = truth.read()[inner].astype(float) - fused.read()[inner]
    expected = np.mean(20 * np.log10(4095 / np.sqrt((errors**2).mean((1, 2)))))
    assert results(finished)["rows"][0]["metrics"]["PSNR"] == pytest.approx(expected, abs=1e-3)


def test_a_method_that_fails_costs_its_rows_only(folder: Path, run_main: RunMain) -> None:
    done = run_main(["bench", str(folder / "suite.toml"), "-o", str(folder / "bench")])
    assert done.code == 9
    assert "2 of 6 runs failed, first broken on field" in done.error_line
    rows = results(folder)["rows"]
    assert [bool(row["metrics"]) for row in rows] == [True, True, False] * 2
    assert all("weights" in row["error"] for row in rows if not row["metrics"])
    assert "broken (0 of 1 scenes)" in (folder / "bench" / "with_truth.tex").read_text()


def test_an_interrupted_suite_continues_and_equals_one_in_one_go(folder: Path) -> None:
    whole = (folder / "bench" / "results.json").read_bytes()
    shutil.rmtree(folder / "bench")
    made: list[str] = []
    control = Control()

    def stop(note: str) -> None:
        made.append(note)
        control.stop_signal = 15 if note == "pair, exp" else None

    control.on_note = stop
    with pytest.raises(Interrupted):
        bench(folder / "suite.toml", folder / "bench", control=control)
    assert not (folder / "bench" / "results.json").exists()
    assert made_again(folder) == ["pair, exp", "pair, my brovey", "pair, broken"]
    assert (folder / "bench" / "results.json").read_bytes() == whole


def test_only_what_has_changed_is_made_again(folder: Path) -> None:
    assert made_again(folder) == []
    assert made_again(folder, retry_failed=True) == ["field, broken", "pair, broken"]
    Desk(folder, np.random.default_rng(1)).pan()
    assert made_again(folder) == ["pair, exp", "pair, my brovey", "pair, broken"]
    text = SUITE.replace('name = "exp"', 'name = "exp"\nresampling = "cubic"')
    (folder / "suite.toml").write_text(text)
    assert made_again(folder) == ["field, exp", "pair, exp"]


def test_images_of_other_code_are_scored_like_our_own(folder: Path, run_main: RunMain) -> None:
    theirs = folder / "theirs"
    theirs.mkdir()
    (folder / "suite.toml").write_text(WITHOUT_BROKEN)
    for scene in ("field", "pair"):
        image = folder / "bench" / "runs" / scene / "exp" / "fused.tif"
        shutil.copy(image, theirs / f"{scene}_theirs.tif")
    arguments = ["bench", str(folder / "suite.toml"), "-o", str(folder / "bench"), "--results", str(theirs), "--json"]
    done = run_main(arguments)
    assert done.code == 0
    rows = json.loads(done.stdout)["rows"]
    ours, found = (
        {row["scene"]: row["metrics"] for row in rows if row["method"] == method} for method in ("exp", "theirs")
    )
    assert found == ours and len(ours) == 2


def test_the_samples_of_a_data_set_are_scenes_with_truth(tmp_path: Path) -> None:
    made = make_demo_scene(64)
    suite = tmp_path / "suite.toml"
    suite.write_text('[[scene]]\nname = "wv"\narchive = "set.npz"\n[[method]]\nname = "exp"\n[metrics]\nborder = 4\n')
    for truth in (made.truth, made.truth + 100):
        ms, pan, gt = (image[None].round() for image in (made.ms, made.pan, truth))
        np.savez(tmp_path / "set.npz", ms=ms, pan=pan, gt=gt)
        (row,) = clippan.bench(suite, tmp_path / "bench").rows
        assert (row.scene, row.kind, row.error) == ("wv", "with truth", "")
        inner = (slice(None), slice(4, -4), slice(4, -4))
        with rasterio.open(tmp_path / "bench" / "runs" / "wv" / "exp" / "fused.tif") as fused:
            expected = float(sam(*(torch.from_numpy(x[inner]).double() for x in (truth.round(), fused.read()))))
        assert row.metrics["SAM"] == pytest.approx(expected, abs=1e-3)  # of this truth, not of an earlier one


def test_programs_of_others_take_part_and_are_skipped_where_absent(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, program = tmp_path / "suite.toml", tmp_path / "bin" / "gdal_pansharpen"
    suite.write_text(
        '[[scene]]\nname = "field"\nsynthetic = 7\nside = 64\n[[method]]\nname = "GDAL"\n'
        'method = "external:gdal_pansharpen"\nr = "cubic"\n[metrics]\nnames = ["SAM"]\nborder = 4\npeak = 4095\n'
    )
    monkeypatch.setenv("PATH", str(program.parent))
    notes: list[str] = []
    assert bench(suite, tmp_path / "bench", control=Control(on_note=notes.append)).rows == ()
    assert notes[0].startswith("GDAL is skipped: ") and "not installed" in notes[0]
    program.parent.mkdir()
    image = finished / "bench" / "runs" / "field" / "exp" / "fused.tif"
    program.write_text(
        f"#!{sys.executable}\nimport shutil, sys\nassert 'cubic' in sys.argv or '--version' in sys.argv, sys.argv\n"
        f"shutil.copy({str(image)!r}, [each for each in sys.argv if each.endswith('sharp.tif')][0])\n"
    )
    program.chmod(0o755)
    (row,) = bench(suite, tmp_path / "bench").rows
    assert (row.method, row.error) == ("GDAL", "")
    assert row.metrics["SAM"] == results(finished)["rows"][0]["metrics"]["SAM"]


def test_a_pair_is_simulated_of_a_sharp_image(desk: Desk) -> None:
    desk.raster("aerial.tif", desk.pixels(3, 66, "uint8"), transform=rasterio.Affine(1, 0, 0, 0, -1, 0))
    path = desk.folder / "suite.toml"
    path.write_text('[[scene]]\nname = "aerial"\nimage = "aerial.tif"\nratio = 2\n[[method]]\nname = "exp"\n')
    found = clippan.bench(path, desk.folder / "bench")
    assert found.rows[0].error == "" and found.rows[0].kind == "with truth"
    shapes = {}
    for name in ("ms", "pan", "truth"):
        with rasterio.open(desk.folder / "bench" / "scenes" / "aerial" / f"{name}.tif") as dataset:
            shapes[name] = dataset.count, dataset.height, dataset.res
    assert shapes == {"ms": (3, 33, (2, 2)), "pan": (1, 66, (1, 1)), "truth": (3, 66, (1, 1))}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "-o DIR"),
        (["-o", "bench", "--results", "nowhere"], "holds no file named SCENE_METHOD.tif"),
        (["-o", "bench", "--threads", "0"], "threads"),
    ],
)
def test_a_mistake_is_refused_in_a_line(finished: Path, run_main: RunMain, arguments: list[str], said: str) -> None:
    placed = [str(finished / each) if each in ("bench", "nowhere") else each for each in arguments]
    done = run_main(["bench", str(finished / "suite.toml"), *placed])
    assert done.code == 2 and said in done.error_line
