"""Scenes of an archive looked at, and windows of them read, by processes of their own while a network learns."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from clippan_cli.tasks.compute import limited_threads, to_tile
from clippan_cli.tasks.control import Control
from clippan_cli.tasks.scene import Scene, SceneOptions, detail_of, estimate_scene, open_scene, sample_tiles
from clippan_cli.tasks.worker import Worker
from clippan_models.adaptation.alignment import AlignmentImages
from clippan_models.adaptation.fusion import Prior, fit_prior
from clippan_models.adaptation.loop import unit_image, unit_pan
from clippan_models.adaptation.patches import WindowPatches, count_reduced, full_patches, window_patches
from clippan_models.adaptation.sharpener import REDUCED_SIDE, scene_moments
from clippan_models.adaptation.teacher import core_image, fit_classical
from clippan_models.contracts import Observation, Sharpener, Tile, Window
from clippan_models.errors import ClippanError, Interrupted, ResourceError
from clippan_models.ops.views import TileViews, fit_halo

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_OPEN_SCENES = 32  # of a process, so that files are not opened anew for each window
_PATIENCE = 0.2  # seconds until a request to stop is heard
_TRIES = 3  # processes that a task may cost
_STAGE1_METHOD = "bdsd-pc"  # stands for the good image in stage I
_GDAL_CACHE_MB = "32"  # of a process: windows are read all over the scenes, hardly any block twice
_POLITENESS = 10  # on the CPU, learning comes before reading ahead


class Task(Protocol[R_co]):
    """Something to find out about a scene."""

    @property
    def scene(self) -> SceneOptions:
        """Its files."""

    def of(self, scene: Scene) -> R_co:
        """The answer."""


@dataclass(frozen=True)
class Survey:
    """What must be known of a scene before anything is learned from it.

    Attributes:
        observation: the model of the scene.
        prior: of the scene.
        windows: cores that stand for the scene, on the PAN grid.
        detail: of each, see `detail_of`.
        reduced: how many patches with a truth each has room for.
        method: a classical teacher fitted to the scene, or None.
        images: what stage I sees of the scene, or None.
    """

    observation: Observation
    prior: Prior
    windows: tuple[Window, ...]
    detail: tuple[float, ...]
    reduced: tuple[int, ...]
    method: Sharpener | None
    images: AlignmentImages | None


@dataclass(frozen=True)
class SurveyScene:
    """The task to survey a scene.

    Attributes:
        scene: its files.
        core: side of its windows.
        windows: at most so many.
        teacher: a classical one, or None.
        images: for stage I; 0: none.
    """

    scene: SceneOptions
    core: int
    windows: int
    teacher: str | None
    images: int

    def of(self, scene: Scene) -> Survey:
        """The survey."""
        control = Control()
        estimate = estimate_scene(scene, control)
        observation = estimate.observation
        arrays = sample_tiles(scene, self.core, self.windows, fit_halo(observation), control)
        tiles = tuple(to_tile(a, torch.device("cpu")) for a in arrays)
        prior = fit_prior(scene_moments(tiles, observation, estimate.ceilings), observation, *estimate.ceilings)
        return Survey(
            observation=observation,
            prior=prior,
            windows=tuple(tile.core for tile in tiles),
            detail=tuple(detail_of(a) for a in arrays),
            reduced=tuple(count_reduced(tile, observation, REDUCED_SIDE) for tile in tiles),
            method=self._fitted(self.teacher, tiles, observation) if self.teacher else None,
            images=self._alignment_images(tiles, observation, prior) if self.images else None,
        )

    def _fitted(self, method: str, tiles: tuple[Tile, ...], observation: Observation) -> Sharpener:
        return fit_classical(method, (TileViews(tile, observation) for tile in tiles))

    def _alignment_images(self, tiles: tuple[Tile, ...], observation: Observation, prior: Prior) -> AlignmentImages:
        """A few patches in the three types of stage I."""
        sharp = self._fitted(_STAGE1_METHOD, tiles, observation)
        places = torch.linspace(0, len(tiles) - 1, min(self.images, len(tiles))).round().long().tolist()
        chosen = [tiles[place] for place in places]
        full = full_patches(chosen, observation)
        hrms: Tensor = torch.stack([core_image(sharp, TileViews(tile, observation)) for tile in chosen])
        return AlignmentImages(
            ms_up=unit_image(prior, full.ms_up), pan=unit_pan(prior, full.pan), hrms=unit_image(prior, hrms)
        )


@dataclass(frozen=True)
class ReadWindow:
    """The task to read a window of a scene as patches.

    Attributes:
        scene: its files.
        core: the window on the PAN grid.
        observation: the model of the scene.
        method: a classical teacher fitted to the scene, or None.
    """

    scene: SceneOptions
    core: Window
    observation: Observation
    method: Sharpener | None

    def of(self, scene: Scene) -> WindowPatches:
        """The patches, with the teacher's image."""
        tile = to_tile(scene.reader.read(self.core, fit_halo(self.observation)), torch.device("cpu"))
        patches = window_patches(tile, self.observation, REDUCED_SIDE)
        if self.method is None:
            return patches
        image = core_image(self.method, TileViews(tile, self.observation))
        return replace(patches, full=replace(patches.full, teacher=image[None]))


class SceneReader:
    """Does tasks, and keeps the files of scenes open for the next ones."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._open: dict[SceneOptions, Scene] = {}

    def do(self, task: Task[R]) -> R:
        """The answer to a task.

        Raises:
            ClippanError: the scene cannot be read.
        """
        if task.scene not in self._open:
            if len(self._open) >= _OPEN_SCENES:
                self.close()
            self._open[task.scene] = open_scene(task.scene, Control(), self._stack)
        with limited_threads(1):  # the pieces are small, and other processes are at work
            return task.of(self._open[task.scene])

    def close(self) -> None:
        """Close all files, the last first, as GDAL's settings of each were put on those of the one before."""
        self._open.clear()
        self._stack.close()


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
            return self._reader.do(task)
        except Interrupted:
            raise
        except ClippanError as error:
            return _Failure(error)
        except Exception as error:
            reason = " ".join(str(error).split())
            return _Failure(ClippanError(f"{task.scene.pan}: unexpected {type(error).__name__}: {reason}"))


@dataclass(frozen=True)
class _Later(Generic[R]):
    """An answer that is found when it is asked for."""

    find: Callable[[], R]

    def result(self) -> R:
        return self.find()


Answer = Future[R] | _Later[R]
"""What a task will have found."""


def wait_for(answer: Answer[R], control: Control) -> R:
    """What a task has found; a request to stop is heard meanwhile.

    Raises:
        ClippanError: there was an error instead.
        Interrupted: as `control` asked.
    """
    while isinstance(answer, Future) and not answer.done():
        control.check()
        wait([answer], _PATIENCE)
    return answer.result()


class Readers:
    """Processes that share tasks; `with` ends them.

    A process that dies costs a retry of its task, and several of them the run: too little memory kills one after
    another. With no processes, tasks are done where their answer is asked for.
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

    def start(self, task: Task[R]) -> Answer[R]:
        """Begin a task; `result` waits for the answer, and raises the ClippanError that there was instead."""
        if not self._count:
            return _Later(lambda: self._here.do(task))
        return self._pool.submit(self._do, task)

    def _do(self, task: Task[R]) -> R:
        """Have a process do a task, and wait for it; the work of a thread."""
        how = ""
        for _ in range(_TRIES):
            worker = self._worker()
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
        raise ResourceError(
            f"{task.scene.pan}: the process that reads it {how}, {_TRIES} times; was it the memory? "
            "fewer --workers need less, and --workers 0 does without them"
        )

    def _worker(self) -> Worker[Any, Any]:
        """One that is idle, or a new one."""
        with suppress(queue.Empty):
            return self._idle.get_nowait()
        with self._lock:
            if self._closing:
                raise ResourceError("nothing is read any more")
            worker: Worker[Any, Any] = Worker(_InProcess())
            self._all.append(worker)
            return worker

    def _buried(self, worker: Worker[Any, Any]) -> str:
        """How a process has ended."""
        with self._lock:
            if worker in self._all:
                self._all.remove(worker)
        worker.line.close()
        return worker.ended_by
