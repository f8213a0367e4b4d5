"""Training on one scene: its patches, CLIP adaptation (stage I), a teacher, then the network (stage II)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from clippan_models.adaptation.batches import SceneBatches, TrainingSet
from clippan_models.adaptation.clip_adaptation import ClipAdaptationImages, ClipAdaptationOptions, adapt_clip
from clippan_models.adaptation.evidence import can_correct
from clippan_models.adaptation.fusion import Prior, fit_prior
from clippan_models.adaptation.objective import Objective, unit_image, unit_pan, with_clip_features
from clippan_models.adaptation.options import CLASSICAL_TEACHERS, NO_TEACHER, AdaptOptions, OnStep
from clippan_models.adaptation.patches import Patches, full_patches, scene_patches
from clippan_models.adaptation.processes import Processes, to_device
from clippan_models.adaptation.teacher import (
    SHARP_EXAMPLE,
    Teacher,
    core_images,
    fit_classical,
    teacher_options,
    train_teacher,
)
from clippan_models.adaptation.trainer import Adapted, Trainer, new_network
from clippan_models.adaptation.weighing import weigh_error
from clippan_models.contracts import Observation, Tile
from clippan_models.errors import InputError
from clippan_models.guidance.encoder import ClipEncoder
from clippan_models.guidance.prompts import Prompts
from clippan_models.networks.registry import find_fusing_backbone
from clippan_models.networks.statistics import statistics_of
from clippan_models.ops.moments import Moments
from clippan_models.ops.views import TileViews


@dataclass(frozen=True)
class Guide:
    """The language side of an adaptation.

    Attributes:
        encoder: a frozen CLIP.
        prompts: what it compares images with.
        options: of stage I.
    """

    encoder: ClipEncoder
    prompts: Prompts
    options: ClipAdaptationOptions


@dataclass(frozen=True)
class SceneTiles:
    """Tiles that represent a scene, and what is known of the scene.

    Attributes:
        tiles: disjoint pieces on the CPU, cores of one size, a multiple of 32, read with `fit_halo`.
        observation: the scene's model.
        saturation: DN from which (MS, PAN) are saturated.
    """

    tiles: Sequence[Tile]
    observation: Observation
    saturation: tuple[float, float] = (math.inf, math.inf)

    def prior(self) -> Prior:
        """The prior of the scene, from the unsaturated pixels of the cores.

        Raises:
            InputError: no tile holds valid pixels.
        """
        moments = Moments()
        for tile in self.tiles:
            views = TileViews(tile, self.observation)
            unsaturated = (views.ms_up < self.saturation[0]).all(0) & (views.pan[0] < self.saturation[1])
            moments.update(torch.cat([views.ms_up, views.pan, views.pan_low]), views.core & unsaturated)
        if moments.count < 2:
            raise InputError("no pixel is valid in both MS and PAN: there is nothing to sharpen")
        return fit_prior(moments, self.observation, *self.saturation)

    def split(self) -> tuple[SceneTiles, SceneTiles]:
        """Those to train on and the held-out ones; a single tile is in both."""
        numbers = validation_windows(len(self.tiles))
        validation = [self.tiles[number] for number in numbers]
        train = [tile for number, tile in enumerate(self.tiles) if number not in numbers]
        return replace(self, tiles=train or validation), replace(self, tiles=validation)

    def views(self) -> Iterator[TileViews]:
        """The views of each tile, which keep what they have computed."""
        return (TileViews(tile, self.observation) for tile in self.tiles)


def learn_scene(
    scene: SceneTiles,
    options: AdaptOptions,
    device: torch.device,
    guide: Guide | None = None,
    initial: nn.Module | None = None,
    on_step: OnStep | None = None,
) -> tuple[Prior, Adapted]:
    """Train a network on one scene: stage I where there is a guide, a teacher if any, then stage II.

    Without steps only what sharpening needs is prepared: the prior, with the share of the network's error, and the
    statistics of the scene that some networks use.

    Args:
        scene: what to learn from.
        options: how to adapt.
        device: where to train.
        guide: the CLIP and the prompts that judge the image; None: no language.
        initial: a network of the backbone to begin with, which is left as it is; None: one with random weights.
        on_step: progress of the stages "CLIP adaptation", "teacher" and "adapt".

    Returns:
        The prior, with the `error_share` of the network that was learned, and that network.

    Raises:
        InputError: no tile holds valid pixels.
        UsageError: the backbone cannot fuse scenes, no term of the loss applies, or stage I cannot work as asked
            (`adapt_clip`).
    """
    backbone = find_fusing_backbone(options.backbone)
    prior = to_device(scene.prior(), device)
    if initial is None:
        network = new_network(backbone, scene.observation.sampling.bands, options.seed, device)
    else:
        network = copy.deepcopy(initial).to(device)
    network.eval()
    train, validation = scene.split()
    if not options.steps and statistics_of(network):
        shown = to_device(full_patches(train.tiles, train.observation), device)
        Objective(network, prior, options, judge=None).record(shown)
    weighed = weigh_error(network, prior, scene.tiles, scene.observation, options.rounds)
    if not options.steps or not can_correct(network, prior):
        return weighed, Adapted(network, (), best_step=0, steps=0, seconds=0.0, stopped="steps")
    training_set = _training_set(train, validation, prior, device)
    judge = None
    if guide is not None and options.loss.direction:
        views = list(train.views())
        sharp = core_images(fit_classical(SHARP_EXAMPLE, views), views).to(device)
        images = clip_images(training_set.train.full, sharp, prior)
        judge = adapt_clip(guide.encoder, guide.prompts, images, guide.options, on_step)
        training_set = training_set.with_full(partial(with_clip_features, judge=judge, prior=prior))
    if options.loss.ship and options.teacher != NO_TEACHER:
        training_set = _with_teacher_images(training_set, train, validation, options, on_step)
    training_set = replace(training_set, prior=weighed)  # a teacher has errors of its own
    if options.loss.consistency:
        before = Teacher(network, options, device)
        training_set = training_set.with_full(partial(before.with_first_images, prior=weighed))
    trainer = Trainer(network, SceneBatches(training_set, options), options, judge, Processes(device=device))
    trainer.run(on_step)
    adapted = trainer.result()
    return weigh_error(adapted.network, prior, scene.tiles, scene.observation, options.rounds), adapted


def clip_images(patches: Patches, sharp: Tensor, prior: Prior) -> ClipAdaptationImages:
    """What stage I learns from, of patches at full resolution and sharp images of them `[N, C, H, W]`, DN."""
    return ClipAdaptationImages(
        ms_up=unit_image(prior, patches.ms_up), pan=unit_pan(prior, patches.pan), hrms=unit_image(prior, sharp)
    )


def validation_windows(count: int) -> list[int]:
    """Numbers of the windows, of so many of a scene, that are held out for validation: one in five."""
    return list(range(0, count, 5))


def _training_set(train: SceneTiles, validation: SceneTiles, prior: Prior, device: torch.device) -> TrainingSet:
    parts = [to_device(scene_patches(part.tiles, part.observation), device) for part in (train, validation)]
    if any(part.reduced is None for part in parts):  # only one has room for such patches, if any: they serve both
        reduced = parts[0].reduced or parts[1].reduced
        parts = [replace(part, reduced=reduced) for part in parts]
    return TrainingSet(prior, *parts)


def _with_teacher_images(
    training_set: TrainingSet, train: SceneTiles, validation: SceneTiles, options: AdaptOptions, on_step: OnStep | None
) -> TrainingSet:
    """The training set with the teacher's images of its patches."""
    device = training_set.train.full.ms.device
    if options.teacher in CLASSICAL_TEACHERS:
        # fitted to all tiles: a method without training cannot learn the held-out ones by heart
        views = [*train.views(), *validation.views()]
        images = core_images(fit_classical(options.teacher, views), views).to(device)
        shown, held_out = images[: len(train.tiles)], images[len(train.tiles) :]
        parts = zip((training_set.train, training_set.validation), (shown, held_out), strict=True)
        return TrainingSet(
            training_set.prior, *(replace(part, full=replace(part.full, teacher=own)) for part, own in parts)
        )
    if training_set.train.reduced is None:
        return training_set
    own, bands = teacher_options(options), train.observation.sampling.bands
    teacher = train_teacher(own, SceneBatches(training_set, own), bands, Processes(device=device), on_step)
    return training_set.with_full(partial(teacher.with_images, prior=training_set.prior))
