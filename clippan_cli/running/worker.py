"""A process that does one task after another; whatever becomes of it, the one that started it goes on."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from clippan_cli.running.control import Control, stopped_by_signals
from clippan_models.errors import Interrupted

T = TypeVar("T")
R = TypeVar("R")

_PATIENCE = 30.0  # seconds for a worker to clean up


class Worker(Generic[T, R]):
    """A process and the line to it."""

    def __init__(self, do: Callable[[T, Control], R]) -> None:
        """Start the process; it takes a while to load.

        Args:
            do: a task, with progress and the request to stop; goes to the process, so a function of a module or an
                object with what it remembers from task to task. What it raises ends the process.
        """
        context = get_context("spawn")  # a fork would take torch's threads for its own
        ours, theirs = context.Pipe()
        self.line = ours
        self.task: T | None = None
        self._process = context.Process(target=_work, args=(do, theirs, os.getpid()), daemon=True)
        with _deaf_to_the_terminal():
            self._process.start()
        theirs.close()

    @property
    def sentinel(self) -> Any:
        """Ready, for `multiprocessing.connection.wait`, when the process has ended."""
        return self._process.sentinel

    @property
    def pid(self) -> int | None:
        """Number of the process."""
        return self._process.pid

    @property
    def ended_by(self) -> str:
        """How the process ended, for messages."""
        self._process.join(_PATIENCE)
        code = self._process.exitcode
        if code is not None and code < 0:
            try:
                return f"was killed by {signal.Signals(-code).name}"
            except ValueError:
                return f"was killed by signal {-code}"
        return f"ended with code {code}"

    def start(self, task: T) -> None:
        """Have it do a task.

        Raises:
            OSError: the process is gone.
        """
        self.task = task
        _send(self.line, task)

    def answer(self) -> R:
        """What became of the task; waits for it.

        Raises:
            EOFError, OSError: the process is gone.
        """
        result: R = pickle.loads(self.line.recv_bytes())
        self.task = None
        return result

    def stop(self, number: int | None = None) -> None:
        """End the process: after its task where `number` is None, else by this signal, with time to clean up."""
        self.line.close()
        if number is not None and self._process.is_alive() and self.task is not None:
            os.kill(self._process.pid or 0, number)
        self._process.join(_PATIENCE)
        if self._process.is_alive():
            self.kill()

    def kill(self) -> None:
        """End the process at once; who waits for its answer learns that it is gone."""
        self._process.kill()
        self._process.join()


def _send(line: Connection, content: object) -> None:
    # `Connection.send` would pass tensors as shared memory, of which a container may have little
    line.send_bytes(pickle.dumps(content, pickle.HIGHEST_PROTOCOL))


def _work(do: Callable[[Any, Control], Any], line: Connection, parent: int) -> None:
    """Do tasks until the line is closed; the main function of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells all of us; the one that started us decides
    _listen_to_the_terminal()
    warnings.simplefilter("ignore")  # of libraries to programmers; what concerns the user is in the result
    logging.getLogger().addHandler(logging.NullHandler())
    while True:
        try:
            task = pickle.loads(line.recv_bytes())
        except (EOFError, OSError):
            return
        control = _ControlOfWorker(parent=parent)
        try:
            with stopped_by_signals(control):
                result = do(task, control)
            _send(line, result)
        except (Interrupted, OSError):
            return


@dataclass
class _ControlOfWorker(Control):
    """Also stops the task where the process that started this one is gone: nobody would hear of the result."""

    parent: int = 0

    def check(self) -> None:
        super().check()
        if os.getppid() != self.parent:
            raise Interrupted(signal.SIGTERM)


@contextmanager
def _deaf_to_the_terminal() -> Iterator[None]:
    """What is started here does not hear Ctrl-C until it listens: it would show a traceback while it loads."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _listen_to_the_terminal() -> None:
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
