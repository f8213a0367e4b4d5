"""Sharpen many scenes: each on its own, each only once, and a scene that fails costs no other."""

from __future__ import annotations

import signal
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from clippan_cli.batch.cluster import ClusterCrew
from clippan_cli.batch.crew import Crew, LocalCrew, Lost
from clippan_cli.batch.record import Job, Record, is_finished, key_of, may_replace, read_record, write_record
from clippan_cli.batch.worker import Task
from clippan_cli.running.compute import choose_device
from clippan_cli.running.control import Control, Progress
from clippan_cli.running.options import ComputeOptions
from clippan_cli.scene.files import PairTable, ReadOptions, SceneFiles
from clippan_cli.sharpening.options import SharpenOptions
from clippan_models.errors import BatchError, Interrupted, OutputError, ResourceError, UsageError, shown
from clippan_models.methods.registry import find_method
from clippan_models.sensors import load_sensor

SCHEMA = "clippan.batch/1"
"""Name and version of the JSON."""

_ATTEMPTS = 2  # of a scene whose worker dies
_TICK = 0.2  # seconds between looks at the request to stop

Outcome = Literal["done", "unchanged", "failed", "failed before"]


@dataclass(frozen=True)
class BatchOptions:
    """How to run.

    Attributes:
        folder: where the outputs go.
        workers: processes at once on this machine.
        scheduler: address of a Dask scheduler, whose workers do it instead, or None.
        shard: (i, n), counted from 1: only every n-th scene, beginning with the i-th; the n runs are for n machines.
        retry_failed: try again what failed by the same inputs and parameters.
    """

    folder: Path
    workers: int = 1
    scheduler: str | None = None
    shard: tuple[int, int] = (1, 1)
    retry_failed: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= 256:
            raise UsageError(f"--workers {self.workers}: 1 to 256")
        number, count = self.shard
        if not 1 <= number <= count:
            raise UsageError(f"--shard {number}/{count}: i/n with i of 1 to n")


@dataclass(frozen=True)
class SceneResult:
    """What came of a scene."""

    pair: SceneFiles
    output: Path
    outcome: Outcome
    record: Record

    @property
    def failed(self) -> bool:
        """There is no result of these inputs and parameters."""
        return self.outcome in ("failed", "failed before")

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "id": self.pair.id,
            "ms": list(self.pair.ms),
            "pan": self.pair.pan,
            "output": None if self.failed else str(self.output),
            "outcome": self.outcome,
            "error": self.record.error or None,
            "exit_code": self.record.exit_code,
            "seconds": self.record.seconds,
            "quality": self.record.quality,
        }


@dataclass(frozen=True)
class BatchResult:
    """What came of all scenes."""

    scenes: tuple[SceneResult, ...]
    table: PairTable
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> tuple[SceneResult, ...]:
        """The scenes without a result."""
        return tuple(scene for scene in self.scenes if scene.failed)

    def as_json(self) -> dict[str, Any]:
        """Plain data with everything a human is shown."""
        return {
            "schema": SCHEMA,
            "scenes": [scene.as_json() for scene in self.scenes],
            "left_out": self.table.as_json()["left_out"],
            "failed": len(self.failed),
        }

    def check(self) -> None:
        """Say that scenes failed, once everything else is done.

        Raises:
            BatchError: some did.
        """
        if self.failed:
            first = self.failed[0]
            raise BatchError(
                f"{len(self.failed)} of {len(self.scenes)} scenes failed, first {first.pair.id}: {first.record.error}"
            )


def in_shard(pairs: Sequence[SceneFiles], shard: tuple[int, int]) -> tuple[SceneFiles, ...]:
    """The pairs of one of several machines; all machines together have each pair once."""
    number, count = shard
    return tuple(sorted(pairs, key=lambda pair: pair.id)[number - 1 :: count])


def run_batch(
    table: PairTable, read: ReadOptions, sharpening: SharpenOptions, options: BatchOptions, control: Control
) -> BatchResult:
    """Sharpen the pairs of a table into a folder.

    Args:
        table: the pairs.
        read: how to read them.
        sharpening: what to make of them; its output is not used.
        options: how to run.
        control: progress, notes and the request to stop.

    Raises:
        UsageError: an option that would fail for every scene: the method, the sensor, the device.
        ResourceError: a device or a cluster that is not there, or no more.
        OutputError: the folder cannot be made.
        Interrupted: a signal asked to stop; finished scenes are complete and remembered.
    """
    find_method(sharpening.method)
    if read.sensor != "auto":
        load_sensor(read.sensor)
    with _on_duty(_crew(options, sharpening.compute, control.on_note)) as crew:
        try:
            options.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{shown(options.folder)} cannot be made: {error.strerror or error}") from error
        equipped = crew.equip(sharpening)
        return _run(table, read, equipped, options, crew, control)


def _crew(options: BatchOptions, compute: ComputeOptions, on_note: Callable[[str], None]) -> Crew:
    if options.scheduler is not None:
        return ClusterCrew(options.scheduler, on_note)
    choose_device(compute.device)
    return LocalCrew(options.workers)


@contextmanager
def _on_duty(crew: Crew) -> Iterator[Crew]:
    """A crew that is dismissed at the end; at once where we are told to stop."""
    try:
        yield crew
    except BaseException as error:
        number = error.signal_number if isinstance(error, Interrupted) else signal.SIGTERM
        crew.dismiss(signal.SIGTERM if number == signal.SIGINT else number)  # workers do not hear a terminal
        raise
    crew.dismiss(None)


def _run(
    table: PairTable,
    read: ReadOptions,
    sharpening: SharpenOptions,
    options: BatchOptions,
    crew: Crew,
    control: Control,
) -> BatchResult:
    """Have the crew make what is not there yet."""
    pairs = in_shard(table.pairs, options.shard)
    results: dict[str, SceneResult] = {}
    tasks: deque[Task] = deque()
    for number, pair in enumerate(pairs, start=1):
        control.report(Progress("compare", number, len(pairs)))
        job = _job(pair, read, sharpening, options.folder)
        key, record = key_of(job), read_record(job)
        if is_finished(job, record, key) and record is not None:
            results[pair.id] = SceneResult(pair, job.options.output, "unchanged", record)
        elif record is not None and _failed_for_good(record, key) and not options.retry_failed:
            results[pair.id] = SceneResult(pair, job.options.output, "failed before", record)
        else:
            tasks.append(Task(job, key))
    by_id = {pair.id: pair for pair in pairs}

    def finished(task: Task, record: Record) -> None:
        outcome: Outcome = "done" if record.status == "done" else "failed"
        results[task.job.files.id] = SceneResult(by_id[task.job.files.id], task.job.options.output, outcome, record)
        if record.error:
            control.on_note(f"{task.job.files.id}: {record.error}")

    with control.timed("sharpen"):
        _Foreman(tasks, crew, control, finished).run()
    return BatchResult(tuple(results[pair.id] for pair in pairs), table, dict(control.seconds))


def _failed_for_good(record: Record, key: str) -> bool:
    """The same would fail again; a full disk, or a file in the way, may be gone."""
    return record.status == "failed" and record.key == key and record.exit_code != OutputError.exit_code


def _job(pair: SceneFiles, read: ReadOptions, sharpening: SharpenOptions, folder: Path) -> Job:
    output = folder / f"{pair.id}.tif"
    return Job(pair, read, replace(sharpening, output=output))


class _Foreman:
    """Gives tasks to a crew, and counts what comes of them."""

    def __init__(
        self, tasks: deque[Task], crew: Crew, control: Control, finished: Callable[[Task, Record], None]
    ) -> None:
        self.tasks = tasks
        self.crew = crew
        self.control = control
        self.finished = finished
        self.total, self.done = len(tasks), 0
        self.losses: Counter[str] = Counter()

    def run(self) -> None:
        try:
            while self.tasks or self.crew.busy:
                self.control.check()
                while self.tasks and self.crew.free:
                    self.crew.start(self.tasks.popleft())
                for task, outcome in self.crew.ended(_TICK):
                    if isinstance(outcome, Lost):
                        self._lost(task, outcome)
                    else:
                        self._count(task, outcome)
        except (Interrupted, ResourceError) as error:
            left = f"{self.done} of {self.total} scenes were sharpened; the same command goes on"
            if isinstance(error, Interrupted):
                raise Interrupted(error.signal_number, left) from error
            raise ResourceError(f"{error}; {left}") from error

    def _lost(self, task: Task, loss: Lost) -> None:
        """The worker is gone: its scene gets one more chance."""
        name = task.job.files.id
        self.losses[name] += 1
        if self.losses[name] < _ATTEMPTS:
            self.control.on_note(f"{name}: its worker {loss.how}; it is tried again")
            self.tasks.append(task)
            return
        message = f"its worker {loss.how}, {self.losses[name]} times; is there enough memory?"
        record = Record(
            task.key, "failed", ours=may_replace(task.job, read_record(task.job)), error=message, exit_code=6
        )
        write_record(task.job, record)
        self._count(task, record)

    def _count(self, task: Task, record: Record) -> None:
        self.done += 1
        self.finished(task, record)
        self.control.report(Progress("sharpen", self.done, self.total, note=task.job.files.id))
