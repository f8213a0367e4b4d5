"""How good new weights are on scenes held back: sharpened without further steps, beside other methods, and measured.

Everything is what `sharpen` and `assess` do with the same files: at full resolution without a reference, and by Wald's
protocol against MS.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine

from clippan_cli.quality.measure import assess_image
from clippan_cli.quality.options import AssessOptions
from clippan_cli.quality.result import MethodScores
from clippan_cli.quality.wald import degrade, score_degraded, write_image
from clippan_cli.rasters.options import PairOptions
from clippan_cli.running.compute import limited_threads, release_memory
from clippan_cli.running.control import Control, Progress
from clippan_cli.scene.files import LeftOut, ReadOptions, SceneFiles
from clippan_cli.scene.scene import Estimate, Scene, detail_of, estimate_scene, open_scene, sample_tiles
from clippan_cli.sharpening.engine import sharpen_files
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.training.members import Member
from clippan_cli.training.options import ValidationOptions
from clippan_cli.weights.cards import write_weights
from clippan_models.adaptation.options import NO_TEACHER
from clippan_models.contracts import Window
from clippan_models.errors import InputError, Interrupted, in_one_line
from clippan_models.methods.options import DEFAULT_METHOD
from clippan_models.metrics.catalogue import best_of
from clippan_models.store.checkpoint import Checkpoint, load_checkpoint

FULL = ("QNR", "HQNR", "D_rho")
"""Indices at full resolution, without a reference."""

REDUCED = ("ERGAS", "SAM", "Q2n")
"""Indices of Wald's protocol."""

ALL = (*FULL, *REDUCED)

LEARNED, BEFORE, SCRATCH = "learned", "before", "scratch"
CLASSICAL = ("exp", "gsa", "mtf-glp-hpm-r", "bdsd-pc")

_LOOKED_AT = 4  # windows with the most detail, of three times as many looked at, to choose the part from


@dataclass(frozen=True)
class SceneScores:
    """All methods on one scene.

    Attributes:
        name: of the scene.
        part: the PAN pixels that were measured; None: all of it.
        scores: the indices of `ALL` of each method, always in one order.
    """

    name: str
    part: Window | None
    scores: tuple[MethodScores, ...]


@dataclass(frozen=True)
class Validation:
    """All methods on all scenes that were measured.

    Attributes:
        scenes: one each.
        held_back: how many scenes were held back.
        unseen: nothing was learned from them; False where there is but one scene.
        scratch_steps: of the method `SCRATCH`; 0 where it was not asked for.
        left_out: scenes that could not be measured, and why.
    """

    scenes: tuple[SceneScores, ...]
    held_back: int
    unseen: bool
    scratch_steps: int = 0
    left_out: tuple[LeftOut, ...] = ()

    @property
    def mean(self) -> tuple[MethodScores, ...]:
        """The mean of each index over the scenes where every method has it."""
        if not self.scenes:
            return ()
        found: list[dict[str, float]] = [{} for _ in self.scenes[0].scores]
        for index in ALL:
            rows = [[one.metrics[index] for one in scene.scores] for scene in self.scenes]
            known = [row for row in rows if all(map(math.isfinite, row))]
            for place, metrics in enumerate(found):
                metrics[index] = statistics.fmean(row[place] for row in known) if known else math.nan
        methods = (one.method for one in self.scenes[0].scores)
        return tuple(MethodScores(method, metrics) for method, metrics in zip(methods, found, strict=True))

    @property
    def best(self) -> dict[str, str]:
        """By index, the method with the best mean."""
        return best_methods(self.mean)

    @property
    def measured(self) -> str:
        """On what, in words."""
        if not self.scenes:
            return "nothing could be measured"
        if not self.unseen:
            what = "the only scene, which was learned from"
        elif len(self.scenes) == self.held_back:
            what = f"all {self.held_back} scenes held back" if self.held_back > 1 else "the scene held back"
        else:
            what = f"{len(self.scenes)} of {self.held_back} scenes held back"
        parts = [scene.part for scene in self.scenes if scene.part is not None]
        if not parts:
            return what
        size = max(max(part.height, part.width) for part in parts)
        cut = "only" if len(parts) == len(self.scenes) else f"of {len(parts)} of them only"
        return f"{what}, {cut} a part with much detail, at most {size} PAN pixels a side"

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "measured": self.measured,
            "held_back": self.held_back,
            "unseen": self.unseen,
            "scratch_steps": self.scratch_steps,
            "scenes": [{**asdict(scene), "best": best_methods(scene.scores)} for scene in self.scenes],
            "mean": [asdict(one) for one in self.mean],
            "best": self.best,
            "left_out": [asdict(item) for item in self.left_out],
        }

    def for_card(self) -> dict[str, dict[str, float]]:
        """The means before and after learning, as a model card keeps them."""
        named = {one.method: one.metrics for one in self.mean}
        return {f"quality {when}": named[m] for when, m in (("before", BEFORE), ("after", LEARNED)) if m in named}


def best_methods(scores: Sequence[MethodScores]) -> dict[str, str]:
    """By index, the method with the best value on a scene."""
    found = {}
    for index in ALL:
        best = best_of(index, [one.metrics[index] for one in scores])
        if best is not None:
            found[index] = scores[best].method
    return found


def validate(
    held: Sequence[Member],
    learned: Checkpoint,
    base: SharpenOptions,
    options: ValidationOptions,
    control: Control,
    *,
    unseen: bool,
) -> Validation:
    """Measure new weights on scenes.

    Args:
        held: the scenes held back.
        learned: the weights.
        base: how the network learned, and what it began with; its output and method are not used.
        options: how much to measure.
        control: progress and the request to stop.
        unseen: nothing was learned from these scenes.

    Raises:
        Interrupted: a signal asked to stop.
    """
    release_memory()  # of the training
    count = min(len(held), options.scenes)
    chosen = [held[int(i)] for i in np.linspace(0, len(held) - 1, count).round()]
    scenes: list[SceneScores] = []
    left_out: list[LeftOut] = []
    with (
        control.timed("validate"),
        limited_threads(base.compute.thread_count),
        tempfile.TemporaryDirectory(prefix="clippan-validation-") as name,
    ):
        candidates = _candidates(learned, base, Path(name), options.scratch_steps)
        for number, member in enumerate(chosen):
            begun = number * len(candidates)
            try:
                scenes.append(_measure(member, candidates, options.side, begun, count * len(candidates), control))
            except Interrupted:
                raise
            except Exception as error:  # one scene, or too little memory for a method, must not cost the others
                left_out.append(LeftOut(member.files.id, in_one_line(error)))
                control.on_note(f"{member.files.id} is not measured: {left_out[-1].reason}")
    return Validation(tuple(scenes), len(held), unseen, options.scratch_steps, tuple(left_out))


def _candidates(
    learned: Checkpoint, base: SharpenOptions, folder: Path, scratch_steps: int
) -> dict[str, SharpenOptions]:
    """The methods by name."""
    start = (
        None if base.weights is None else _without_card(load_checkpoint(base.weights), folder / "before.safetensors")
    )
    still = replace(base, method="network", adapt=replace(base.adapt, steps=0, teacher=NO_TEACHER), weights=start)
    found = {
        LEARNED: replace(still, weights=_without_card(learned, folder / "learned.safetensors")),
        BEFORE: still,
        **{method: replace(base, method=method, weights=None) for method in CLASSICAL},
    }
    if scratch_steps:
        adapt = replace(base.adapt, steps=scratch_steps, time_limit=None)
        found[SCRATCH] = replace(base, method=DEFAULT_METHOD, adapt=adapt, weights=None)
    return found


def _without_card(checkpoint: Checkpoint, path: Path) -> Path:
    """Weights that fit the degraded pair too, whose values are no integers: a card would refuse it."""
    write_weights(replace(checkpoint, card=None), path)
    return path


def _measure(
    member: Member, candidates: dict[str, SharpenOptions], side: int, begun: int, total: int, control: Control
) -> SceneScores:
    """All methods on one scene, or on a part of it."""
    with tempfile.TemporaryDirectory(prefix="clippan-validation-") as name, ExitStack() as stack:
        part_folder, reduced_folder = Path(name) / "part", Path(name) / "reduced"
        part_folder.mkdir()
        reduced_folder.mkdir()
        quiet = _told(control, Progress("validate", begun, total, note=member.files.id))
        scene = open_scene(member.files, member.read, quiet, stack)
        part = _densest_part(scene, side, quiet)
        if part is not None:
            cut, read, part = _cut(scene, part, part_folder, quiet)
            scene = open_scene(cut, read, quiet, stack)
        reduced = open_scene(*degrade(scene, reduced_folder, quiet), quiet, stack)
        # the same for all methods, and what takes longest with most of them
        full_size, reduced_size = ((each, estimate_scene(each, quiet)) for each in (scene, reduced))
        scores = []
        for number, (method, sharpening) in enumerate(candidates.items(), start=begun):
            quiet = _told(control, Progress("validate", number, total, note=f"{member.files.id}, {method}"))
            metrics = _score(full_size, reduced_size, sharpening, Path(name), method, quiet)
            scores.append(MethodScores(method, metrics))
            control.report(Progress("validate", number + 1, total, note=member.files.id))
    return SceneScores(member.files.id, part, tuple(scores))


def _told(control: Control, progress: Progress) -> Control:
    """For the work within a step: it can be stopped, and says of itself only that it goes on."""
    return Control(on_progress=lambda inner: control.report(progress))


def _score(
    full_size: tuple[Scene, Estimate],
    reduced_size: tuple[Scene, Estimate],
    sharpening: SharpenOptions,
    folder: Path,
    method: str,
    control: Control,
) -> dict[str, float]:
    (scene, estimate), (degraded, degraded_estimate) = full_size, reduced_size
    options = AssessOptions(compute=sharpening.compute)
    full, reduced = (replace(sharpening, output=folder / f"{method}-{kind}.tif") for kind in ("full", "reduced"))
    sharpen_files(scene.files, scene.options, full, control, estimate)
    found = assess_image(scene, str(full.output), options, control).metrics
    against = score_degraded(scene, (degraded.files, degraded.options), reduced, options, control, degraded_estimate)
    return {index: found[index] for index in FULL} | {index: against[index] for index in REDUCED}


def _densest_part(scene: Scene, side: int, control: Control) -> Window | None:
    """The window with the most detail among a bounded number, of a scene that is larger."""
    if scene.window.pixels <= side**2:
        return None
    side = min(side, scene.window.height, scene.window.width)
    windows = sample_tiles(scene, side, _LOOKED_AT, 0, control, prefer_detail=True)
    return max(windows, key=detail_of).core


def _cut(scene: Scene, part: Window, folder: Path, control: Control) -> tuple[SceneFiles, ReadOptions, Window]:
    """Write whole MS pixels within a part of a scene, and the PAN pixels over them, as a pair of its own."""
    pan, ms, s = scene.pair.pan, scene.pair.ms, scene.nominal.sampling
    left, top, _, _ = scene.pair.ms_footprint()
    row, col = math.ceil((part.row - top) / s.ratio_y), math.ceil((part.col - left) / s.ratio_x)
    rows = math.floor((part.row_stop - top) / s.ratio_y) - row
    cols = math.floor((part.col_stop - left) / s.ratio_x) - col
    if min(rows, cols) < 1:
        raise InputError(f"{ms.name} has no part that could be measured")
    place = left + s.ratio_x * col, top + s.ratio_y * row
    within = Window(round(place[1]), round(place[0]), math.floor(rows * s.ratio_y), math.floor(cols * s.ratio_x))
    grid: Affine = pan.grid.transform
    to_ms = grid @ Affine.translation(*place) @ Affine.scale(s.ratio_x, s.ratio_y)
    ms_path, pan_path = folder / "ms.tif", folder / "pan.tif"
    write_image(ms_path, (ms.count, rows, cols), to_ms, scene, lambda w: ms.read(_moved(w, row, col)), control)
    shape = (1, within.height, within.width)
    to_pan = scene.pair.transform(within)
    write_image(pan_path, shape, to_pan, scene, lambda w: pan.read(_moved(w, within.row, within.col)), control)
    read = replace(
        scene.options,
        pair=PairOptions(assume_aligned=True),
        sensor=scene.options.sensor if scene.options.sensor != "auto" else scene.sensor.key,
    )
    return SceneFiles((str(ms_path),), str(pan_path)), read, within


def _moved(window: Window, row: int, col: int) -> Window:
    return Window(window.row + row, window.col + col, window.height, window.width)
