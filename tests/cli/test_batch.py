"""Does a batch make each scene once, as `sharpen` would, whatever becomes of the others and of its workers?"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from clippan_cli.batch.options import BatchOptions
from clippan_cli.rasters.options import Trust
from clippan_cli.running.control import Control, Progress
from clippan_cli.running.options import ComputeOptions
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.pairs import find_pairs
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.tasks.batch import BatchResult, in_shard, run_batch
from clippan_cli.writing.options import OutputOptions
from clippan_models.errors import Interrupted, UsageError
from tests.cli.conftest import MS_PIXEL, PAN_PIXEL, Deadly, Desk, RunMain

FAILED = 9
FAST = ["--method", "exp", "--sensor", "generic", "--coregister", "off", "--no-quality", "--of", "gtiff", "-j", "1"]


@pytest.fixture
def archive(desk: Desk) -> Path:
    """Two scenes in a folder."""
    (desk.folder / "archive").mkdir()
    for name in ("a", "b"):
        desk.ms(f"archive/{name}_ms.tif")
        desk.pan(f"archive/{name}_pan.tif")
    return desk.folder / "archive"


def outcomes(stdout: str) -> dict[str, str]:
    return {scene["id"]: scene["outcome"] for scene in json.loads(stdout)["scenes"]}


def test_half_a_pair_counts_as_failed(archive: Path, desk: Desk, run_main: RunMain) -> None:
    (archive / "b_pan.tif").write_bytes(b"II*\0 cut off")
    command = ["batch", str(archive), "-o", str(desk.folder / "sharp"), "--json", *FAST]
    found = run_main(command)
    assert (
        found.code == FAILED and "b_ms.tif" in found.error_line and "2 files look like half a pair" in found.error_line
    )
    assert outcomes(found.stdout) == {"a": "done"}
    assert json.loads(found.stdout)["totals"] == {"scenes": 1, "failed": 2, "left_out": 2}
    known = run_main([*command, "--ignore-unpaired"])
    assert known.code == 0 and json.loads(known.stdout)["totals"] == {"scenes": 1, "failed": 0, "left_out": 2}


def test_bands_and_region_are_those_of_sharpen(archive: Path, desk: Desk, run_main: RunMain) -> None:
    with rasterio.open(archive / "a_pan.tif") as pan:
        left, _, _, top = pan.bounds
        size = 24 * pan.res[0]
    part = ["--bands", "3,1", f"--bbox={left},{top - size},{left + size},{top}"]
    assert run_main(["batch", str(archive), "-o", str(desk.folder / "sharp"), *FAST, *part]).code == 0
    assert run_main([*desk.sharpen(ms=str(archive / "a_ms.tif"), pan=str(archive / "a_pan.tif")), *part]).code == 0
    with rasterio.open(desk.folder / "sharp" / "a.tif") as made, rasterio.open(desk.out) as alone:
        assert (made.count, made.width, made.height) == (2, 24, 24)
        assert np.array_equal(made.read(), alone.read())


def test_pixels_and_work_do_not_depend_on_the_number_of_workers(archive: Path, desk: Desk, run_main: RunMain) -> None:
    options = ["--method", "gsa", "--no-quality", "--of", "gtiff", "--json"]
    two = run_main(["batch", str(archive), "-o", str(desk.folder / "sharp"), "--workers", "2", *options])
    assert outcomes(two.stdout) == {"a": "done", "b": "done"}
    one = run_main(["batch", str(archive), "-o", str(desk.folder / "sharp"), "--workers", "1", "-j", "3", *options])
    assert outcomes(one.stdout) == {"a": "unchanged", "b": "unchanged"}
    run_main(["batch", str(archive), "-o", str(desk.folder / "other"), "-j", "2", *options])
    images = [rasterio.open(desk.folder / folder / "a.tif").read() for folder in ("other", "sharp")]
    assert np.array_equal(*images)


@pytest.mark.parametrize(("extra", "said"), [(("gsa",), False), (("network",), True), (("network", "-j", "1"), False)])
def test_that_networks_depend_on_threads_is_said_before(
    extra: tuple[str, ...], said: bool, archive: Path, run_main: RunMain
) -> None:
    table = archive / "none.csv"
    table.write_text("ms,pan\nabsent.tif,absent.tif\n")
    found = run_main(["batch", str(table), "-o", str(archive / "out"), "--method", *extra])
    assert found.code == FAILED and ("depends on the number of threads" in found.stderr) == said


def test_a_scene_is_made_once_and_as_sharpen_makes_it(archive: Path, desk: Desk, run_main: RunMain) -> None:
    """Also: a broken file costs itself; what has changed is made again; what failed, only on request."""
    table = desk.folder / "pairs.csv"
    (archive / "broken.tif").write_bytes(b"II*\0 not a raster")
    lines = ["ms,pan,id", *(f"archive/{n}_ms.tif,archive/{n}_pan.tif,{n}" for n in "ab")]
    table.write_text("\n".join([*lines, "archive/broken.tif,archive/a_pan.tif,broken"]) + "\n")
    out = desk.folder / "sharp"
    command = ["batch", str(table), "-o", str(out), "--json", *FAST]
    first = run_main(command)
    assert first.code == FAILED and "1 of 3 scenes failed, first broken" in first.stderr
    assert outcomes(first.stdout) == {"a": "done", "b": "done", "broken": "failed"}
    assert run_main(desk.sharpen(ms=str(archive / "a_ms.tif"), pan=str(archive / "a_pan.tif"))).code == 0
    assert desk.out.read_bytes() == (out / "a.tif").read_bytes()

    before = {name: (out / f"{name}.tif").stat().st_mtime_ns for name in "ab"}
    desk.ms("archive/b_ms.tif")  # other noise
    (archive / "broken.tif").unlink()
    second = run_main(command)
    assert second.code == FAILED
    assert outcomes(second.stdout) == {"a": "unchanged", "b": "done", "broken": "failed"}
    after = {name: (out / f"{name}.tif").stat().st_mtime_ns for name in "ab"}
    assert after["a"] == before["a"] and after["b"] != before["b"]
    assert outcomes(run_main(command).stdout) == {"a": "unchanged", "b": "unchanged", "broken": "failed before"}
    desk.ms("archive/broken.tif")
    mended = run_main([*command, "--retry-failed"])
    assert mended.code == 0 and outcomes(mended.stdout)["broken"] == "done"
    other = run_main([*command, "--compress", "zstd"])
    assert set(outcomes(other.stdout).values()) == {"done"}


def test_the_table_is_printed_and_written_without_work(archive: Path, desk: Desk, run_main: RunMain) -> None:
    (archive / "b_pan.tif").unlink()
    desk.ms("archive/c.tif", bands=1)
    pairs = desk.folder / "pairs.csv"
    shown = run_main(["batch", str(archive), "--dry-run", "--pairs-out", str(pairs)])
    assert shown.code == 0 and "1 pairs, 2 files left out" in shown.stdout
    assert "a: " in shown.stdout and "b_ms.tif: " in shown.stdout and "c.tif: " in shown.stdout
    assert pairs.read_text().splitlines()[0] == "ms,pan,id"
    document = json.loads(run_main(["batch", str(pairs), "--dry-run", "--json"]).stdout)
    assert [pair["id"] for pair in document["pairs"]] == ["a"]
    again = run_main(["batch", str(archive), "--dry-run", "--pairs-out", str(pairs)])
    assert again.code == 5 and "--overwrite" in again.error_line


def test_mistakes_of_usage(archive: Path, run_main: RunMain) -> None:
    for extra, words in [
        ([], "-o DIR"),
        (["-o", "x", "--shard", "3/2"], "--shard 3/2"),
        (["-o", "x", "--shard", "half"], "--shard half"),
        (["-o", "x", "--workers", "0"], "--workers 0"),
        (["-o", str(archive / "x"), "--method", "gsb"], "did you mean gsa"),
        (["-o", str(archive / "x"), "--sensor", "worldview-9"], "worldview-9"),
        (["-o", str(archive / "x"), "--device", "tpu"], "--device tpu"),
    ]:
        outcome = run_main(["batch", str(archive), *extra])
        assert outcome.code == 2 and words in outcome.error_line
    assert not (archive / "x").exists()


def test_shards_share_all_scenes() -> None:
    pairs = [SceneFiles(("m",), "p", f"s{n}") for n in (3, 1, 4, 0, 2)]
    parts = [[pair.id for pair in in_shard(pairs, (i, 3))] for i in (1, 2, 3)]
    assert parts == [["s0", "s3"], ["s1", "s4"], ["s2"]]
    with pytest.raises(UsageError):
        BatchOptions(Path(), shard=(0, 3))


def run(archive: Path, out: Path, control: Control, workers: int = 1) -> BatchResult:
    table = find_pairs(archive, Trust(), control)
    sharpening = SharpenOptions(
        out, "exp", encoding=OutputOptions(driver="gtiff"), compute=ComputeOptions("cpu", 1), assess=False
    )
    return run_batch(table, ReadOptions(coregister="off"), sharpening, BatchOptions(out, workers), control)


@pytest.mark.parametrize(("times", "outcome"), [(1, "done"), (9, "failed")])
def test_a_killed_worker_costs_a_retry(
    times: int, outcome: str, archive: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadly = Deadly("clippan_cli.tasks.batch.sharpen_scene", "Job", "a_pan.tif", times, desk.folder / "deaths")
    monkeypatch.setattr("clippan_cli.tasks.batch.sharpen_scene", deadly)
    notes: list[str] = []
    found = run(archive, desk.folder / "sharp", Control(on_note=notes.append))
    assert {scene.pair.id: scene.outcome for scene in found.scenes} == {"a": outcome, "b": "done"}
    assert deadly.deaths == min(times, 2) and "was killed by SIGKILL; it is tried again" in notes[0]
    if outcome == "failed":
        assert "was killed by SIGKILL, 2 times" in found.failed[0].record.error


def test_a_batch_that_is_stopped_goes_on(archive: Path, desk: Desk) -> None:
    control = Control()

    def stop(progress: Progress) -> None:
        if progress.stage == "sharpen":
            control.stop_signal = signal.SIGTERM

    control.on_progress = stop
    out = desk.folder / "sharp"
    with pytest.raises(Interrupted, match="1 of 2 scenes were sharpened") as stopped:
        run(archive, out, control)
    assert stopped.value.exit_code == 143
    found = run(archive, out, Control(), workers=2)
    assert sorted(scene.outcome for scene in found.scenes) == ["done", "unchanged"]


def test_files_of_others_are_not_replaced(archive: Path, desk: Desk) -> None:
    out = desk.folder / "sharp"
    out.mkdir()
    (out / "a.tif").write_text("mine")
    found = run(archive, out, Control())
    assert [scene.outcome for scene in found.scenes] == ["failed", "done"]
    assert (out / "a.tif").read_text() == "mine" and "--overwrite" in found.failed[0].record.error


def test_the_page_shows_all_scenes(archive: Path, desk: Desk, run_main: RunMain) -> None:
    for name in "ab":
        desk.ms(f"archive/{name}_ms.tif", side=64)
        desk.pan(f"archive/{name}_pan.tif", side=256)
    page = desk.folder / "quality.html"
    command = ["batch", str(archive), "-o", str(desk.folder / "sharp"), "--report", str(page), *FAST]
    done = run_main(command)
    assert done.code == 0, done.stderr
    assert ">a<" in page.read_text() and ">b<" in page.read_text() and str(page) in done.stdout
    assert run_main(command).code == 5


@pytest.mark.slow
def test_networks_learn_in_a_batch_as_alone(archive: Path, desk: Desk, run_main: RunMain) -> None:
    """Several workers, several scenes one after another in each, language: the same bytes."""
    desk.ms("archive/c_ms.tif", transform=Affine.translation(900, 0) @ MS_PIXEL)
    desk.pan("archive/c_pan.tif", transform=Affine.translation(900, 0) @ PAN_PIXEL)
    learning = [
        "--method",
        "clippan",
        "--clip",
        "embedded",
        "--backbone",
        "apnn",
        "--steps",
        "3",
        "-j",
        "1",
        "--of",
        "gtiff",
    ]
    out = desk.folder / "sharp"
    done = run_main(["batch", str(archive), "-o", str(out), "--workers", "2", "--json", *learning])
    assert done.code == 0, done.stderr
    for name in "abc":
        files = [str(archive / f"{name}_ms.tif"), str(archive / f"{name}_pan.tif"), "-o", str(desk.out)]
        assert run_main(["sharpen", *files, "--overwrite", *learning]).code == 0
        assert desk.out.read_bytes() == (out / f"{name}.tif").read_bytes()
    document = json.loads(done.stdout)
    assert all(scene["quality"]["QNR"] > 0 for scene in document["scenes"])


def test_results_are_named_by_a_template(archive: Path, desk: Desk, run_main: RunMain) -> None:
    """Results of two methods lie in one folder, and each run knows its own."""
    command = ["batch", str(archive), "-o", str(desk.folder / "sharp"), "--name-template", "{scene}_{method}.tif"]
    rest = ["--sensor", "generic", "--coregister", "off", "--no-quality", "--json"]
    for method in ("exp", "brovey"):
        assert set(outcomes(run_main([*command, "--method", method, *rest]).stdout).values()) == {"done"}
    names = {path.name for path in (desk.folder / "sharp").glob("*.tif")}
    assert names == {"a_exp.tif", "b_exp.tif", "a_brovey.tif", "b_brovey.tif"}
    again = run_main([*command, "--method", "exp", *rest])
    assert set(outcomes(again.stdout).values()) == {"unchanged"}
    assert [Path(s["output"]).name for s in json.loads(again.stdout)["scenes"]] == ["a_exp.tif", "b_exp.tif"]


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{date}.tif", "there is no {date}; the fields are {scene}, {method}, {ms}, {pan}"),
        ("{}.tif", "there is no {}"),
        ("{scene.id}.tif", "there is no {scene.id}"),
        ("{scene!r:9}.tif", "there is no {scene!r:9}"),
        ("{scene.tif", "is no template"),
        ("../{scene}.tif", "without /"),
        ("{scene}.png", "must end with .tif"),
        ("all_{method}.tif", "both a and b would be all_exp.tif; add {scene}"),
    ],
)
def test_a_template_that_will_not_do_is_refused_before_work(
    template: str, words: str, archive: Path, desk: Desk, run_main: RunMain
) -> None:
    found = run_main(["batch", str(archive), "-o", str(desk.folder / "sharp"), "--name-template", template, *FAST])
    assert found.code == 2 and "--name-template" in found.error_line and words in found.error_line
    assert not (desk.folder / "sharp").exists()


def test_each_scene_is_drawn_as_by_sharpen(archive: Path, desk: Desk, run_main: RunMain) -> None:
    """Drawing is no reason to make a scene again, but a missing picture is."""
    out = archive / "sharp"
    command = ["batch", str(archive), "-o", str(out), "--name-template", "{ms}.tif", *FAST, "--json"]
    found = run_main([*command, "--quicklook"])
    assert set(outcomes(found.stdout).values()) == {"done"}
    assert json.loads(found.stdout)["scenes"][0]["quicklook"] == str(out / "a_ms.png")
    alone = desk.folder / "alone.png"
    files = {"ms": str(archive / "a_ms.tif"), "pan": str(archive / "a_pan.tif")}
    assert run_main(desk.sharpen("--quicklook", str(alone), **files)).code == 0
    assert (out / "a_ms.png").read_bytes() == alone.read_bytes()
    for again in (command, [*command, "--quicklook"]):
        unchanged = run_main(again)
        assert unchanged.code == 0 and set(outcomes(unchanged.stdout).values()) == {"unchanged"}
    (out / "a_ms.png").unlink()
    assert outcomes(run_main([*command, "--quicklook"]).stdout) == {"a": "done", "b": "unchanged"}
    (out / "a_ms.png").write_bytes(b"of somebody else")
    refused = run_main([*command, "--quicklook"])
    error = next(scene["error"] for scene in json.loads(refused.stdout)["scenes"] if scene["id"] == "a")
    assert refused.code == FAILED and "exists; add --overwrite" in error
    assert (out / "a_ms.png").read_bytes() == b"of somebody else"
