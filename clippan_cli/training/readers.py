"""Reading the scenes of an archive, in other processes, while this one trains."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import Generic, Protocol, TypeVar

from clippan_cli.running.compute import limited_threads
from clippan_cli.running.control import Control
from clippan_cli.running.pool import ProcessPool, WorkerLost
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.scene import Scene, open_scene
from clippan_models.errors import ClippanError, InputError, ResourceError, in_one_line

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_OPEN_SCENES = 32  # of a process, so that files are not opened anew for each task
_ATTEMPTS = 3  # processes that a task may cost
_TICK = 0.2  # seconds between looks at the request to stop
_GDAL_CACHE_MB = "32"  # of a process: windows are read all over the scenes, hardly any block twice
_NICENESS = 10  # on the CPU, training comes first


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
class Answer(Generic[R]):
    """What a task will have found."""

    find: Callable[[], R]

    def result(self) -> R:
        """The answer; waits for it.

        Raises:
            ClippanError: there is none.
            Interrupted: the control that the task was started with asked to stop.
        """
        return self.find()


class Readers:
    """Processes that share tasks; `with` ends them.

    A process that dies is replaced, and its task tried again, a few times. With no processes, tasks are done where
    their answer is asked for.
    """

    def __init__(self, count: int) -> None:
        self._here = SceneReader()
        # readers write nothing, so that they need no time to clean up
        self._pool = ProcessPool(count, prepare=_prepare, seconds_to_clean_up=0) if count else None

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, *error: object) -> None:
        self._here.close()
        if self._pool is not None:
            self._pool.stop()

    def start(self, task: Task[R], control: Control) -> Answer[R]:
        """Begin a task; `control` may stop it, and the waiting for its answer."""
        if self._pool is None:
            return Answer(lambda: self._here.do(task, control))
        pool = self._pool
        future = pool.submit(_read, task)
        return Answer(lambda: _wait_for(future, task, pool, control))


def _wait_for(future: Future[R], task: Task[R], pool: ProcessPool, control: Control, attempt: int = 1) -> R:
    """The answer of a process, or of the next one where it dies."""
    while not future.done():
        control.check()
        wait([future], _TICK)
    try:
        return future.result()
    except WorkerLost as loss:
        if attempt < _ATTEMPTS:
            return _wait_for(pool.submit(_read, task), task, pool, control, attempt + 1)
        raise InputError(
            f"{task.files.pan}: the process that reads it {loss.how}, {_ATTEMPTS} times; with too little memory, use "
            "fewer --workers, or --workers 0 for none"
        ) from loss


def _prepare() -> None:
    """Make this process one that reads."""
    os.environ.setdefault("GDAL_CACHEMAX", _GDAL_CACHE_MB)
    if hasattr(os, "nice"):
        os.nice(_NICENESS)


def _read(task: Task[R], control: Control) -> R:
    """Do a task in a process of the pool."""
    return _reader_of_this_process().do(task, control)


@cache
def _reader_of_this_process() -> SceneReader:
    return SceneReader()
