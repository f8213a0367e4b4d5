"""A pool of worker processes, in which a process that dies costs only the task that it was doing."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import TypeVar

from clippan_cli.running.control import Control, stopped_by_signals
from clippan_cli.running.unlogged import ignore_what_cannot_be_logged
from clippan_models.errors import ClippanError, Interrupted, ResourceError, in_one_line

T = TypeVar("T")
R = TypeVar("R")


class WorkerLost(ResourceError):
    """A worker has ended in the middle of a task.

    Attributes:
        how: it ended, to be read after "the worker".
    """

    def __init__(self, how: str) -> None:
        super().__init__(f"a worker {how}")
        self.how = how


class ProcessPool:
    """Processes of this machine, each of which does one task at a time.

    They are started when there is work for them, and replaced when they die. `with` ends them, busy or not: they get
    SIGTERM, and after a while SIGKILL. They also end when this process does, even if it is killed.
    """

    def __init__(
        self, workers: int, *, prepare: Callable[[], object] | None = None, seconds_to_clean_up: float = 30.0
    ) -> None:
        """Set up a pool without processes yet.

        Args:
            workers: processes at once.
            prepare: called in each process before its first task; a function of a module.
            seconds_to_clean_up: between SIGTERM and SIGKILL.
        """
        self._prepare = prepare
        self._seconds_to_clean_up = seconds_to_clean_up
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="clippan-pool")  # one waits for each process
        self._workers: dict[int, _Worker] = {}  # by the number of the thread that waits for it
        self._starting = threading.Lock()
        self._closed = False

    def submit(self, do: Callable[[T, Control], R], task: T) -> Future[R]:
        """Have a process do a task.

        Args:
            do: a function of a module; its `Control` tells it when to stop.
            task: what can be pickled.

        Returns:
            A future that raises what `do` raises, as a `ClippanError`; `WorkerLost` where the process has ended; and
            `ResourceError` where none can be started.
        """
        return self._threads.submit(self._run, do, task)

    def __enter__(self) -> ProcessPool:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End all processes, and forget the tasks that wait."""
        with self._starting:
            self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        workers = [*self._workers.values()]
        for worker in workers:
            worker.process.terminate()
        deadline = time.monotonic() + self._seconds_to_clean_up
        for worker in workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.process.kill()
        self._threads.shutdown()

    def _run(self, do: Callable[[T, Control], R], task: T) -> R:
        """Have the process of this thread do a task, and wait for it."""
        thread = threading.get_ident()
        worker = self._workers.get(thread)
        if worker is None:
            with self._starting:
                if self._closed:
                    raise WorkerLost("was not started")
                worker = self._workers[thread] = _Worker(self._prepare)
        try:
            return worker.run(do, task)
        except WorkerLost:
            del self._workers[thread]
            raise


class _Worker:
    """A process, and the pipe to it."""

    def __init__(self, prepare: Callable[[], object] | None) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would have torch's locks without torch's threads
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, prepare), daemon=True)
        try:
            with _without_ctrl_c(), _without_the_main_program():
                self.process.start()
        except OSError as error:
            raise ResourceError(
                f"no worker process can be started: {error.strerror or error}; use fewer --workers"
            ) from error
        theirs.close()

    def run(self, do: Callable[[T, Control], R], task: T) -> R:
        content = pickle.dumps((do, task))
        try:
            # `send` and `recv` would pass tensors through shared memory, of which a container may have little
            self._pipe.send_bytes(content)
            done, answer = pickle.loads(self._pipe.recv_bytes())
        except (EOFError, OSError) as error:
            self._pipe.close()
            self.process.join()
            raise WorkerLost(_ending(self.process.exitcode)) from error
        if not done:
            raise answer
        result: R = answer
        return result


def _ending(exit_code: int | None) -> str:
    """How a process has ended, in words."""
    if exit_code is None or exit_code >= 0:
        return f"ended with code {exit_code}"
    try:
        return f"was killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was killed by signal {-exit_code}"


@contextmanager
def _without_the_main_program() -> Iterator[None]:
    """What is started here does not run the program of the user again, to find functions in it.

    Else a program that calls clippan would have to do so below `if __name__ == "__main__"`. Workers do functions of our
    modules only.
    """
    main = sys.modules["__main__"]
    names: tuple[str, ...] = ("__file__", "__spec__")
    hidden = {name: vars(main).pop(name) for name in names if name in vars(main)}
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(hidden)


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """What is started here never receives SIGINT, not even while Python loads.

    A terminal sends Ctrl-C to all processes at once; it is for the one that started them to decide what they do.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # some versions of Python unblock SIGINT where they start this helper
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(pipe: Connection, prepare: Callable[[], object] | None) -> None:
    """Do tasks until told to stop; the main function of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the pool ends us by it, also where the program ignores it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    warnings.simplefilter("ignore")  # of libraries to programmers; what concerns the user is in the result
    logging.getLogger().addHandler(logging.NullHandler())
    ignore_what_cannot_be_logged()
    if prepare is not None:
        prepare()
    while True:
        try:
            pipe.send_bytes(_answer(pipe.recv_bytes()))
        except (EOFError, OSError):  # the pool is gone
            return


def _answer(content: bytes) -> bytes:
    """Whether a task was done, and its result or the error."""
    control = Control()
    try:
        with stopped_by_signals(control):
            do, task = pickle.loads(content)
            return pickle.dumps((True, do(task, control)))
    except Interrupted as stop:
        sys.exit(stop.exit_code)
    except ClippanError as error:
        return pickle.dumps((False, error))
    except Exception as error:
        return pickle.dumps((False, ClippanError(f"unexpected {type(error).__name__}: {in_one_line(error)}")))


def _end_with_parent() -> None:
    """Ask this process to stop once the one that started it is gone, as when that is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
