"""What every command promises whoever calls it: help at once, clean channels, JSON, the same result again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import typer.main
from PIL import Image

from clippan_cli import __version__
from clippan_cli.main import app
from clippan_models.metrics import catalogue
from tests.cli.conftest import MS_PIXEL, ONE_THREAD, PAN_SIDE, Desk, RunClippan, RunMain

GROUP: Any = typer.main.get_command(app)
COMMANDS = sorted(GROUP.commands)
INDICES = {name for name, index in catalogue.INDICES.items() if index.family != "reference"}


@pytest.fixture
def colon_folder(tmp_path: Path) -> Path:
    """A folder whose name rich would take for an emoji and for markup."""
    folder = tmp_path / ":sun: [red]"
    folder.mkdir()
    return folder


# --- Help and version -------------------------------------------------------------------------------------------------


def test_help_of_every_command_needs_neither_torch_nor_gdal(run_clippan: RunClippan) -> None:
    code = (
        "import sys\n"
        "from clippan_cli.main import main\n"
        "for words in (['--help'], *([name, '--help'] for name in sys.argv[1:])):\n"
        "    sys.argv = ['clippan', *words]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as leaving:\n"
        "        assert leaving.code == 0, words\n"
        "assert not {'torch', 'rasterio', 'numpy'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *COMMANDS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f"clippan {name}" in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example(name: str, run_main: RunMain) -> None:
    outcome = run_main([name, "--help"])
    assert outcome.code == 0
    assert f"Example: clippan {name}" in " ".join(outcome.stdout.split())


def test_without_arguments_there_is_help(run_main: RunMain) -> None:
    outcome = run_main([])
    assert outcome.code in (0, 2)  # as Typer thinks right
    assert all(name in outcome.stdout + outcome.stderr for name in COMMANDS)


def test_version(run_main: RunMain) -> None:
    outcome = run_main(["--version"])
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout.startswith(f"clippan {__version__} (Python ")
    assert all(word in outcome.stdout for word in ("torch", "rasterio", "GDAL"))


@pytest.mark.parametrize("argv", [["shrapen"], ["sharpen", "--methd", "gsa"], ["sharpen", "--steps", "many"]])
def test_usage_errors_of_typer_end_with_2(argv: list[str], run_main: RunMain) -> None:
    outcome = run_main(argv)
    assert outcome.code == 2 and outcome.stdout == "" and "Traceback" not in outcome.stderr


# --- JSON -------------------------------------------------------------------------------------------------------------


def document(stdout: str) -> dict[str, Any]:
    """The one JSON document, with nothing before or behind it, and no NaN within."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = json.loads(stdout, parse_constant=refuse)
    assert isinstance(found, dict)
    return found


def test_sharpen_json(desk: Desk, run_main: RunMain) -> None:
    argv = [word for word in desk.sharpen("--json") if word != "--no-quality"]
    outcome = run_main(argv)
    assert outcome.code == 0 and not outcome.notes
    found = document(outcome.stdout)
    assert found["output"] == str(desk.out)
    assert (found["plan"]["width"], found["plan"]["height"], found["plan"]["bands"]) == (PAN_SIDE, PAN_SIDE, 4)
    assert found["provenance"]["METHOD"] == "exp"
    assert [shift["band"] for shift in found["shifts"]] == [1, 2, 3, 4]
    assert set(found["quality"]) == INDICES
    stages = {stage: seconds for stage, seconds in found["seconds"].items() if stage != "total"}
    assert {"start", "open", "sharpen", "write", "assess"} <= set(stages)
    assert sum(stages.values()) == pytest.approx(found["seconds"]["total"], rel=0.02)
    assert found["adaptation"] is None and found["quicklook"] is None


def test_sharpen_json_of_the_network(desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(desk.sharpen("--json", "--method", "network", "--steps", "2"))
    assert outcome.code == 0
    adaptation = document(outcome.stdout)["adaptation"]
    assert set(adaptation) == {"best_step", "steps", "stopped", "loss"}
    assert adaptation["steps"] == 2 and adaptation["loss"][0]["step"] == 0


def test_assess_json(desk: Desk, run_main: RunMain) -> None:
    argv = desk.sharpen()
    assert run_main(argv).code == 0
    outcome = run_main(["assess", str(desk.out), str(desk.out), "--ms", argv[1], "--pan", argv[2], "--json"])
    assert outcome.code == 0 and not outcome.notes
    found = document(outcome.stdout)
    assert [image["path"] for image in found["images"]] == [str(desk.out), str(desk.out), "EXP", "GSA"]
    assert [image["role"] for image in found["images"]] == ["given"] * 2 + ["baseline"] * 2
    for image in found["images"]:
        assert set(image["metrics"]) == INDICES
        assert {"convention", "sensor", "valid_share", "blocks", "looked_at"} <= set(image)
    assert found["min_qnr"] is None and found["seconds"] > 0


def test_assess_json_is_complete_where_the_gate_fails(desk: Desk, run_main: RunMain) -> None:
    argv = desk.sharpen()
    assert run_main(argv).code == 0
    images = [str(desk.out), "--ms", argv[1], "--pan", argv[2]]
    outcome = run_main(["assess", *images, "--json", "--min-qnr", "1.5"])
    assert outcome.code == 8
    assert document(outcome.stdout)["min_qnr"] == 1.5
    assert outcome.notes == [] and "below 1.5" in outcome.error_line
    assert run_main(["assess", *images, "--min-qnr", "0"]).code == 0


def test_info_json(desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(["info", desk.ms(nodata=0), desk.pan(), "--coregister", "off", "--json"])
    assert outcome.code == 0 and not outcome.notes
    found = document(outcome.stdout)
    assert found["ratio"] == [4, 4] and found["overlap"] == [PAN_SIDE, PAN_SIDE]
    assert found["ms"]["nodata"] == [0, 0, 0, 0] and found["pan"]["crs"] == "EPSG:32633"
    assert len(found["shifts"]) == len(found["mtf_gains"]) == 4


def test_json_of_a_failure_is_empty(desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(["info", desk.path("gone.tif"), desk.pan(), "--json"])
    assert outcome.code == 3 and outcome.stdout == ""


@pytest.mark.slow
def test_synthetic_demo_json(desk: Desk, run_main: RunMain) -> None:
    folder = desk.folder / "demo"
    outcome = run_main(["demo", str(folder), "--synthetic", "--steps", "0", "-j", "1", "--json", "-q"])
    assert outcome.code == 0 and not outcome.notes
    found = document(outcome.stdout)
    assert all(Path(found[key]).is_file() for key in ("ms", "pan", "truth", "output", "quicklook"))
    assert set(found["scores"]) == {"clippan", "exp"}
    assert found["scores"]["clippan"]["PSNR"] > found["scores"]["exp"]["PSNR"]
    again = run_main(["demo", str(folder), "--synthetic", "--steps", "0"])
    assert again.code == 5 and "--overwrite" in again.error_line


# --- Channels ---------------------------------------------------------------------------------------------------------


def test_quiet_says_the_path_and_no_more(desk: Desk, run_main: RunMain) -> None:
    bare: dict[str, Any] = {"transform": None, "crs": None}
    outcome = run_main(desk.sharpen("-q", "--assume-aligned", ms=desk.ms(**bare), pan=desk.pan(**bare)))
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, f"{desk.out}\n", "")


def test_quiet_still_says_what_is_wrong(desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(desk.sharpen("-q", pan=desk.path("gone.tif")))
    assert outcome.code == 3 and outcome.stdout == "" and "gone.tif" in outcome.error_line


def test_names_are_shown_as_they_are(colon_folder: Path, run_main: RunMain) -> None:
    desk = Desk(colon_folder)
    outcome = run_main(desk.sharpen())
    assert outcome.code == 0 and f"result     {desk.out}\n" in outcome.stdout
    outcome = run_main(["info", desk.path("ms.tif"), desk.path("pan.tif"), "--coregister", "off"])
    assert outcome.code == 0
    outcome = run_main(["info", desk.path("gone.tif"), desk.path("pan.tif")])
    assert desk.path("gone.tif") in outcome.error_line


def test_control_characters_of_a_name_do_not_reach_the_terminal(desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(desk.sharpen(ms=desk.path("\x1b[31mred.tif")))
    assert outcome.code == 3 and "\x1b" not in outcome.stderr and "\\x1b[31mred.tif" in outcome.error_line


def test_a_name_that_is_not_utf_8(desk: Desk, run_main: RunMain) -> None:
    name = os.fsdecode(os.fsencode(desk.folder) + b"/\xff.tif")
    try:
        Path(name).write_bytes(Path(desk.ms()).read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    outcome = run_main(desk.sharpen(ms=name))
    assert outcome.code == 3 and "UTF-8" in outcome.error_line
    outcome = run_main([*desk.sharpen(), "-o", name])
    assert outcome.code == 5 and "UTF-8" in outcome.error_line


def test_traceback_on_demand_only(desk: Desk, run_main: RunMain, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise LookupError("a mistake of ours")

    monkeypatch.setattr("clippan_cli.tasks.sharpen.sharpen", broken)
    outcome = run_main(desk.sharpen("-v"))
    assert outcome.code == 1 and outcome.notes == []
    assert "unexpected LookupError: a mistake of ours" in outcome.error_line and "-vv" in outcome.error_line
    outcome = run_main(desk.sharpen("-vv"))
    assert outcome.code == 1 and "Traceback" in outcome.stderr and "a mistake of ours" in outcome.error_line


@pytest.mark.parametrize("words", ["DefaultCPUAllocator: can't allocate memory: you tried", "CUDA out of memory"])
def test_memory_that_is_not_there(words: str, desk: Desk, run_main: RunMain, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    error = torch.cuda.OutOfMemoryError if "CUDA" in words else RuntimeError

    def greedy(*args: object) -> None:
        raise error(words)

    monkeypatch.setattr("clippan_cli.tasks.sharpen.sharpen", greedy)
    outcome = run_main(desk.sharpen())
    assert outcome.code == 6 and outcome.notes == [] and "--tile" in outcome.error_line


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error(desk: Desk) -> None:
    """As in `clippan info --json ... | head -1`."""
    command = [sys.executable, "-m", "clippan_cli", "info", desk.ms(), desk.pan(), "--coregister", "off", "--json"]
    command += ["--sensor", "generic"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **ONE_THREAD})
    assert run.stdout is not None and run.stderr is not None
    run.stdout.close()
    assert run.stderr.read() == b""
    assert run.wait(timeout=120) in (0, 1)
    run.stderr.close()


@pytest.mark.slow
def test_a_terminal_that_knows_ascii_only(desk: Desk, run_clippan: RunClippan) -> None:
    desk = Desk(desk.folder / "größe")
    desk.folder.mkdir()
    argv, ascii_only = desk.sharpen("--overwrite"), {"env": {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}}
    outcome = run_clippan(argv, **ascii_only)
    assert (outcome.code, outcome.stderr) == (0, "") and "gr\\xf6" in outcome.stdout
    outcome = run_clippan([*argv, "--json"], **ascii_only)
    assert document(outcome.stdout)["output"] == str(desk.out)
    assert "gr\\xf6" in run_clippan([*argv, "--bands", "9"], **ascii_only).error_line


@pytest.mark.slow
def test_closed_channels(desk: Desk) -> None:
    """A daemon may close its standard streams; no raster may take their numbers, lest messages land in it."""
    argv = [word for word in desk.sharpen("--json") if word != "--no-quality"]
    command = f'exec "{sys.executable}" -m clippan_cli "$@" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", command, "sh", *argv], env={**os.environ, **ONE_THREAD}, check=False)
    assert done.returncode == 0
    with rasterio.open(desk.out) as dataset:
        assert dataset.read().any()


@pytest.mark.slow
def test_module_and_script_are_the_same(desk: Desk, run_clippan: RunClippan) -> None:
    script = Path(sys.executable).with_name("clippan")
    if not script.exists():
        pytest.skip("clippan is not installed")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=False)
    assert done.stdout == run_clippan(["--version"]).stdout != ""


@pytest.mark.slow
def test_a_terminal_sees_progress_and_one_line(desk: Desk) -> None:
    pty = pytest.importorskip("pty")
    argv = desk.sharpen("--method", "gsa")
    for extra, code, words in (([], 0, b"statistics"), (["--co", "NO_SUCH=1"], 2, b"clippan: GDAL does not accept")):
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "clippan_cli", *argv, *extra, "--overwrite"]
        environment = {**os.environ, **ONE_THREAD, "TERM": "xterm", "COLUMNS": "200"}
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs, env=environment) as run:
            os.close(theirs)
            seen = b""
            try:
                while chunk := os.read(ours, 4096):
                    seen += chunk
            except OSError:  # the terminal is gone with its last writer
                pass
        os.close(ours)
        assert run.returncode == code
        assert words in seen and b"Traceback" not in seen, seen


# --- Runs -------------------------------------------------------------------------------------------------------------


def test_dry_run_writes_nothing(desk: Desk, run_main: RunMain) -> None:
    argv = desk.sharpen("--dry-run", "--method", "network", "--quicklook", desk.path("picture.png"))
    before = desk.contents()
    outcome = run_main(argv)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert "would need about" in outcome.stdout
    assert desk.contents() == before
    found = document(run_main([*argv, "--json"]).stdout)
    assert found["output"] is None and found["plan"]["width"] == PAN_SIDE and found["quality"] is None
    assert desk.contents() == before


def test_dry_run_refuses_what_the_run_would_refuse(desk: Desk, run_main: RunMain) -> None:
    assert run_main(desk.sharpen("--dry-run", "--compress", "zipp")).code == 2
    assert run_main(desk.sharpen("--dry-run", "--clip", "nonsense")).code == 2
    assert run_main(desk.sharpen("--dry-run", "--clip", "gone.safetensors")).code == 7
    desk.out.touch()
    assert run_main(desk.sharpen("--dry-run")).code == 5


def test_the_same_seed_gives_the_same_bytes(desk: Desk, run_main: RunMain) -> None:
    argv = desk.sharpen("--method", "network", "--steps", "5", "--overwrite")
    images = []
    for seed in ("3", "3", "4"):
        assert run_main([*argv, "--seed", seed]).code == 0
        images.append(desk.out.read_bytes())
    assert images[0] == images[1] != images[2]


def test_quicklook_is_a_picture(desk: Desk, run_main: RunMain) -> None:
    picture = desk.out.with_name("picture.png")
    outcome = run_main(desk.sharpen("--quicklook", str(picture)))
    assert outcome.code == 0 and f"quicklook  {picture}" in outcome.stdout
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[0] > 100 and pixels.std() > 10
    assert sorted(os.listdir(desk.out.parent)) == ["fused.tif", "picture.png"]


def test_a_quicklook_that_cannot_be_drawn_is_refused_before_the_work(desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(desk.sharpen("--quicklook", desk.path("nowhere/picture.png")))
    assert outcome.code == 5 and "nowhere" in outcome.error_line
    assert os.listdir(desk.out.parent) == []


def test_quality_that_cannot_be_measured_does_not_spoil_the_run(desk: Desk, run_main: RunMain) -> None:
    """An image smaller than the blocks of the indices."""
    argv = desk.sharpen(ms=desk.ms(side=4), pan=desk.pan(side=16))
    outcome = run_main([word for word in argv if word != "--no-quality"])
    assert outcome.code == 0 and desk.out.exists()
    assert "quality is not measured" in outcome.stderr and outcome.codes == ["quality-not-measured"]


def test_notes_are_said_once(desk: Desk, run_main: RunMain) -> None:
    """Assessing and drawing open the pair again."""
    flipped = desk.ms(transform=MS_PIXEL @ MS_PIXEL.translation(0, 16) @ MS_PIXEL.scale(1, -1))
    argv = desk.sharpen("--quicklook", str(desk.out.with_name("picture.png")), ms=flipped)
    outcome = run_main([word for word in argv if word != "--no-quality"])
    assert outcome.code == 0
    assert len(outcome.notes) == 1 and "mirrored" in outcome.notes[0], outcome.stderr
