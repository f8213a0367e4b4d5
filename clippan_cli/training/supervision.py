"""What supervises a training on an archive: a CLIP adapted to its scenes, a teacher, and what both make of windows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import torch

from clippan_cli.running.control import Control, Progress
from clippan_cli.scene.scene import open_scene
from clippan_cli.sharpening.guidance import open_guide
from clippan_cli.training.members import Member, Surveyed
from clippan_models.adaptation.archive import ArchiveScene
from clippan_models.adaptation.archive_teacher import Teacher, train_teacher
from clippan_models.adaptation.clip_adaptation import AlignmentImages, Judge, align
from clippan_models.adaptation.fusion import Prior
from clippan_models.adaptation.options import NO_TEACHER, AdaptOptions
from clippan_models.adaptation.patches import WindowPatches
from clippan_models.adaptation.processes import Processes
from clippan_models.adaptation.scene import Guide, felt
from clippan_models.adaptation.teacher import CLASSICAL_TEACHERS
from clippan_models.adaptation.window_cache import Finish
from clippan_models.guidance.options import NONE, GuidanceOptions


def guide_for(
    member: Member, guidance: GuidanceOptions, options: AdaptOptions, device: torch.device, control: Control
) -> Guide | None:
    """The CLIP and the prompts, where language takes part; a scene stands for all.

    Raises:
        ClippanError: see `open_guide`.
    """
    if not options.weights.direction or guidance.clip == NONE:
        return None
    with ExitStack() as stack:
        scene = open_scene(member.files, member.read, Control(stop_signal=control.stop_signal), stack)
        return open_guide(guidance, scene, options.seed, device)


def adapt_judge(
    guide: Guide | None, scenes: Sequence[Surveyed], device: torch.device, control: Control
) -> Judge | None:
    """Stage I on images of all scenes."""
    images = [one.survey.images for one in scenes if one.survey.images is not None]
    if guide is None or not images:
        return None
    together = AlignmentImages(
        *(torch.cat([getattr(i, name) for i in images]).to(device) for name in ("ms_up", "pan", "hrms"))
    )

    def on_step(step: int, steps: int, loss: float) -> None:
        control.report(Progress("align", step, steps, note=f"loss {loss:.4f}"))

    return align(guide.encoder, guide.prompts, together, guide.options, on_step)


def adapt_teacher(
    train: Sequence[ArchiveScene],
    held: Sequence[ArchiveScene],
    options: AdaptOptions,
    bands: int,
    processes: Processes,
    scenes_per_step: int,
    control: Control,
) -> Teacher | None:
    """A network that has learned from all scenes, where one is asked for."""
    if options.teacher in (NO_TEACHER, *CLASSICAL_TEACHERS) or not options.weights.ship:
        return None

    def on_step(step: int, steps: int, loss: float) -> None:
        control.stop_signal = processes.largest(control.stop_signal or 0) or None
        control.report(Progress("teacher", step, steps, note=f"loss {loss:.4f}"))

    return train_teacher(train, held, options, bands, processes, on_step, scenes_per_step)


def finishing(priors: Sequence[Prior], judge: Judge | None, teacher: Teacher | None, device: torch.device) -> Finish:
    """Adds to a window what the judge makes of its MS and PAN, and the teacher's image."""

    def finish(scene: int, window: WindowPatches) -> WindowPatches:
        full, prior = window.full, priors[scene]
        if judge is not None:
            full = felt(full.to(device), judge, prior.to(device)).to(torch.device("cpu"))
        if teacher is not None:
            full = teacher.taught(full, prior)
        return replace(window, full=full)

    return finish
