"""`clippan assess` on the command line: its options, what they refuse, and clean channels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clippan_cli.quality.result import SCHEMA
from tests.cli.conftest import Desk, RunMain


@pytest.fixture
def assessing(desk: Desk, run_main: RunMain) -> list[str]:
    """Arguments that assess an interpolated image."""
    argv = desk.sharpen(ms=desk.ms(side=48), pan=desk.pan(side=192))
    assert run_main(argv).code == 0
    return ["assess", str(desk.out), "--ms", argv[1], "--pan", argv[2], "-j", "1"]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--min", "QNR"], 2, "METRIC=VALUE"),
        (["--max", "nonsense=1"], 2, "D_lambda"),
        (["--min", "PSNR=30"], 2, "--reference"),
        (["--qnr", "mine"], 2, "toolbox or paper"),
        (["--wald", "gsa,best"], 2, "no method called 'best'"),
        (["--peak", "0"], 2, "--peak"),
        (["--peak", "nan"], 2, "--peak"),
        (["--reference", "gone.tif"], 3, "gone.tif"),
        (["--device", "tpu"], 2, "--device"),
        (["--max", "D_rho=0"], 8, "is above 0"),
        (["--min", "hqnr=2"], 8, "HQNR"),
    ],
)
def test_refusals_are_one_line(
    options: list[str], code: int, words: str, assessing: list[str], run_main: RunMain
) -> None:
    outcome = run_main([*assessing, "--no-baselines", *options])
    assert outcome.code == code and words in outcome.error_line and not outcome.notes


def test_an_image_of_some_of_the_bands_is_measured_where_they_are_named(
    desk: Desk, tmp_path: Path, run_main: RunMain
) -> None:
    ms, pan = desk.ms(side=48), desk.pan(side=192)
    assert run_main(desk.sharpen("--bands", "3,1", ms=ms, pan=pan)).code == 0
    command = ["assess", str(desk.out), "--ms", ms, "--pan", pan, "-j", "1", "--no-baselines", "--json"]
    refused = run_main(command)
    assert refused.code == 4
    assert "fused.tif has 2 bands but" in refused.error_line and "ms.tif has 4; " in refused.error_line
    assert "--ms-bands" in refused.error_line
    right, wrong = (run_main([*command, "--ms-bands", bands]) for bands in ("3,1", "1,3"))
    ergas = [json.loads(done.stdout)["images"][0]["metrics"]["R_ERGAS"] for done in (right, wrong)]
    assert ergas[0] < 0.5 * ergas[1]
    assert "ms.tif has bands 1 to 4" in run_main([*command, "--ms-bands", "5"]).error_line
    assert run_main([*command, "--ms-bands", "red"]).code == 2


def test_json_is_alone_on_stdout_and_names_its_schema(assessing: list[str], tmp_path: Path, run_main: RunMain) -> None:
    extra = ["--json", "--wald", "exp", "--report", str(tmp_path / "page.html"), "--csv", str(tmp_path / "n.csv")]
    outcome = run_main([*assessing, *extra, "--min", "QNR=0"])
    assert outcome.code == 0 and not outcome.notes
    found = json.loads(outcome.stdout)
    assert [warning["code"] for warning in found["warnings"]] == outcome.codes
    assert found["schema"] == SCHEMA and found["gates"] == [{"index": "QNR", "value": 0.0, "at_least": True}]
    assert found["wald"][0]["method"] == "exp" and set(found["best"]) <= set(found["images"][0]["metrics"])
    assert {"definition", "warnings", "bands", "phases", "role"} <= set(found["images"][0])
    assert [Path(path).name for path in found["files"]] == ["page.html", "n.csv"]


def test_the_table_marks_the_best_and_the_notes_warn(assessing: list[str], run_main: RunMain) -> None:
    outcome = run_main(assessing)
    assert outcome.code == 0 and not outcome.notes
    lines = outcome.stdout.splitlines()
    (qnr,) = [line for line in lines if line.startswith("QNR ↑")]
    assert qnr.count("*") == 1
    assert "generic-sensor" in outcome.codes and not any(line.startswith("warning") for line in lines)
    quiet = run_main([*assessing, "-q"])
    assert quiet.codes == outcome.codes and "QNR" in quiet.stdout
