"""A process that sharpens one scene after another for a batch; whatever becomes of it, the batch goes on."""

from __future__ import annotations

import logging
import os
import signal
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from clippan_cli.tasks.batch_record import Job, Record, file_sha256, may_replace, read_record, write_record
from clippan_cli.tasks.control import Control, stopped_by_signals
from clippan_models.errors import ClippanError, Interrupted, OutputError

_PATIENCE = 30.0  # seconds for a worker to clean up


@dataclass(frozen=True)
class Task:
    """A job with its key."""

    job: Job
    key: str


class Worker:
    """A process and the line to it."""

    def __init__(self) -> None:
        """Start the process; it takes a while to load."""
        context = get_context("spawn")  # a fork would take torch's threads for its own
        ours, theirs = context.Pipe()
        self.line = ours
        self.task: Task | None = None
        self._process = context.Process(target=_work, args=(theirs, os.getpid()), daemon=True)
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

    def start(self, task: Task) -> None:
        """Have it do a task.

        Raises:
            OSError: the process is gone.
        """
        self.task = task
        self.line.send(task)

    def stop(self, number: int | None = None) -> None:
        """End the process: after its task where `number` is None, else by this signal, with time to clean up."""
        self.line.close()
        if number is not None and self._process.is_alive() and self.task is not None:
            os.kill(self._process.pid or 0, number)
        self._process.join(_PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _work(line: Connection, parent: int) -> None:
    """Do tasks until the line is closed; the main function of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells all of us; the batch decides
    warnings.simplefilter("ignore")  # of libraries to programmers; what concerns the user is in the record
    logging.getLogger().addHandler(logging.NullHandler())
    while True:
        try:
            task = line.recv()
        except (EOFError, OSError):
            return
        control = Control(on_progress=lambda progress: _stop_without(parent))
        try:
            with stopped_by_signals(control):
                record = do_task(task, control)
            line.send(record)
        except (Interrupted, OSError):
            return


def _stop_without(parent: int) -> None:
    """End where the batch is gone: nobody would hear of the result."""
    if os.getppid() != parent:
        raise Interrupted(signal.SIGTERM)


def do_task(task: Task, control: Control) -> Record:
    """Sharpen a scene and remember how it went; what fails is told by the record.

    Raises:
        Interrupted: as `control` asked; nothing unfinished is left but a record that says "running".
    """
    from clippan_cli.tasks.sharpen import sharpen

    job, started = task.job, time.monotonic()
    before = read_record(job)
    overwrite = job.options.encoding.overwrite or may_replace(job, before)
    options = replace(job.options, encoding=replace(job.options.encoding, overwrite=overwrite))
    try:
        write_record(job, Record(task.key, "running", ours=overwrite))
        result = sharpen(job.scene, options, control)
        record = Record(
            task.key,
            "done",
            ours=True,
            output_sha256=file_sha256(job.options.output),
            seconds=round(time.monotonic() - started, 2),
            quality=dict(result.quality.metrics) if result.quality else None,
        )
        write_record(job, record)
    except Interrupted:
        raise
    except Exception as error:  # one bad scene must not cost the others
        ours = isinstance(error, ClippanError)
        message = str(error) if ours else f"unexpected {type(error).__name__}: {error}"
        record = Record(
            task.key,
            "failed",
            ours=overwrite,
            error=" ".join(message.split()),
            exit_code=error.exit_code if isinstance(error, ClippanError) else 1,
            seconds=round(time.monotonic() - started, 2),
        )
        with suppress(OutputError):  # where no record can be written, that may be what has failed
            write_record(job, record)
    return record
