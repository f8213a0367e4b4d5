"""Workers that share the scenes of a batch: processes of this machine, or whatever else does the same."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from typing import Protocol

from clippan_cli.batch.record import Record
from clippan_cli.batch.worker import Task, do_task
from clippan_cli.running.worker import Worker
from clippan_cli.sharpening.options import SharpenOptions


@dataclass(frozen=True)
class Lost:
    """A worker is gone, and what it was doing with it.

    Attributes:
        how: it went, after "its worker".
    """

    how: str


class Crew(Protocol):
    """Workers, each of which sharpens one scene at a time."""

    def equip(self, sharpening: SharpenOptions) -> SharpenOptions:
        """Prepare for scenes that go into one folder, which exists.

        Returns:
            The same with what a worker computes with, where that is not given.

        Raises:
            ResourceError: the workers cannot do this.
        """

    @property
    def free(self) -> int:
        """How many tasks could be started now."""

    @property
    def busy(self) -> bool:
        """A task is being done."""

    def start(self, task: Task) -> None:
        """Have a free worker do a task."""

    def ended(self, seconds: float) -> list[tuple[Task, Record | Lost]]:
        """The tasks that have come to an end; waits for one as long as this, and may return sooner with none.

        Raises:
            ResourceError: there are no workers any more.
        """

    def dismiss(self, number: int | None) -> None:
        """Let all go: they are idle where `number` is None, else they break off as by this signal."""


class LocalCrew:
    """Processes of this machine, started when there is work for them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._workers: list[Worker[Task, Record]] = []

    def equip(self, sharpening: SharpenOptions) -> SharpenOptions:
        """Part the CPUs."""
        return replace(sharpening, compute=sharpening.compute.shared_by(self._size))

    @property
    def free(self) -> int:
        """How many tasks could be started now."""
        return self._size - sum(worker.task is not None for worker in self._workers)

    @property
    def busy(self) -> bool:
        """A task is being done."""
        return any(worker.task for worker in self._workers)

    def start(self, task: Task) -> None:
        """Have an idle worker do a task, or a new one."""
        worker = next((worker for worker in self._workers if worker.task is None), None)
        if worker is None:
            worker = Worker(do_task)
            self._workers.append(worker)
        with suppress(OSError):  # it has died; `ended` finds out
            worker.start(task)

    def ended(self, seconds: float) -> list[tuple[Task, Record | Lost]]:
        """The tasks that have come to an end."""
        every = [end for worker in self._workers for end in (worker.line, worker.sentinel)]
        ready = wait(every, seconds)
        heard = [worker for worker in self._workers if worker.line in ready or worker.sentinel in ready]
        tasks = [worker.task for worker in heard]
        outcomes = [self._outcome(worker) for worker in heard]
        return [(task, outcome) for task, outcome in zip(tasks, outcomes, strict=True) if task is not None]

    def _outcome(self, worker: Worker[Task, Record]) -> Record | Lost:
        """What a worker has sent; one that has sent nothing and yet can be read has died."""
        try:
            # a worker may send its result and end: what it sent counts
            if worker.line.poll():
                return worker.answer()
        except (EOFError, OSError):
            pass
        self._workers.remove(worker)
        worker.line.close()
        return Lost(worker.ended_by)

    def dismiss(self, number: int | None) -> None:
        """Let all go."""
        for worker in self._workers:
            worker.stop(number)
