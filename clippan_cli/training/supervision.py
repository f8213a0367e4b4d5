"""What supervises a training on an archive: a CLIP adapted to its scenes, a teacher, and what both add to windows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import torch

from clippan_cli.running.control import Control
from clippan_cli.scene.scene import open_scene
from clippan_cli.sharpening.guidance import open_guide
from clippan_cli.training.members import Member, Surveyed
from clippan_cli.training.session import Session
from clippan_models.adaptation.archive import ArchiveScene
from clippan_models.adaptation.batches import ArchiveBatches
from clippan_models.adaptation.clip_adaptation import ClipAdaptationImages, Judge, adapt_clip
from clippan_models.adaptation.fusion import Prior
from clippan_models.adaptation.objective import with_clip_features
from clippan_models.adaptation.options import CLASSICAL_TEACHERS, NO_TEACHER
from clippan_models.adaptation.patches import ScenePatches
from clippan_models.adaptation.processes import to_device
from clippan_models.adaptation.scene import Guide
from clippan_models.adaptation.teacher import Teacher, teacher_options, train_teacher
from clippan_models.adaptation.window_cache import Finish
from clippan_models.guidance.options import NONE


def guide_for(member: Member, session: Session) -> Guide | None:
    """The CLIP and the prompts, where language takes part; one scene stands for all.

    Raises:
        ClippanError: see `open_guide`.
    """
    options, control = session.options, session.control
    if not options.adapt.loss.direction or options.guidance.clip == NONE:
        return None
    with ExitStack() as stack:
        scene = open_scene(member.files, member.read, Control(stop_signal=control.stop_signal), stack)
        return open_guide(options.guidance, scene, options.adapt.seed, session.device)


def adapt_judge(guide: Guide | None, scenes: Sequence[Surveyed], session: Session) -> Judge | None:
    """Stage I on images of all scenes."""
    images = [one.survey.images for one in scenes if one.survey.images is not None]
    if guide is None or not images:
        return None
    together = ClipAdaptationImages(
        *(torch.cat([getattr(i, name) for i in images]).to(session.device) for name in ("ms_up", "pan", "hrms"))
    )
    return adapt_clip(guide.encoder, guide.prompts, together, guide.options, session.on_step)


def adapt_teacher(
    train: Sequence[ArchiveScene], validation: Sequence[ArchiveScene], bands: int, session: Session
) -> Teacher | None:
    """A network trained on all scenes; None where none is asked for, or no scene has room for reduced resolution."""
    adapt = session.options.adapt
    if adapt.teacher in (NO_TEACHER, *CLASSICAL_TEACHERS) or not adapt.loss.ship:
        return None
    large, held_out = ([scene for scene in some if sum(scene.reduced)] for some in (train, validation))
    if not large:
        return None
    options = teacher_options(adapt)
    batches = ArchiveBatches(large, held_out or large, options, session.processes, session.scenes_per_step)
    return train_teacher(options, batches, bands, session.processes, session.on_step)


def finishing(
    priors: Sequence[Prior], judge: Judge | None, teacher: Teacher | None, before: Teacher | None, device: torch.device
) -> Finish:
    """Adds to a window the CLIP features of its MS and PAN, and the images by the teacher and by `before`.

    Args:
        priors: of the scenes.
        judge: an adapted CLIP.
        teacher: a network to learn from.
        before: the network itself, as it is before it learns.
        device: of the judge.
    """

    def finish(scene: int, window: ScenePatches) -> ScenePatches:
        full, prior = window.full, priors[scene]
        if judge is not None:
            full = with_clip_features(to_device(full, device), judge, to_device(prior, device))
            full = to_device(full, torch.device("cpu"))
        if teacher is not None:
            full = teacher.with_images(full, prior)
        if before is not None:
            full = before.with_first_images(full, prior)
        return replace(window, full=full)

    return finish
