"""Processes that answer what is asked of scenes, while the one that asks does something else."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from clippan_cli.running.compute import limited_threads
from clippan_cli.running.control import Control
from clippan_cli.running.worker import Worker
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.scene import Scene, open_scene
from clippan_models.errors import ClippanError, InputError, Interrupted, ResourceError, in_one_line

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_OPEN_SCENES = 32  # of a process, so that files are not opened anew for each task
_TRIES = 3  # processes that a task may cost
_PATIENCE = 0.2  # seconds until a request to stop is heard
_GDAL_CACHE_MB = "32"  # of a process: windows are read all over the scenes, hardly any block twice
_POLITENESS = 10  # on the CPU, the one that asks comes first


class Task(Protocol[R_co]):
    """Something to find out about a scene."""

    @property
    def files(self) -> SceneFiles:
        """The files of the scene."""

    @property
    def read(self) -> ReadOptions:
        """How to read them."""

    def of(self, scene: Scene, control: Control) -> R_co:
        """The answer."""


class SceneReader:
    """Does tasks, and keeps the files of scenes open for the next ones."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._open: dict[tuple[SceneFiles, ReadOptions], Scene] = {}

    def do(self, task: Task[R], control: Control) -> R:
        """The answer to a task.

        Raises:
            ClippanError: there is none, whatever the reason.
        """
        try:
            with limited_threads(1):  # the pieces are small, and other processes are at work
                return task.of(self._scene(task.files, task.read, control), control)
        except ClippanError:
            raise
        except MemoryError as error:
            raise ResourceError(f"{task.files.pan}: too little memory to read it") from error
        except Exception as error:  # one strange file must not cost the others
            raise InputError(f"{task.files.pan}: unexpected {type(error).__name__}: {in_one_line(error)}") from error

    def close(self) -> None:
        """Close all files, the last first, as GDAL's settings of each were put on those of the one before."""
        self._open.clear()
        self._stack.close()

    def _scene(self, files: SceneFiles, read: ReadOptions, control: Control) -> Scene:
        key = files, read
        if key not in self._open:
            if len(self._open) >= _OPEN_SCENES:
                self.close()
            with ExitStack() as opening:
                scene = open_scene(files, read, Control(stop_signal=control.stop_signal), opening)
                self._stack.enter_context(opening.pop_all())
            self._open[key] = scene
        return self._open[key]


@dataclass(frozen=True)
class _Failure:
    error: ClippanError


class _InProcess:
    """A `SceneReader` in a process of its own, which is made there."""

    def __init__(self) -> None:
        self._reader: SceneReader | None = None

    def __call__(self, task: Task[Any], control: Control) -> Any:
        if self._reader is None:
            os.environ.setdefault("GDAL_CACHEMAX", _GDAL_CACHE_MB)
            if hasattr(os, "nice"):
                os.nice(_POLITENESS)
            self._reader = SceneReader()
        try:
            return self._reader.do(task, control)
        except Interrupted:
            raise
        except ClippanError as error:
            return _Failure(error)


@dataclass(frozen=True)
class _Later(Generic[R]):
    """An answer that is found when it is asked for."""

    find: Callable[[], R]

    def result(self) -> R:
        return self.find()


@dataclass(frozen=True)
class _Sooner(Generic[R]):
    """An answer that a thread waits for; who asks for it hears a request to stop meanwhile."""

    future: Future[R]
    control: Control

    def result(self) -> R:
        while not self.future.done():
            self.control.check()
            wait([self.future], _PATIENCE)
        return self.future.result()


class Answer(Protocol[R_co]):
    """What a task will have found."""

    def result(self) -> R_co:
        """The answer; waits for it.

        Raises:
            ClippanError: there is none.
            Interrupted: the control that the task was started with asked to stop.
        """


class Readers:
    """Processes that share tasks; `with` ends them.

    A process that dies is replaced, and its task tried again, a few times. With no processes, tasks are done where
    their answer is asked for.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._here = SceneReader()
        self._idle: queue.SimpleQueue[Worker[Any, Any]] = queue.SimpleQueue()
        self._all: list[Worker[Any, Any]] = []
        self._pool = ThreadPoolExecutor(max(1, count), thread_name_prefix="clippan-reader")
        self._lock = threading.Lock()
        self._closing = False

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, *error: object) -> None:
        self._here.close()
        with self._lock:
            self._closing = True
            for worker in self._all:
                worker.kill()
        self._pool.shutdown(cancel_futures=True)

    def start(self, task: Task[R], control: Control) -> Answer[R]:
        """Begin a task; `control` may stop it, and the waiting for its answer."""
        if not self._count:
            return _Later(lambda: self._here.do(task, control))
        return _Sooner(self._pool.submit(self._do, task), control)

    def _do(self, task: Task[R]) -> R:
        """Have a process do a task, and wait for it; the work of a thread."""
        how = ""
        for _ in range(_TRIES):
            worker = self._worker(task)
            try:
                worker.start(task)
                answer = worker.answer()
            except (EOFError, OSError):
                how = self._buried(worker)
                continue
            self._idle.put(worker)
            if isinstance(answer, _Failure):
                raise answer.error
            result: R = answer
            return result
        raise InputError(
            f"{task.files.pan}: the process that reads it {how}, {_TRIES} times; with too little memory, use fewer "
            "--workers, or --workers 0 for none"
        )

    def _worker(self, task: Task[Any]) -> Worker[Any, Any]:
        """One that is idle, or a new one."""
        with suppress(queue.Empty):
            return self._idle.get_nowait()
        with self._lock:
            if self._closing:
                raise ResourceError("nothing is read any more")
            try:
                worker: Worker[Any, Any] = Worker(_InProcess())
            except OSError as error:
                raise ResourceError(
                    f"{task.files.pan}: no process can be started to read it: {error.strerror or error}; "
                    "use fewer --workers, or --workers 0 for none"
                ) from error
            self._all.append(worker)
            return worker

    def _buried(self, worker: Worker[Any, Any]) -> str:
        """How a process has ended."""
        with self._lock:
            if worker in self._all:
                self._all.remove(worker)
        worker.line.close()
        return worker.ended_by
