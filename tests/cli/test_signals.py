"""Runs that are stopped, killed, or find the disk full: what was at the output path before is still there."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rasterio

from tests.cli.conftest import ONE_THREAD, Desk, Outcome, without_progress

pytestmark = pytest.mark.slow

PRECIOUS = b"the image of last year"
SIDE = 256
# to load Python and torch takes longer than all the rest of a run: most runs here are forks of a process that has
LOADED = multiprocessing.get_context("forkserver")
LOADED.set_forkserver_preload(["clippan_cli.main", "clippan_cli.tasks.sharpen"])


def hear_ctrl_c() -> None:
    """Whoever runs the tests in the background of a script has them started with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ignore_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def limit_files() -> None:
    """Beyond the limit, writing fails as on a full disk; the signal that would kill the process is ignored."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))


def run_clippan(argv: list[str], prepare: Callable[[], None], folder: Path) -> None:
    """Run clippan in this process, with its channels in files."""
    from clippan_cli.main import main

    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.dup2(os.open(os.devnull if number == 0 else folder / name, os.O_RDWR | os.O_CREAT), number)
    prepare()
    sys.argv = ["clippan", *argv]
    main()


class Run:
    """A run of clippan in a process of its own."""

    def __init__(self, argv: list[str], folder: Path, *, prepare: Callable[[], None] = hear_ctrl_c) -> None:
        self.folder = folder
        self.process = LOADED.Process(target=run_clippan, args=(argv, prepare, folder))
        self.process.start()

    def wait_until(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not happened() and self.process.is_alive():
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def listens(self) -> bool:
        return listens(self.process.pid or 0)

    def send(self, number: signal.Signals) -> None:
        if self.process.is_alive():
            os.kill(self.process.pid or 0, number)

    def end(self) -> Outcome:
        self.process.join(timeout=120)
        code = self.process.exitcode
        assert code is not None
        stdout, stderr = ((self.folder / name).read_text() for name in ("stdout", "stderr"))
        return Outcome(code, stdout, without_progress(stderr))


def listens(process: int) -> bool:
    """Whether a process has installed its handlers; before that, Python is still starting."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    except (OSError, StopIteration):
        return False
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A pair of several tiles."""
    desk = Desk(tmp_path_factory.mktemp("scene"))
    desk.ms(side=SIDE // 4)
    desk.pan(side=SIDE)
    return desk


@pytest.fixture
def argv(scene: Desk) -> Iterator[list[str]]:
    """Arguments that pass through all stages: statistics, tiles, translation, verification, quality."""
    for left in scene.out.parent.iterdir():
        left.unlink()
    scene.out.write_bytes(PRECIOUS)
    yield [*arguments(scene, scene.out), "--overwrite"]


def arguments(scene: Desk, out: Path) -> list[str]:
    options = ["--method", "mtf-glp-fs", "--coregister", "off", "--tile", "64", "-j", "1"]
    return ["sharpen", scene.path("ms.tif"), scene.path("pan.tif"), "-o", str(out), *options]


@pytest.fixture(scope="module")
def duration(scene: Desk, tmp_path_factory: pytest.TempPathFactory) -> float:
    """Seconds from the moment at which a run listens to signals to its end."""
    run = Run(arguments(scene, scene.folder / "once.tif"), tmp_path_factory.mktemp("duration"))
    run.wait_until(run.listens)
    started = time.monotonic()
    outcome = run.end()
    assert (outcome.code, outcome.notes) == (0, [])
    return time.monotonic() - started


def adapting(argv: list[str]) -> list[str]:
    """The same run with a network that would adapt for hours."""
    return [*argv, "--method", "network", "--backbone", "apnn", "--steps", "1000000"]


def temporary(scene: Desk) -> list[Path]:
    return [path for path in scene.out.parent.iterdir() if ".part" in path.name]


def assert_whole(scene: Desk, *, finished: bool) -> None:
    """The output is the old file, or the whole new one; nothing lies beside it."""
    assert [path.name for path in scene.out.parent.iterdir()] == [scene.out.name]
    if not finished:
        assert scene.out.read_bytes() == PRECIOUS
        return
    with rasterio.open(scene.out) as dataset:
        assert dataset.shape == (SIDE, SIDE) and dataset.read().any()


def assert_stopped_by(number: signal.Signals, outcome: Outcome, scene: Desk) -> None:
    if outcome.code == 0:  # it was faster
        assert outcome.notes == []
        assert_whole(scene, finished=True)
        return
    assert outcome.code == 128 + number, outcome.stderr
    assert not outcome.notes and f"signal {int(number)}" in outcome.error_line, outcome.stderr
    complete = "complete" in outcome.error_line or scene.out.read_bytes() != PRECIOUS
    assert_whole(scene, finished=complete)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", [0.0, 0.25, 0.5, 0.75, 0.9])
def test_a_signal_at_any_moment(
    number: signal.Signals, moment: float, argv: list[str], scene: Desk, duration: float, tmp_path: Path
) -> None:
    run = Run(argv, tmp_path)
    run.wait_until(run.listens)
    time.sleep(moment * duration)
    run.send(number)
    assert_stopped_by(number, run.end(), scene)


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_a_signal_while_python_loads(seconds: float, argv: list[str], scene: Desk) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "clippan_cli", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **ONE_THREAD},
        preexec_fn=hear_ctrl_c,
    ) as process:
        while not listens(process.pid):
            assert process.poll() is None
            time.sleep(0.002)
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
    assert_stopped_by(signal.SIGINT, Outcome(process.returncode, stdout, without_progress(stderr)), scene)


def test_a_signal_during_adaptation(argv: list[str], scene: Desk, tmp_path: Path) -> None:
    run = Run(adapting(argv), tmp_path)
    run.wait_until(lambda: bool(temporary(scene)))
    time.sleep(1)
    run.send(signal.SIGTERM)
    outcome = run.end()
    assert outcome.code == 143 and not outcome.notes, outcome.stderr
    assert "signal 15" in outcome.error_line
    assert_whole(scene, finished=False)


def test_a_second_signal_ends_the_run_at_once(argv: list[str], scene: Desk, tmp_path: Path) -> None:
    run = Run(adapting(argv), tmp_path)
    run.wait_until(lambda: bool(temporary(scene)))
    for _ in range(2):
        run.send(signal.SIGINT)
        time.sleep(0.02)
    outcome = run.end()
    assert outcome.code == 130 and "signal 2" in outcome.error_line
    assert "Traceback" not in outcome.stderr
    assert_whole(scene, finished=False)


def test_a_signal_that_was_ignored_at_the_start_stays_ignored(argv: list[str], scene: Desk, tmp_path: Path) -> None:
    """As `nohup` starts a program, and a shell script its background jobs."""
    run = Run(argv, tmp_path, prepare=ignore_ctrl_c)
    run.wait_until(lambda: bool(temporary(scene)))
    run.send(signal.SIGINT)
    outcome = run.end()
    assert (outcome.code, outcome.notes) == (0, [])
    assert_whole(scene, finished=True)


def test_a_killed_run_leaves_the_old_output_and_does_not_hinder_the_next(
    argv: list[str], scene: Desk, tmp_path: Path
) -> None:
    killed = Run(adapting(argv), tmp_path)
    killed.wait_until(lambda: bool(temporary(scene)))
    killed.send(signal.SIGKILL)
    killed.process.join()
    assert killed.process.exitcode == -signal.SIGKILL
    assert scene.out.read_bytes() == PRECIOUS
    outcome = Run(argv, tmp_path).end()
    assert (outcome.code, outcome.notes) == (0, [])
    assert_whole(scene, finished=True)


@pytest.mark.parametrize("driver", ["gtiff", "cog"])
def test_a_full_disk(driver: str, argv: list[str], scene: Desk, tmp_path: Path) -> None:
    outcome = Run([*argv, "--of", driver], tmp_path, prepare=limit_files).end()
    assert outcome.code == 5, outcome.stderr
    assert not outcome.notes and "fused.tif" in outcome.error_line, outcome.stderr
    assert "untouched" in outcome.error_line
    assert_whole(scene, finished=False)
