"""A network that teaches another one on an archive: trained once on all scenes at reduced resolution, then frozen."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from clippan_models.adaptation.archive import ArchiveRun, ArchiveScene
from clippan_models.adaptation.loop import AdaptOptions, OnStep
from clippan_models.adaptation.processes import Processes
from clippan_models.adaptation.sharpener import lessons_of, new_teacher, teacher_images


def teach(
    train: Sequence[ArchiveScene],
    held: Sequence[ArchiveScene],
    options: AdaptOptions,
    device: torch.device,
    processes: Processes,
    on_step: OnStep,
    scenes_per_step: int | None = None,
) -> tuple[list[ArchiveScene], list[ArchiveScene]]:
    """Train the teacher, and add its images to the patches; of the scenes held back, to those that are looked at.

    Where no scene is large enough for the reduced resolution, the scenes are given back as they are.

    Args:
        train: scenes to learn from.
        held: scenes that choose the teacher's checkpoint.
        options: of the network that learns from the teacher.
        device: where to train.
        processes: that train together.
        on_step: see `OnStep`.
        scenes_per_step: see `ArchiveRun`.
    """
    pupils, examiners = ([scene for scene in some if scene.reduced is not None] for some in (train, held))
    if not pupils:
        return list(train), list(held)
    lessons = lessons_of(options)
    network = new_teacher(lessons, train[0].full.ms.shape[1], device)
    run = ArchiveRun(network, pupils, examiners or pupils, lessons, device, None, processes, scenes_per_step)
    started = time.monotonic()
    while not run.finished:
        loss = run.advance()
        on_step(run.step, lessons.steps, loss)
        late = lessons.time_limit is not None and time.monotonic() - started > lessons.time_limit
        if processes.largest(late) and not run.finished:
            run.stop("time limit")
    teacher = run.result(time.monotonic() - started).network
    looked_at = [scene.held() for scene in held]
    taught = [[_with_images(scene, teacher, lessons, device) for scene in some] for some in (train, looked_at)]
    return taught[0], taught[1]


def _with_images(scene: ArchiveScene, teacher: nn.Module, lessons: AdaptOptions, device: torch.device) -> ArchiveScene:
    images = teacher_images(teacher, lessons, scene.prior.to(device), scene.full.to(device))
    return replace(scene, full=replace(scene.full, teacher=images.cpu()))
