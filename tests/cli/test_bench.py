"""`clippan bench`: does a suite compare all methods on all scenes, whatever fails, and however often it is stopped?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import clippan
from clippan_cli.bench.task import bench
from clippan_cli.running.control import Control
from clippan_models.errors import Interrupted
from tests.cli.conftest import Desk, RunMain

METHODS = '[[method]]\nname = "exp"\n[[method]]\nname = "my brovey"\nmethod = "brovey"\n'
BROKEN = '[[method]]\nname = "broken"\nmethod = "gsa"\nweights_pan = "1,2"\n'
INDICES = '[metrics]\nnames = ["PSNR", "SAM", "HQNR"]\nborder = 4\npeak = 4095\n'


def suite(desk: Desk, *more: str) -> str:
    """Two generated scenes and a pair without truth."""
    scenes = "".join(f'[[scene]]\nname = "field {seed}"\nsynthetic = {seed}\nside = 64\n' for seed in (7, 11))
    desk.ms()
    desk.pan()
    pair = '[[scene]]\nname = "pair"\nms = "ms.tif"\npan = "pan.tif"\nsensor = "generic"\n'
    path = desk.folder / "suite.toml"
    path.write_text("".join((scenes, pair, METHODS, *more, INDICES)))
    return str(path)


def results(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return document


def test_every_method_is_measured_on_every_scene(desk: Desk, run_main: RunMain) -> None:
    out = desk.folder / "bench"
    done = run_main(["bench", suite(desk), "-o", str(out), "--json", "-q"])
    assert done.code == 0
    document = json.loads(done.stdout)
    assert [(r["scene"], r["method"]) for r in document["rows"]] == [
        (scene, method) for scene in ("field 7", "field 11", "pair") for method in ("exp", "my brovey")
    ]
    tables = {table["kind"]: table for table in document["tables"]}
    assert {kind: table["indices"] for kind, table in tables.items()} == {
        "with truth": ["PSNR", "SAM"],
        "without truth": ["HQNR"],
    }
    assert {each["scenes"] for each in document["differences"]} == {1, 2}
    assert all(each["seconds"] > 0 for each in document["seconds"])
    names = {path.name for path in out.iterdir() if path.is_file()}
    tables_written = {f"{kind}.{ending}" for kind in ("with_truth", "without_truth") for ending in ("md", "tex")}
    assert names == {"results.json", "results.csv", "seconds.json", "bench.html"} | tables_written
    page = (out / "bench.html").read_text()
    assert "my brovey" in page and "<circle" in page and "http" not in page.replace("http://www.w3.org", "")


def test_scores_leave_out_the_border(desk: Desk) -> None:
    out = desk.folder / "bench"
    row = clippan.bench(suite(desk), out).rows[0]
    folder = out / "scenes" / "field 7"
    with rasterio.open(folder / "truth.tif") as truth, rasterio.open(out / "runs/field 7/exp/fused.tif") as fused:
        inner = (slice(None), slice(4, -4), slice(4, -4))
        errors = truth.read()[inner].astype(float) - fused.read()[inner]
    expected = np.mean(20 * np.log10(4095 / np.sqrt((errors**2).mean((1, 2)))))
    assert row.metrics["PSNR"] == pytest.approx(expected, abs=1e-3)


def test_a_method_that_fails_costs_its_rows_only(desk: Desk, run_main: RunMain) -> None:
    out = desk.folder / "bench"
    done = run_main(["bench", suite(desk, BROKEN), "-o", str(out)])
    assert done.code == 9
    assert "3 of 9 runs failed, first broken on field 7" in done.error_line
    rows = results(out)["rows"]
    assert [bool(row["metrics"]) for row in rows] == [True, True, False] * 3
    assert all("weights" in row["error"] for row in rows if not row["metrics"])
    assert "broken (0 of 2 scenes)" in (out / "with_truth.tex").read_text()


def test_an_interrupted_suite_continues_and_equals_one_in_one_go(desk: Desk, tmp_path: Path) -> None:
    path = Path(suite(desk, BROKEN))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    bench(path, whole)
    notes: list[str] = []
    control = Control(on_note=notes.append)

    def stop(note: str) -> None:
        notes.append(note)
        if len(notes) == 4:
            control.stop_signal = 15

    control.on_note = stop
    with pytest.raises(Interrupted):
        bench(path, parts, control=control)
    assert not (parts / "results.json").exists()
    again: list[str] = []
    bench(path, parts, control=Control(on_note=again.append))
    assert (parts / "results.json").read_bytes() == (whole / "results.json").read_bytes()
    made = [note for note in again if ", " in note]
    assert len(made) < 9 and not set(notes[:3]) & set(made)


def made_again(path: str, out: Path, **options: Any) -> list[str]:
    """The runs that a call has made."""
    notes: list[str] = []
    bench(Path(path), out, control=Control(on_note=notes.append), **options)
    return [note for note in notes if note.startswith(("field", "pair"))]


def test_only_what_has_changed_is_made_again(desk: Desk) -> None:
    out = desk.folder / "bench"
    path = suite(desk, BROKEN)
    assert len(made_again(path, out)) == 9
    assert made_again(path, out) == []
    assert made_again(path, out, retry_failed=True) == [f"{name}, broken" for name in ("field 7", "field 11", "pair")]
    desk.pan()  # other noise
    assert made_again(path, out) == ["pair, exp", "pair, my brovey", "pair, broken"]
    Path(path).write_text(Path(path).read_text().replace('name = "exp"', 'name = "exp"\nresampling = "cubic"'))
    assert made_again(path, out) == [f"{name}, exp" for name in ("field 7", "field 11", "pair")]


def test_images_of_other_code_are_scored_like_our_own(desk: Desk, run_main: RunMain) -> None:
    out, theirs = desk.folder / "bench", desk.folder / "theirs"
    path = suite(desk)
    bench(Path(path), out)
    theirs.mkdir()
    for scene in ("field 7", "pair"):
        (theirs / f"{scene}_theirs.tif").write_bytes((out / "runs" / scene / "exp" / "fused.tif").read_bytes())
    done = run_main(["bench", path, "-o", str(out), "--results", str(theirs), "-q"])
    assert done.code == 0 and "theirs (1 of 2 scenes)" in done.stdout
    rows = results(out)["rows"]
    ours = {row["scene"]: row["metrics"] for row in rows if row["method"] == "exp"}
    found = {row["scene"]: row["metrics"] for row in rows if row["method"] == "theirs"}
    assert found == {scene: ours[scene] for scene in ("field 7", "pair")}


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
        (["-o", "bench", "--device", "gpu9"], "gpu9"),
    ],
)
def test_a_mistake_is_refused_in_a_line(desk: Desk, run_main: RunMain, arguments: list[str], said: str) -> None:
    placed = [str(desk.folder / each) if each in ("bench", "nowhere") else each for each in arguments]
    done = run_main(["bench", suite(desk), *placed])
    assert done.code == 2 and said in done.error_line
