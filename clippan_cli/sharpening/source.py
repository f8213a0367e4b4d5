"""A scene in files, as a method reads it while it fits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from clippan_cli.rasters.tiles import TileArrays, plan_tiles
from clippan_cli.running.control import Control, Progress
from clippan_cli.scene.estimation import TRAINING_WINDOWS, Estimate, core_valid, sample_tiles
from clippan_cli.scene.limits import Outliers
from clippan_cli.scene.scene import Scene
from clippan_cli.scene.tensors import to_tile
from clippan_models.contracts import Observation, Tile, Window
from clippan_models.pipeline import prefetch

_STATISTICS_CELL = 512
_STATISTICS_PIXELS = 16_000_000  # valid PAN pixels that the statistics of a scene are taken from, at most


@dataclass(frozen=True)
class FileSource:
    """An open scene (`clippan_models.methods.method.SceneSource`).

    Attributes:
        scene: the scene.
        estimate: how it was made.
        device: where to compute.
        control: progress and the request to stop.
    """

    scene: Scene
    estimate: Estimate
    device: torch.device
    control: Control

    @property
    def observation(self) -> Observation:
        """The model of the scene."""
        return self.estimate.observation

    @property
    def saturation(self) -> tuple[float, float]:
        """DN from which (MS, PAN) are saturated."""
        return self.estimate.limits.saturation

    @property
    def learned(self) -> Scene:
        """The scene without the values that nothing is learned from."""
        return self.scene.within(self.estimate.limits)

    @contextmanager
    def tiles(self, halo: int) -> Iterator[Iterator[Tile]]:
        """All of a scene, or of a large one cells from everywhere, the same whatever the tiles.

        Means and covariances of 16 million pixels are known far better than the methods are true: more only cost time.
        """
        cells, reader = self._cells(), self.learned.reader
        with prefetch(lambda cell: reader.read(cell, halo), cells) as tiles:
            yield self._until_enough(tiles, len(cells))

    def training_tiles(self, core: int, halo: int) -> list[Tile]:
        """Windows that stand for the scene, on the CPU."""
        arrays = sample_tiles(self.learned, core, TRAINING_WINDOWS, halo, self.control)
        outliers = Outliers(self.scene.pair)
        for one in arrays:
            outliers.add(one)
        self._tell_of(outliers)
        return [to_tile(one, torch.device("cpu")) for one in arrays]

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Record the wall time of a part of the fit."""
        return self.control.timed(name)

    def report(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Tell how far a stage is.

        Raises:
            Interrupted: a signal has asked to stop.
        """
        self.control.report(Progress(stage, done, total, note=note, unit="steps"))

    def _cells(self) -> list[Window]:
        cells = plan_tiles(self.scene.window, _STATISTICS_CELL)
        if self.scene.window.pixels <= _STATISTICS_PIXELS:
            return cells
        order = np.random.default_rng(self.scene.options.seed).permutation(len(cells))
        return [cells[int(i)] for i in order]

    def _until_enough(self, tiles: Iterator[TileArrays], total: int) -> Iterator[Tile]:
        seen, outliers = 0, Outliers(self.scene.pair)
        for number, arrays in enumerate(tiles, start=1):
            outliers.add(arrays)
            yield to_tile(arrays, self.device)
            seen += int(core_valid(arrays).sum())
            self.control.report(Progress("statistics", number, total, seen, unit="cells"))
            if seen >= _STATISTICS_PIXELS:
                break
        self._tell_of(outliers)

    def _tell_of(self, outliers: Outliers) -> None:
        """Warn of outliers that the windows of the estimate did not show."""
        self.control.warn(*outliers.doubts(self.estimate.limits, self.estimate.outliers))
