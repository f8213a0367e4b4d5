"""Does a pool of processes do its tasks, whatever becomes of its workers, and leave nothing behind?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clippan_cli.running.control import Control
from clippan_cli.running.pool import ProcessPool, WorkerLost
from clippan_models.errors import ClippanError, InputError

SOON = 20.0  # seconds, on a busy machine


def number_of_process(_: object, control: Control) -> int:
    return os.getpid()


def niceness(_: object, control: Control) -> int:
    return os.nice(0)


def be_nice() -> None:
    os.nice(3)


def fail(error: Exception, control: Control) -> None:
    raise error


def be_killed(number: int, control: Control) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


def leave(code: int, control: Control) -> None:
    os._exit(code)


def work_for_long(folder: Path, control: Control) -> None:
    """Hold a file open until asked to stop."""
    unfinished = folder / f"{os.getpid()}.part"
    unfinished.touch()
    try:
        while True:
            control.check()
            time.sleep(0.01)
    finally:
        unfinished.unlink()


def hear_nothing(folder: Path, control: Control) -> None:
    (folder / f"{os.getpid()}.part").touch()
    time.sleep(600)


def eventually(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + SOON
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def at_work(folder: Path) -> list[int]:
    """The processes that have an unfinished file."""
    return [int(path.stem) for path in folder.glob("*.part")]


def is_running(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def children_of(process: int) -> list[str]:
    lists = Path(f"/proc/{process}/task").glob("*/children")
    return [child for children in lists for child in children.read_text().split()]


def test_a_process_does_one_task_after_another() -> None:
    with ProcessPool(1, prepare=be_nice) as pool:
        futures = [pool.submit(number_of_process, number) for number in range(3)]
        processes = {future.result(SOON) for future in futures}
        assert len(processes) == 1 and processes != {os.getpid()}
        nice = pool.submit(niceness, None).result(SOON)
        assert nice == min(os.nice(0) + 3, 19) == pool.submit(niceness, None).result(SOON)
    assert not any(map(is_running, processes))


def test_errors_come_back_with_their_exit_codes() -> None:
    with ProcessPool(1) as pool:
        with pytest.raises(InputError, match="it is damaged"):
            pool.submit(fail, InputError("it is damaged")).result(SOON)
        with pytest.raises(ClippanError, match="unexpected ValueError: strange") as unexpected:
            pool.submit(fail, ValueError("strange")).result(SOON)
        assert unexpected.value.exit_code == 1
        assert pool.submit(number_of_process, None).result(SOON) > 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_dies_costs_only_its_task(workers: int) -> None:
    with ProcessPool(workers) as pool:
        before = [pool.submit(number_of_process, None) for _ in range(4)]
        killed, left = pool.submit(be_killed, signal.SIGKILL), pool.submit(leave, 7)
        after = [pool.submit(number_of_process, None) for _ in range(4)]
        with pytest.raises(WorkerLost) as loss:
            killed.result(SOON)
        assert loss.value.how == "was killed by SIGKILL" and loss.value.exit_code == 6
        with pytest.raises(WorkerLost, match="ended with code 7"):
            left.result(SOON)
        early, late = ({future.result(SOON) for future in futures} for futures in (before, after))
        assert workers > 1 or not early & late


@pytest.fixture(params=[signal.SIG_DFL, signal.SIG_IGN])
def sigterm(request: pytest.FixtureRequest) -> Iterator[None]:
    """A program that SIGTERM ends, and one that was started to ignore it."""
    before = signal.signal(signal.SIGTERM, request.param)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("sigterm")
def test_a_pool_that_is_left_stops_its_tasks(tmp_path: Path) -> None:
    """With time to clean up; what waits is not begun."""
    with ProcessPool(1) as pool:
        stopped = pool.submit(work_for_long, tmp_path)
        waiting = pool.submit(work_for_long, tmp_path)
        eventually(lambda: at_work(tmp_path))
        (process,) = at_work(tmp_path)
        started = time.monotonic()
    assert time.monotonic() - started < 5
    assert stopped.exception() is not None and waiting.cancelled()
    assert not at_work(tmp_path) and not is_running(process)


@pytest.mark.usefixtures("sigterm")
def test_an_idle_worker_goes_at_once() -> None:
    with ProcessPool(1) as pool:
        process = pool.submit(number_of_process, None).result(SOON)
        started = time.monotonic()
    assert time.monotonic() - started < 5 and not is_running(process)


def test_a_worker_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    with ProcessPool(1, seconds_to_clean_up=0.1) as pool:
        pool.submit(hear_nothing, tmp_path)
        eventually(lambda: at_work(tmp_path))
        (process,) = at_work(tmp_path)
        started = time.monotonic()
    assert time.monotonic() - started < 5 and not is_running(process)


PROGRAM = """
import signal, sys
from pathlib import Path
from clippan_cli.running.pool import ProcessPool
from tests.running.test_pool import number_of_process, work_for_long

if __name__ == "__main__":
    signal.signal(signal.SIGINT, lambda *_: print("heard", flush=True))
    with ProcessPool(2) as pool:
        busy = pool.submit(work_for_long, Path(sys.argv[1]))
        print(pool.submit(number_of_process, None).result(), flush=True)
        busy.result()
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A program with a busy worker and an idle one, in a process group of its own as a terminal makes one."""
    (tmp_path / "program.py").write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py"), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
    ) as running:
        yield running
        running.kill()


def test_no_worker_outlives_the_process_that_started_it(program: subprocess.Popen[str], tmp_path: Path) -> None:
    assert program.stdout is not None
    idle = int(program.stdout.readline())
    eventually(lambda: at_work(tmp_path))
    workers = [idle, *at_work(tmp_path)]
    assert all(map(is_running, workers))
    program.kill()
    eventually(lambda: not any(map(is_running, workers)))
    assert not at_work(tmp_path), "and the busy one has cleaned up"


def test_workers_do_not_hear_the_terminal(program: subprocess.Popen[str], tmp_path: Path) -> None:
    """Neither while they load nor later; the process that started them decides what Ctrl-C means."""
    assert program.stdout is not None and program.stderr is not None
    eventually(lambda: len(children_of(program.pid)) == 3)  # two workers, and the one with which Python keeps books
    os.killpg(program.pid, signal.SIGINT)
    assert program.stdout.readline() == "heard\n"
    assert int(program.stdout.readline()) > 0
    eventually(lambda: at_work(tmp_path))
    os.killpg(program.pid, signal.SIGINT)
    assert program.stdout.readline() == "heard\n"
    time.sleep(0.1)
    assert at_work(tmp_path)
    program.kill()
    eventually(lambda: not at_work(tmp_path))
    assert program.stderr.read() == ""
