"""A network that teaches another one on an archive: trained once on all scenes at reduced resolution, then frozen."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from clippan_models.adaptation.archive import ArchiveRun, ArchiveScene
from clippan_models.adaptation.clip_adaptation import OnStep
from clippan_models.adaptation.fusion import Prior
from clippan_models.adaptation.options import AdaptOptions
from clippan_models.adaptation.patches import Patches
from clippan_models.adaptation.processes import Processes
from clippan_models.adaptation.scene import lessons_of, new_teacher, teacher_images


@dataclass(frozen=True)
class Teacher:
    """A network that has learned.

    Attributes:
        network: in evaluation mode.
        lessons: how it learned.
        device: of the network.
    """

    network: nn.Module
    lessons: AdaptOptions
    device: torch.device

    def taught(self, patches: Patches, prior: Prior) -> Patches:
        """The patches of a scene with its images of them."""
        images = teacher_images(self.network, self.lessons, prior.to(self.device), patches.to(self.device))
        return replace(patches, teacher=images.to(patches.ms.device))


def train_teacher(
    train: Sequence[ArchiveScene],
    held: Sequence[ArchiveScene],
    options: AdaptOptions,
    bands: int,
    processes: Processes,
    on_step: OnStep,
    scenes_per_step: int | None = None,
) -> Teacher | None:
    """Train a teacher; None where no scene is large enough for the reduced resolution.

    Args:
        train: scenes to learn from.
        held: scenes that choose its checkpoint.
        options: of the network that will learn from it.
        bands: of MS.
        processes: that train together.
        on_step: see `OnStep`.
        scenes_per_step: see `ArchiveRun`.
    """
    pupils, examiners = ([scene for scene in some if sum(scene.reduced)] for some in (train, held))
    if not pupils:
        return None
    lessons, device = lessons_of(options), processes.device
    network = new_teacher(lessons, bands, device)
    run = ArchiveRun(network, pupils, examiners or pupils, lessons, device, None, processes, scenes_per_step)
    started = time.monotonic()
    while not run.finished:
        loss = run.advance()
        on_step(run.step, lessons.steps, loss)
        late = lessons.time_limit is not None and time.monotonic() - started > lessons.time_limit
        if processes.largest(late) and not run.finished:
            run.stop("time limit")
    return Teacher(run.result(time.monotonic() - started).network, lessons, device)
