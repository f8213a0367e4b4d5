"""Programs of others behind one interface: an image on the grid of PAN, or one line that says why there is none.

A script stands in for a program to show how the interface takes what programs do. Those that are installed are run.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from clippan_cli.bench.external import PROGRAMS, Task, find_program, run_external
from clippan_cli.running.control import Control
from clippan_models.errors import ClippanError, InputError, Interrupted, OutputError, ResourceError, UsageError

PIXEL = Affine(2, 0, 500_000, 0, -2, 5_400_000)
SIDE, RATIO, BANDS = 64, 4, 3
STAND_IN = "orthority"
Script = Callable[[str], None]


def write(path: Path, pixels: NDArray[Any], transform: Affine) -> Path:
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "dtype": "uint16", "crs": "EPSG:32633", "transform": transform}
    with rasterio.open(path, "w", count=count, height=height, width=width, **profile) as dataset:
        dataset.write(pixels.astype("uint16"))
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Blocks of ground in three bands, PAN their mean."""
    rng = np.random.default_rng(1)
    truth = np.kron(rng.uniform(200, 1800, (BANDS, SIDE // 8, SIDE // 8)), np.ones((8, 8)))
    coarse = truth.reshape(BANDS, SIDE // RATIO, RATIO, SIDE // RATIO, RATIO).mean((2, 4))
    ms = write(tmp_path / "ms.tif", coarse, PIXEL @ Affine.scale(RATIO))
    return ms, write(tmp_path / "pan.tif", truth.mean(0, keepdims=True), PIXEL)


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Make a program on the search path that runs this code; `out` is the path that it is to write."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")

    def make(code: str) -> None:
        program = folder / "oty"
        begin = f"#!{sys.executable}\nimport json, os, sys, time\nout = sys.argv[sys.argv.index('--out-file') + 1]\n"
        program.write_text(begin + code)
        program.chmod(0o755)

    return make


def writing(bands: int = BANDS, side: int = SIDE, shift: float = 0) -> str:
    """Code of a program that writes such an image."""
    return (
        "import numpy, rasterio\n"
        f"transform = rasterio.Affine(2, 0, {500_000 + shift}, 0, -2, 5_400_000)\n"
        f"with rasterio.open(out, 'w', 'GTiff', {side}, {side}, {bands}, 'EPSG:32633', transform, 'uint16') as d:\n"
        f"    d.write(numpy.full(({bands}, {side}, {side}), 7, 'uint16'))\n"
    )


def test_the_image_and_the_time_of_a_program(pair: tuple[Path, Path], tmp_path: Path, script: Script) -> None:
    script(f"json.dump(sys.argv[1:], open({str(tmp_path / 'argv')!r}, 'w'))\ntime.sleep(0.2)\n" + writing())
    output = tmp_path / "sharp.tif"
    output.write_text("of an earlier run")
    seconds = run_external(STAND_IN, *pair, output, {"interp": "cubic", "weight": [1, 0.5], "overwrite": True})
    assert 0.2 < seconds < 60
    with rasterio.open(output) as dataset:
        assert dataset.read().tolist() == np.full((BANDS, SIDE, SIDE), 7).tolist()
    arguments = " ".join(json.loads((tmp_path / "argv").read_text()))
    assert arguments.startswith(f"sharpen --pan {pair[1]} --multispectral {pair[0]} --out-file ")
    assert arguments.endswith("--interp cubic --weight 1 --weight 0.5 --overwrite")
    assert {path.name for path in tmp_path.iterdir()} == {"argv", "bin", "ms.tif", "pan.tif", "sharp.tif"}


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (
            "print('reading', flush=True); sys.exit('first\\nno  weights\\n\\n')",
            ClippanError,
            "exit code 1: no weights",
        ),
        (
            "print('ERROR: no such method', flush=True); sys.exit('Cleaning up')",
            ClippanError,
            ": ERROR: no such method",
        ),
        ("os.kill(os.getpid(), 9)", ClippanError, "by signal 9: it does not say why"),
        ("pass", InputError, "wrote no image"),
        ("open(out, 'w').write('not an image')", InputError, "sharp.tif"),
        (writing(bands=4), InputError, "4 bands of an MS of 3"),
        (writing(side=63), InputError, "63 x 63 pixels of a PAN of 64 x 64"),
        (writing(shift=1), InputError, "0.50 PAN pixels"),
    ],
)
def test_what_goes_wrong_is_one_line_and_leaves_the_old_image(
    code: str, error: type[ClippanError], words: str, pair: tuple[Path, Path], tmp_path: Path, script: Script
) -> None:
    script(code)
    output = tmp_path / "old.tif"
    output.write_text("of an earlier run")
    with pytest.raises(error) as raised:
        run_external(STAND_IN, *pair, output)
    assert words in str(raised.value) and "\n" not in str(raised.value)
    assert output.read_text() == "of an earlier run"
    assert {path.name for path in tmp_path.iterdir()} == {"bin", "ms.tif", "pan.tif", "old.tif"}


SLOW = (
    "import subprocess\n"
    "child = subprocess.Popen(['sleep', '60'])\n"
    "with open({0!r} + '.part', 'w') as file:\n    print(os.getpid(), child.pid, file=file)\n"
    "os.rename({0!r} + '.part', {0!r})\ntime.sleep(60)\n"
)


def gone(process: str) -> bool:
    """Ended, whether or not somebody has asked how."""
    status = Path("/proc", process, "stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.skipif(not Path("/proc").exists(), reason="asks Linux which processes there are")
@pytest.mark.parametrize(("timeout", "error"), [(1.5, ResourceError), (50, Interrupted)])
def test_a_program_that_is_stopped_leaves_no_process(
    timeout: float, error: type[ClippanError], pair: tuple[Path, Path], tmp_path: Path, script: Script
) -> None:
    """By the time limit, or by a signal to clippan."""
    processes = tmp_path / "processes"
    script(SLOW.format(str(processes)))

    class Signalled(Control):
        def check(self) -> None:
            self.stop_signal = 15 if error is Interrupted and processes.exists() else None
            super().check()

    with pytest.raises(error):
        run_external(STAND_IN, *pair, tmp_path / "sharp.tif", timeout=timeout, control=Signalled())
    deadline = time.monotonic() + 10
    while not all(map(gone, processes.read_text().split())) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert all(map(gone, processes.read_text().split()))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_is_not_installed_says_so(
    name: str, pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "not installed" in str(PROGRAMS[name].absent) and PROGRAMS[name].executables[0] in str(PROGRAMS[name].absent)
    with pytest.raises(ResourceError, match="not installed"):
        run_external(name, *pair, tmp_path / "sharp.tif")


def test_what_cannot_be_asked_for(pair: tuple[Path, Path], tmp_path: Path, script: Script) -> None:
    script(writing())
    with pytest.raises(UsageError, match="did you mean orthority"):
        find_program("ortority")
    with pytest.raises(UsageError, match="leave out the dashes"):
        run_external(STAND_IN, *pair, tmp_path / "sharp.tif", {"--interp": "cubic"})
    with pytest.raises(OutputError, match=r"no/sharp\.tif"):
        run_external(STAND_IN, *pair, tmp_path / "no" / "sharp.tif")


def test_a_version_is_read_from_what_a_program_says(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    script("")
    program = Path(os.environ["PATH"].split(os.pathsep)[0], "oty")
    program.write_text("#!/bin/sh\necho oty, version 1.2.3.\n")
    assert PROGRAMS[STAND_IN].version() == "1.2.3"
    program.write_text("#!/bin/sh\nexit 1\n")
    assert PROGRAMS[STAND_IN].version() == ""


def test_grass_refuses_other_than_three_bands(pair: tuple[Path, Path], tmp_path: Path) -> None:
    four = write(tmp_path / "four.tif", np.ones((4, 16, 16)), PIXEL @ Affine.scale(RATIO))
    with pytest.raises(UsageError, match="three bands, and MS has 4"):
        PROGRAMS["grass"].arguments(Task(four, pair[1], tmp_path / "sharp.tif", {}))


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_installed_program_sharpens(name: str, pair: tuple[Path, Path], tmp_path: Path) -> None:
    program = PROGRAMS[name]
    if program.absent:
        pytest.skip(program.absent)
    run_external(name, *pair, tmp_path / "sharp.tif", timeout=120)
    assert program.version()
    with rasterio.open(tmp_path / "sharp.tif") as made, rasterio.open(pair[0]) as ms, rasterio.open(pair[1]) as pan:
        sharp, coarse, sharpest = made.read().astype(float), ms.read(), pan.read(1)
    assert np.corrcoef(sharp.mean(0).ravel(), sharpest.ravel())[0, 1] > 0.9
    np.testing.assert_allclose(sharp.mean((1, 2)), coarse.mean((1, 2)), rtol=0.1)
