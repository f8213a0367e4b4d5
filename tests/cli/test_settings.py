"""Options from a file and from the environment: the command line wins over the environment, and that over the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rasterio

from tests.cli.conftest import Desk, RunMain


@pytest.fixture
def config(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config file in a working folder of its own."""
    monkeypatch.chdir(desk.folder)
    return desk.folder / "run.toml"


def compression(desk: Desk) -> str:
    with rasterio.open(desk.out) as dataset:
        return str(dataset.profile.get("compress", "none"))


def test_each_place_wins_over_the_next(
    config: Path, desk: Desk, run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('compress = "packbits"\n[sharpen]\ncompress = "lzw"\n')
    named = ["--overwrite", "--config", "run.toml"]
    run_main(desk.sharpen(*named))
    assert compression(desk) == "lzw"
    monkeypatch.setenv("CLIPPAN_COMPRESS", "none")
    run_main(desk.sharpen(*named))
    assert compression(desk) == "none"
    monkeypatch.setenv("CLIPPAN_SHARPEN_COMPRESS", "packbits")
    run_main(desk.sharpen(*named))
    assert compression(desk) == "packbits"
    run_main(desk.sharpen(*named, "--compress", "deflate"))
    assert compression(desk) == "deflate"


def test_all_of_a_run_in_a_file(config: Path, desk: Desk, run_main: RunMain) -> None:
    desk.ms(), desk.pan(), desk.out
    config.write_text(
        """
        ms = "ms.tif"
        pan = ["pan.tif"]
        method = "EXP"
        threads = 1
        [sharpen]
        output = "out/fused.tif"
        bands = [3, 1]
        quality = false
        co = { COMPRESS = "LZW" }
        log-file = "run.log"
        """
    )
    outcome = run_main(["sharpen", "--config", "run.toml"])
    assert outcome.code == 0, outcome.stderr
    with rasterio.open(desk.out) as dataset:
        assert dataset.count == 2 and dataset.compression.value == "LZW"
    assert "quality" not in outcome.stdout and Path("run.log").exists()


def test_the_file_of_a_project_is_found_and_told_of(config: Path, desk: Desk, run_main: RunMain) -> None:
    config.with_name("clippan.toml").write_text('compress = "lzw"\n[batch]\nworkers = 2\n')
    outcome = run_main(desk.sharpen())
    assert outcome.notes == ["clippan.toml in this folder sets --compress"]
    assert compression(desk) == "lzw"
    outcome = run_main(desk.sharpen("--overwrite", "--config", "none"))
    assert outcome.notes == [] and compression(desk) == "deflate"


@pytest.mark.parametrize("option", ["allow-vrt", "allow_remote", "overwrite"])
def test_a_file_that_was_only_found_is_not_trusted(option: str, config: Path, desk: Desk, run_main: RunMain) -> None:
    config.with_name("clippan.toml").write_text(f"{option} = true\n")
    outcome = run_main(desk.sharpen())
    assert outcome.code == 2
    assert option in outcome.error_line and "--config clippan.toml" in outcome.error_line
    assert run_main(desk.sharpen("--config", "clippan.toml")).code == 0


@pytest.mark.parametrize(
    "text, words",
    [
        ('methods = "gsa"', ["methods", "did you mean method?"]),
        ("[sharpen]\nworkers = 2", ["[sharpen]", "workers", "clippan sharpen"]),
        ("[sharpn]\nram = 1000", ["sharpn", "did you mean sharpen?"]),
        ('ram = "2048"', ["ram", "'2048'", "whole number"]),
        ("ram = true", ["ram", "whole number"]),
        ("[sharpen]\nquality = 1", ["sharpen.quality", "true or false"]),
        ("method = 3", ["method", "a text"]),
        ("co = 5", ["co", "a list or a table"]),
        ("bands = [1.5]", ["bands", "a list or a text"]),
        ("sharpen = 5", ["sharpen", "no option"]),
        ("ram = ", ["not valid TOML"]),
    ],
)
def test_a_slip_in_a_file_is_one_line(text: str, words: list[str], config: Path, desk: Desk, run_main: RunMain) -> None:
    config.write_text(text)
    outcome = run_main(desk.sharpen("--config", "run.toml"))
    assert outcome.code == 2 and not desk.out.exists()
    assert [word for word in ["run.toml", *words] if word not in outcome.error_line] == []


@pytest.mark.parametrize("name, text", [("RAM", "much"), ("QUALITY", "maybe"), ("TIME_LIMIT", "soon")])
def test_a_slip_in_the_environment_is_one_line(
    name: str, text: str, desk: Desk, run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"CLIPPAN_{name}", text)
    argv = ["sharpen", desk.ms(), desk.pan(), "-o", str(desk.out)]
    outcome = run_main(argv)
    assert outcome.code == 2
    assert f"CLIPPAN_{name}" in outcome.error_line and text in outcome.error_line


def test_switches_and_lists_of_the_environment(desk: Desk, run_main: RunMain, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"JSON": "yes", "CO": "COMPRESS=LZW PREDICTOR=2", "BANDS": "2", "NODATA": "none"}.items():
        monkeypatch.setenv(f"CLIPPAN_{name}", value)
    outcome = run_main(desk.sharpen())
    assert json.loads(outcome.stdout)["plan"]["bands"] == 1
    assert compression(desk) == "lzw"
