"""How good new weights are on held-out scenes, which are sharpened without further steps, beside other methods.

The numbers are those of `sharpen` and `assess` with the same files: at full resolution without a reference, and by
Wald's protocol against MS.
"""

from __future__ import annotations

import math
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from affine import Affine

from clippan_cli.quality.measure import assess_image
from clippan_cli.quality.options import AssessOptions
from clippan_cli.quality.result import MethodScores
from clippan_cli.quality.wald import degrade, score_degraded, write_image
from clippan_cli.rasters.options import PairOptions
from clippan_cli.running.compute import limited_threads, release_memory
from clippan_cli.running.control import Control, Progress
from clippan_cli.scene.estimation import Estimate, detail_of, estimate_scene, sample_tiles
from clippan_cli.scene.files import LeftOut, ReadOptions, SceneFiles
from clippan_cli.scene.scene import Scene, open_scene
from clippan_cli.sharpening.engine import sharpen_files
from clippan_cli.sharpening.options import SharpenOptions, bare_sharpening
from clippan_cli.training.learning import TrainedNetwork
from clippan_cli.training.members import Member
from clippan_cli.training.options import ArchiveOptions, ValidationOptions
from clippan_cli.training.result import BEFORE, CLASSICAL, FULL, LEARNED, REDUCED, SCRATCH, SceneScores, Validation
from clippan_cli.weights.cards import write_weights
from clippan_models.adaptation.archive import evenly
from clippan_models.adaptation.options import NO_TEACHER
from clippan_models.contracts import Window
from clippan_models.errors import InputError, Interrupted, in_one_line, shown
from clippan_models.methods.options import DEFAULT_METHOD
from clippan_models.store.checkpoint import Checkpoint, load_checkpoint

_CANDIDATE_PARTS = 4  # windows with the most detail, of three times as many read, to choose the part from


def validate_learned(learned: TrainedNetwork, options: ArchiveOptions, control: Control) -> Validation:
    """Measure new weights on the held-out scenes; whatever fails there, nothing that was learned is lost.

    Raises:
        Interrupted: a signal asked to stop.
    """
    how = options.validation or ValidationOptions()
    unseen = not {member.files.id for member in learned.held_out} & set(learned.result.learned_from)
    try:
        scenes, left_out = _validate(learned, options, how, control)
    except Interrupted as stop:
        left = f"all that was learned is in {shown(options.checkpoint)}; --resume measures it, and writes the weights"
        raise Interrupted(stop.signal_number, left) from stop
    except Exception as error:  # whatever it is, it must not cost what was learned
        reason = in_one_line(error)
        control.on_note(f"the weights are not measured: {reason}")
        scenes, left_out = [], [LeftOut(member.files.id, reason) for member in learned.held_out]
    return Validation(tuple(scenes), len(learned.held_out), unseen, how.scratch_steps, tuple(left_out))


def _validate(
    learned: TrainedNetwork, options: ArchiveOptions, how: ValidationOptions, control: Control
) -> tuple[list[SceneScores], list[LeftOut]]:
    """The scores of each scene, and the scenes that could not be measured."""
    release_memory()  # of the training
    count = min(len(learned.held_out), how.scenes)
    chosen = [learned.held_out[number] for number in evenly(len(learned.held_out), count)]
    scenes: list[SceneScores] = []
    left_out: list[LeftOut] = []
    with (
        control.timed("validate"),
        limited_threads(learned.compute.thread_count),
        tempfile.TemporaryDirectory(prefix="clippan-validation-") as name,
    ):
        candidates = _candidates(learned, options, Path(name), how.scratch_steps)
        for number, member in enumerate(chosen):
            begun = number * len(candidates)
            try:
                scenes.append(_measure(member, candidates, how.side, begun, count * len(candidates), control))
            except Interrupted:
                raise
            except Exception as error:  # one scene, or too little memory for a method, must not cost the others
                left_out.append(LeftOut(member.files.id, in_one_line(error)))
                control.on_note(f"{member.files.id} is not measured: {left_out[-1].reason}")
    return scenes, left_out


def _candidates(
    learned: TrainedNetwork, options: ArchiveOptions, folder: Path, scratch_steps: int
) -> dict[str, SharpenOptions]:
    """The methods by name."""
    base = replace(
        bare_sharpening(options.output, "network", learned.compute), adapt=options.adapt, guidance=options.guidance
    )
    initial = None
    if options.weights is not None:
        initial = _without_card(load_checkpoint(options.weights), folder / "before.safetensors")
    still = replace(base, adapt=replace(base.adapt, steps=0, teacher=NO_TEACHER), weights=initial)
    found = {
        LEARNED: replace(still, weights=_without_card(learned.checkpoint, folder / "learned.safetensors")),
        BEFORE: still,
        **{method: replace(base, method=method) for method in CLASSICAL},
    }
    if scratch_steps:
        adapt = replace(base.adapt, steps=scratch_steps, time_limit=None)
        found[SCRATCH] = replace(base, method=DEFAULT_METHOD, adapt=adapt)
    return found


def _without_card(checkpoint: Checkpoint, path: Path) -> Path:
    """Write weights that fit the degraded pair too: its values are not integers, which a card would refuse."""
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
        quiet = _without_progress(control, Progress("validate", begun, total, note=member.files.id))
        scene = open_scene(member.files, member.read, quiet, stack)
        part = _densest_part(scene, side, quiet)
        if part is not None:
            cut, read, part = _cut(scene, part, part_folder, quiet)
            scene = open_scene(cut, read, quiet, stack)
        # the same for all methods, and what takes longest with most of them
        estimate = estimate_scene(scene, quiet)
        reduced = open_scene(*degrade(scene, reduced_folder, quiet, estimate.limits), quiet, stack)
        full_size, reduced_size = (scene, estimate), (reduced, estimate_scene(reduced, quiet))
        scores = []
        for number, (method, sharpening) in enumerate(candidates.items(), start=begun):
            quiet = _without_progress(control, Progress("validate", number, total, note=f"{member.files.id}, {method}"))
            metrics = _score(full_size, reduced_size, sharpening, Path(name), method, quiet)
            scores.append(MethodScores(method, metrics))
            control.report(Progress("validate", number + 1, total, note=member.files.id))
    return SceneScores(member.files.id, part, tuple(scores))


def _without_progress(control: Control, progress: Progress) -> Control:
    """For the work within a step: it can be stopped, and reports no progress of its own."""
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
    found = assess_image(scene, str(full.output), options, control, estimate.limits).metrics
    pair = degraded.files, degraded.options
    against = score_degraded(scene, pair, reduced, options, control, estimate.limits, degraded_estimate).scores.metrics
    return {index: found[index] for index in FULL} | {index: against[index] for index in REDUCED}


def _densest_part(scene: Scene, side: int, control: Control) -> Window | None:
    """The window with the most detail among a bounded number, of a scene that is larger."""
    if scene.window.pixels <= side**2:
        return None
    side = min(side, scene.window.height, scene.window.width)
    windows = sample_tiles(scene, side, _CANDIDATE_PARTS, 0, control, prefer_detail=True)
    return max(windows, key=detail_of).core


def _cut(scene: Scene, part: Window, folder: Path, control: Control) -> tuple[SceneFiles, ReadOptions, Window]:
    """Write whole MS pixels within a part of a scene, and the PAN pixels over them, as a pair of its own."""
    pan, ms, s = scene.pair.pan, scene.pair.ms, scene.nominal.sampling
    left, top, _, _ = scene.pair.ms_footprint()
    row, col = math.ceil((part.row - top) / s.ratio_y), math.ceil((part.col - left) / s.ratio_x)
    rows = math.floor((part.row_stop - top) / s.ratio_y) - row
    cols = math.floor((part.col_stop - left) / s.ratio_x) - col
    if min(rows, cols) < 1:
        raise InputError(f"{ms.name} has no part that can be measured")
    place = left + s.ratio_x * col, top + s.ratio_y * row
    within = Window(round(place[1]), round(place[0]), math.floor(rows * s.ratio_y), math.floor(cols * s.ratio_x))
    # an identity reads as no geotransform; where the scene has none, any other one relates the two files
    grid: Affine = Affine.scale(2) if pan.grid.transform.is_identity else pan.grid.transform
    to_ms = grid @ Affine.translation(*place) @ Affine.scale(s.ratio_x, s.ratio_y)
    ms_path, pan_path = folder / "ms.tif", folder / "pan.tif"
    write_image(ms_path, (ms.count, rows, cols), to_ms, scene, lambda w: ms.read(_moved(w, row, col)), control)
    shape = (1, within.height, within.width)
    to_pan = grid @ Affine.translation(within.col, within.row)
    write_image(pan_path, shape, to_pan, scene, lambda w: pan.read(_moved(w, within.row, within.col)), control)
    read = replace(
        scene.options,
        pair=PairOptions(assume_aligned=True),
        sensor=scene.options.sensor if scene.options.sensor != "auto" else scene.sensor.key,
        sensor_bands=tuple(band.name for band in scene.sensor.bands),
    )
    return SceneFiles((str(ms_path),), str(pan_path)), read, within


def _moved(window: Window, row: int, col: int) -> Window:
    return Window(window.row + row, window.col + col, window.height, window.width)
