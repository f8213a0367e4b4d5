"""Runs that are stopped, killed, or find the disk full: what was at the output path before is still there."""

from __future__ import annotations

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

from tests.cli.conftest import ONE_THREAD, Desk, Outcome

pytestmark = pytest.mark.slow

PRECIOUS = b"the image of last year"
SIDE = 512


class Run:
    """A run of clippan in a process of its own that replaces an existing file."""

    def __init__(self, argv: list[str], *, prepare: Callable[[], object] | None = None) -> None:
        # whoever runs the tests in the background of a script has them started with SIGINT ignored
        prepare = prepare or (lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "clippan_cli", *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **ONE_THREAD},
            preexec_fn=prepare,
        )

    def wait_until(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not happened() and self.process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def listens(self) -> bool:
        """Whether it has installed its handlers; before that, Python is still starting."""
        status = Path(f"/proc/{self.process.pid}/status")
        try:
            caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        except (OSError, StopIteration):
            return False
        return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)

    def end(self) -> Outcome:
        stdout, stderr = self.process.communicate(timeout=120)
        return Outcome(self.process.returncode, stdout, stderr)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A pair that takes a few seconds, in many tiles."""
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
    options = ["--method", "mtf-glp-fs", "--coregister", "off", "--tile", "64", "-j", "1", "--overwrite"]
    yield ["sharpen", scene.path("ms.tif"), scene.path("pan.tif"), "-o", str(scene.out), *options]


@pytest.fixture(scope="module")
def duration(scene: Desk) -> float:
    """Seconds from the moment at which a run listens to signals to its end."""
    options = ["--method", "mtf-glp-fs", "--coregister", "off", "--tile", "64", "-j", "1"]
    run = Run(["sharpen", scene.path("ms.tif"), scene.path("pan.tif"), "-o", scene.path("once.tif"), *options])
    run.wait_until(run.listens)
    started = time.monotonic()
    outcome = run.end()
    assert (outcome.code, outcome.stderr) == (0, "")
    return time.monotonic() - started


def adapting(argv: list[str]) -> list[str]:
    """The same run with a network that would adapt for hours."""
    return [*argv, "--method", "network", "--steps", "1000000"]


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", [0.0, 0.35, 0.6, 0.75, 0.9])
def test_a_signal_at_any_moment(
    number: signal.Signals, moment: float, argv: list[str], scene: Desk, duration: float
) -> None:
    run = Run(argv)
    run.wait_until(run.listens)
    time.sleep(moment * duration)
    run.process.send_signal(number)
    outcome = run.end()
    if outcome.code == 0:  # it was faster
        assert outcome.stderr == ""
        assert_whole(scene, finished=True)
        return
    assert outcome.code == 128 + number, outcome.stderr
    assert outcome.stderr.count("\n") == 1 and f"signal {int(number)}" in outcome.error_line, outcome.stderr
    complete = "complete" in outcome.error_line or scene.out.read_bytes() != PRECIOUS
    assert_whole(scene, finished=complete)


def test_a_signal_during_adaptation(argv: list[str], scene: Desk) -> None:
    run = Run(adapting(argv))
    run.wait_until(lambda: bool(temporary(scene)))
    time.sleep(1)
    run.process.send_signal(signal.SIGTERM)
    outcome = run.end()
    assert outcome.code == 143 and outcome.stderr.count("\n") == 1, outcome.stderr
    assert "signal 15" in outcome.error_line
    assert_whole(scene, finished=False)


def test_a_second_signal_ends_the_run_at_once(argv: list[str], scene: Desk) -> None:
    run = Run(adapting(argv))
    run.wait_until(lambda: bool(temporary(scene)))
    for _ in range(2):
        run.process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    outcome = run.end()
    assert outcome.code == 130 and "signal 2" in outcome.error_line
    assert "Traceback" not in outcome.stderr
    assert_whole(scene, finished=False)


def test_a_signal_that_was_ignored_at_the_start_stays_ignored(argv: list[str], scene: Desk) -> None:
    """As `nohup` starts a program, and a shell script its background jobs."""
    run = Run(argv, prepare=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN) and None)
    run.wait_until(lambda: bool(temporary(scene)))
    run.process.send_signal(signal.SIGINT)
    outcome = run.end()
    assert (outcome.code, outcome.stderr) == (0, "")
    assert_whole(scene, finished=True)


def test_a_killed_run_leaves_the_old_output_and_does_not_hinder_the_next(argv: list[str], scene: Desk) -> None:
    killed = Run(adapting(argv))
    killed.wait_until(lambda: bool(temporary(scene)))
    killed.process.kill()
    assert killed.end().code == -signal.SIGKILL
    assert scene.out.read_bytes() == PRECIOUS
    outcome = Run(argv).end()
    assert (outcome.code, outcome.stderr) == (0, "")
    with rasterio.open(scene.out) as dataset:
        assert dataset.shape == (SIDE, SIDE)


@pytest.mark.parametrize("driver", ["gtiff", "cog"])
def test_a_full_disk(driver: str, argv: list[str], scene: Desk) -> None:
    def limit() -> None:
        # Beyond the limit, writing fails as on a full disk; the signal that would kill the process is ignored.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    outcome = Run([*argv, "--of", driver], prepare=limit).end()
    assert outcome.code == 5, outcome.stderr
    assert outcome.stderr.count("\n") == 1 and "fused.tif" in outcome.error_line, outcome.stderr
    assert "untouched" in outcome.error_line
    assert_whole(scene, finished=False)
