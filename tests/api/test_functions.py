"""Do the functions do what the commands do, and fail, stop and report as Python programs want it?"""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import clippan
from tests.api.conftest import MS_PIXEL, PAN_PIXEL, Array, Write, read
from tests.cli.conftest import ONE_THREAD, RunMain, run_main

__all__ = ["run_main"]

FAST: dict[str, Any] = {"method": "exp", "coregister": "off", "quality": False, "of": "gtiff", "threads": 1}
IDENTICAL = {"PSNR": None, "PSNR_global": None}  # of an image and itself: infinite, which JSON lacks


def test_a_file_is_the_one_that_the_command_writes(pair: tuple[str, str], tmp_path: Path, run_main: RunMain) -> None:
    ours, theirs = tmp_path / "python.tif", tmp_path / "shell.tif"
    box = (500_010.3, 3_999_950.1, 500_050.3, 3_999_990.1)
    result = clippan.sharpen(
        *pair,
        ours,
        method="gsa",
        bands=[3, 1],
        bbox=box,
        co={"PREDICTOR": 2},
        of="gtiff",
        threads=1,
        quality=False,
    )
    words = ["--bands", "3,1", "--bbox", ",".join(map(str, box)), "--co", "PREDICTOR=2", "--of", "gtiff", "-j", "1"]
    assert run_main(["sharpen", *pair, "-o", str(theirs), "--method", "gsa", "--no-quality", *words]).code == 0
    assert result.output == ours and ours.read_bytes() == theirs.read_bytes()


def test_terms_of_the_loss_as_text_or_as_numbers(pair: tuple[str, str], tmp_path: Path) -> None:
    options = {**FAST, "method": "network", "steps": 1}
    text = clippan.sharpen(*pair, tmp_path / "a.tif", loss="spec,qnr=0.3", **options)
    numbers = clippan.sharpen(*pair, tmp_path / "b.tif", loss={"spec": 1, "qnr": 0.3}, **options)
    assert text.provenance["LOSS"] == numbers.provenance["LOSS"]


def test_ms_in_files_of_one_band(pair: tuple[str, str], ms: Array, tmp_path: Path, write: Write) -> None:
    bands = [Path(write(f"b{n}.tif", band, MS_PIXEL)) for n, band in enumerate(ms)]
    clippan.sharpen(pair[0], Path(pair[1]), tmp_path / "one.tif", **FAST)
    clippan.sharpen(bands, pair[1], tmp_path / "many.tif", **FAST)
    assert (read(tmp_path / "one.tif") == read(tmp_path / "many.tif")).all()


def test_a_dry_run_gives_the_plan(pair: tuple[str, str], tmp_path: Path) -> None:
    result = clippan.sharpen(*pair, tmp_path / "out.tif", dry_run=True, **FAST)
    assert result.output is None and result.plan.width == 128 and not (tmp_path / "out.tif").exists()


def test_an_assessment_says_what_the_command_says(pair: tuple[str, str], tmp_path: Path, run_main: RunMain) -> None:
    out = tmp_path / "out.tif"
    clippan.sharpen(*pair, out, **FAST)
    report = clippan.assess(out, ms=pair[0], pan=pair[1], reference=out, wald=["exp"], report=tmp_path / "page.html")
    command = ["assess", str(out), "--ms", pair[0], "--pan", pair[1], "--reference", str(out), "--wald", "exp"]
    theirs = json.loads(run_main([*command, "--json"]).stdout)
    assert {**report.images[0].metrics, **IDENTICAL} == {**theirs["images"][0]["metrics"], **IDENTICAL}
    assert report.wald[0].metrics == theirs["wald"][0]["metrics"]
    assert (tmp_path / "page.html").stat().st_size > 10_000


@pytest.mark.slow
def test_many_scenes(ms: Array, pan: Array, tmp_path: Path, write: Write) -> None:
    """As a program without any `if __name__ == "__main__"`, which workers must not run again."""
    (tmp_path / "archive").mkdir()
    for name in ("a", "b"):
        write(f"archive/{name}_ms.tif", ms, MS_PIXEL)
        write(f"archive/{name}_pan.tif", pan, PAN_PIXEL)
    assert [found.id for found in clippan.find_pairs(tmp_path / "archive").pairs] == ["a", "b"]
    program = tmp_path / "program.py"
    program.write_text(
        "import clippan\n"
        f"fast = {FAST!r}\n"
        "made = clippan.batch('archive', 'sharp', **fast)\n"
        "print([scene.outcome for scene in made.scenes])\n"
        "learned = clippan.adapt('archive', 'w.safetensors', steps=2, clip='none', validation=False, workers=1,\n"
        "                        threads=1, coregister='off')\n"
        "print(learned.adapted.steps, learned.output.exists())\n"
        "pair = 'archive/a_ms.tif', 'archive/a_pan.tif'\n"
        "made = clippan.sharpen(*pair, 'a.tif', method='network', weights=learned.output, steps=0, threads=1)\n"
        "print(made.provenance['WEIGHTS'])\n"
    )
    done = subprocess.run(
        [sys.executable, program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, **ONE_THREAD},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['done', 'done']", "2 True", "w.safetensors"]


def test_a_mistake_is_told_in_the_words_of_python(pair: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out.tif"
    clippan.sharpen(*pair, out, **FAST)
    with pytest.raises(clippan.OutputError, match=r"out\.tif exists; add overwrite=True to replace it"):
        clippan.sharpen(*pair, out, **FAST)
    with pytest.raises(clippan.UsageError, match=r"^steps -1: must be 0 or more$"):
        clippan.sharpen(*pair, out, steps=-1)
    with pytest.raises(clippan.UsageError, match=r"no method called 'gsb' \(did you mean gsa"):
        clippan.sharpen(*pair, out, method="gsb", overwrite=True)
    with pytest.raises(clippan.UsageError, match="leave out validation=False"):
        clippan.adapt(tmp_path, tmp_path / "w.safetensors", validation=False, compare_scratch=3)
    with pytest.raises(clippan.UsageError, match=r"^threads 0: must be 1 to 1024"):
        clippan.ComputeOptions(threads=0)


def test_progress_is_told_to_whoever_wants_it(
    pair: tuple[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    heard: list[clippan.Progress] = []
    clippan.sharpen(*pair, tmp_path / "out.tif", on_progress=heard.append, **FAST)
    assert [each.done for each in heard if each.stage == "sharpen"] == [1]
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_stops_and_leaves_nothing(pair: tuple[str, str], tmp_path: Path) -> None:
    """As a KeyboardInterrupt: a loop over scenes that catches our errors must not take it for one."""

    def interrupt(progress: clippan.Progress) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="stopped by signal 2"):
        clippan.sharpen(*pair, tmp_path / "out.tif", on_progress=interrupt, **FAST)
    assert signal.getsignal(signal.SIGINT) is before
    assert sorted(os.listdir(tmp_path)) == ["ms.tif", "pan.tif"]


def test_typed_options(pair: tuple[str, str], tmp_path: Path) -> None:
    from clippan.tasks import sharpen

    clippan.sharpen(*pair, tmp_path / "keywords.tif", **FAST)
    options = clippan.SharpenOptions(
        tmp_path / "typed.tif",
        method="exp",
        encoding=clippan.OutputOptions(driver="gtiff"),
        compute=clippan.ComputeOptions(threads=1),
        assess=False,
    )
    files = clippan.SceneFiles((pair[0],), pair[1])
    sharpen(files, clippan.ReadOptions(coregister="off"), options)
    assert (tmp_path / "keywords.tif").read_bytes() == (tmp_path / "typed.tif").read_bytes()
    assert dataclasses.is_dataclass(options)


def execute(notebook: Any, folder: Path) -> None:
    """Run a notebook in a folder, as Jupyter does."""
    nbclient = pytest.importorskip("nbclient")
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=300, coalesce_streams=True, resources=resources).execute()


@pytest.mark.slow
def test_a_notebook_shows_a_bar(pair: tuple[str, str], tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    cell = nbformat.v4.new_code_cell(f"import clippan\nclippan.sharpen(*{pair!r}, 'out.tif', **{FAST!r}).plan.width")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    execute(notebook, tmp_path)
    kinds = {output["output_type"]: output for output in notebook.cells[0].outputs}
    bar, value = kinds["display_data"], kinds["execute_result"]
    assert '<progress value="1" max="1"></progress> sharpen 1/1' in bar["data"]["text/html"]
    assert value["data"]["text/plain"] == "128"


@pytest.mark.slow
def test_the_notebook_of_the_docs_runs_and_its_outputs_are_those_of_its_cells(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("rioxarray")
    stored = nbformat.read(Path(__file__).parents[2] / "docs" / "notebook.ipynb", as_version=4)
    assert any(cell.get("outputs") for cell in stored.cells)
    fresh = copy.deepcopy(stored)
    execute(fresh, tmp_path)
    for before, after in zip(stored.cells, fresh.cells, strict=True):
        assert kinds_of_output(before) == kinds_of_output(after), f"run docs/notebook.py: {after.source}"


def kinds_of_output(cell: Any) -> list[tuple[str, list[str], list[str]]]:
    """What a cell put out: words and kinds of pictures, but no numbers, which differ a little between machines."""
    return [
        (output.output_type, re.findall(r"[^\W\d]+", output.get("text", "")), sorted(output.get("data", {})))
        for output in cell.get("outputs", [])
    ]
