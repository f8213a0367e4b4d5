"""Training on one scene: its patches, what supervises them (CLIP, teacher), then the loop."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from clippan_models.adaptation.clip_adaptation import AlignmentImages, AlignOptions, Judge, OnStep, align
from clippan_models.adaptation.fusion import Prior, fit_prior
from clippan_models.adaptation.loop import Adapted, Material, adapt, fuse, unit_image, unit_pan
from clippan_models.adaptation.options import NO_TEACHER, AdaptOptions, LossWeights
from clippan_models.adaptation.patches import Patches, full_patches, reduced_patches
from clippan_models.adaptation.teacher import CLASSICAL_TEACHERS, SELF, classical_images
from clippan_models.contracts import Observation, Tile
from clippan_models.errors import InputError
from clippan_models.guidance.encoder import ClipEncoder
from clippan_models.guidance.prompts import Prompts
from clippan_models.networks.blocks import InWindows
from clippan_models.networks.registry import find_backbone, find_fusing_backbone
from clippan_models.networks.spec import BackboneSpec
from clippan_models.ops.moments import Moments
from clippan_models.ops.views import TileViews

REDUCED_SIDE = 24
"""MS samples per reduced-resolution patch."""

OnStageStep = Callable[[str, int, int, float], None]
"""Called with the stage ("align", "teacher", "adapt"), the step, the steps in all and the loss; may raise to stop."""

_REDUCED_ONLY = LossWeights.only(reduced=LossWeights().reduced)


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
    options: AlignOptions


def learn_scene(
    tiles: Sequence[Tile],
    observation: Observation,
    options: AdaptOptions,
    device: torch.device,
    ceilings: tuple[float, float] = (math.inf, math.inf),
    on_step: OnStageStep | None = None,
    guide: Guide | None = None,
    initial: nn.Module | None = None,
) -> tuple[Prior, Adapted]:
    """Train a network on tiles of one scene: stage I where there is a guide, a teacher if any, then stage II.

    Args:
        tiles: disjoint pieces on the CPU, cores of one size, a multiple of 32, read with `fit_halo`.
        observation: the scene's model.
        options: how to adapt.
        device: where to train.
        ceilings: DN from which (MS, PAN) are saturated.
        on_step: progress, see `OnStageStep`.
        guide: the CLIP and the prompts that judge the image; None: no language.
        initial: a network of the backbone to begin with, which is left as it is; None: one with random weights.

    Raises:
        InputError: no tile holds valid pixels.
        UsageError: the backbone cannot fuse scenes, no term of the loss applies, or stage I cannot work as asked
            (`alignment.align`).
    """
    backbone = find_fusing_backbone(options.backbone)
    prior = fit_prior(scene_moments(tiles, observation, ceilings), observation, *ceilings).to(device)
    train, held = _split(tiles)
    material = _material(train, held, observation, device)
    judge = None
    if guide is not None and options.weights.direction:
        judge = _align(guide, material, prior, classical_images("bdsd-pc", train, observation).to(device), on_step)
        material = replace(
            material, full=felt(material.full, judge, prior), held_full=felt(material.held_full, judge, prior)
        )
    if options.weights.ship and options.teacher != NO_TEACHER:
        material = _taught(material, train, held, observation, prior, options, on_step)
    if initial is None:
        network = new_network(backbone, observation.sampling.bands, options.seed, device)
    else:
        network = copy.deepcopy(initial).to(device)
    return prior, adapt(network, material, prior, options, judge, _of("adapt", on_step))


def _of(stage: str, on_step: OnStageStep | None) -> OnStep | None:
    return None if on_step is None else partial(on_step, stage)


def new_network(backbone: BackboneSpec, bands: int, seed: int, device: torch.device) -> nn.Module:
    """A network with random weights of its own seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return backbone.build(bands).to(device)


def _align(guide: Guide, material: Material, prior: Prior, sharp: Tensor, on_step: OnStageStep | None) -> Judge:
    """Stage I on the training patches; `sharp` stands for the good image."""
    full = material.full
    images = AlignmentImages(
        ms_up=unit_image(prior, full.ms_up), pan=unit_pan(prior, full.pan), hrms=unit_image(prior, sharp)
    )
    return align(guide.encoder, guide.prompts, images, guide.options, _of("align", on_step))


@torch.no_grad()
def felt(patches: Patches, judge: Judge, prior: Prior) -> Patches:
    """The patches with what the judge makes of their MS and PAN: constants of stage II, so computed once."""
    ms, pan = unit_image(prior, patches.ms_up), unit_pan(prior, patches.pan)
    return replace(patches, ms_feature=judge.embed_ms(ms), pan_feature=judge.embed_pan(pan))


def _taught(
    material: Material,
    train: Sequence[Tile],
    held: Sequence[Tile],
    observation: Observation,
    prior: Prior,
    options: AdaptOptions,
    on_step: OnStageStep | None,
) -> Material:
    """The material with the teacher's images of its patches."""
    device = material.full.ms.device
    if options.teacher in CLASSICAL_TEACHERS:
        # fitted to all tiles: what was held back says nothing about a method without training
        images = classical_images(options.teacher, [*train, *held], observation).to(device)
        shown, held_images = images[: len(train)], images[len(train) :]
    elif material.reduced is None:
        return material
    else:
        lessons = lessons_of(options)
        network = new_teacher(lessons, observation.sampling.bands, device)
        teacher = adapt(network, material, prior, lessons, None, _of("teacher", on_step)).network
        shown = teacher_images(teacher, lessons, prior, material.full)
        held_images = teacher_images(teacher, lessons, prior, material.held_full)
    return replace(
        material,
        full=replace(material.full, teacher=shown),
        held_full=replace(material.held_full, teacher=held_images),
    )


def lessons_of(options: AdaptOptions) -> AdaptOptions:
    """How a network learns that is to teach another one: at reduced resolution only, in a third of the steps."""
    lessons = replace(options, weights=_REDUCED_ONLY, steps=options.steps // 3)
    if options.teacher == SELF:
        return lessons
    return replace(lessons, backbone=options.teacher, batch=None, learning_rate=None)


def new_teacher(lessons: AdaptOptions, bands: int, device: torch.device) -> nn.Module:
    """The network of a teacher before its lessons, with other random weights than that which learns from it."""
    return new_network(find_backbone(lessons.backbone), bands, lessons.seed + 1, device)


@torch.no_grad()
def teacher_images(teacher: nn.Module, lessons: AdaptOptions, prior: Prior, patches: Patches) -> Tensor:
    """All patches fused by a teacher after its lessons, one by one to bound memory, `[N, C, H, W]`."""
    network = teacher if find_backbone(lessons.backbone).fuses else InWindows(teacher, REDUCED_SIDE)
    one_by_one = (patches.take(torch.tensor([number])) for number in range(len(patches)))
    return torch.cat([fuse(network, prior, patch, lessons.rounds) for patch in one_by_one])


def scene_moments(tiles: Sequence[Tile], observation: Observation, ceilings: tuple[float, float]) -> Moments:
    """Moments that `fit_prior` takes, over the cores of tiles.

    Raises:
        InputError: no tile holds valid pixels.
    """
    moments = Moments()
    for tile in tiles:
        views = TileViews(tile, observation)
        unsaturated = (views.ms_up < ceilings[0]).all(0) & (views.pan[0] < ceilings[1])
        moments.update(torch.cat([views.ms_up, views.pan, views.pan_low]), views.core & unsaturated)
    if moments.count < 2:
        raise InputError("no pixel is valid in both MS and PAN: there is nothing to sharpen")
    return moments


def held_windows(count: int) -> list[int]:
    """Numbers of the windows, of so many, that a scene holds back for validation: one in five."""
    return list(range(0, count, 5))


def _split(tiles: Sequence[Tile]) -> tuple[list[Tile], list[Tile]]:
    """Tiles to train on and tiles held back."""
    numbers = held_windows(len(tiles))
    held, train = [tiles[i] for i in numbers], [tile for i, tile in enumerate(tiles) if i not in numbers]
    return train or held, held  # a scene of a single tile has nothing to hold back


def _material(train: Sequence[Tile], held: Sequence[Tile], observation: Observation, device: torch.device) -> Material:
    def reduced(some: Sequence[Tile]) -> Patches | None:
        patches = reduced_patches(some, observation, REDUCED_SIDE)
        return patches.to(device) if patches is not None else None

    train_reduced, held_reduced = reduced(train), reduced(held)
    if train_reduced is None or held_reduced is None:
        train_reduced = held_reduced = train_reduced or held_reduced
    return Material(
        full=full_patches(train, observation).to(device),
        held_full=full_patches(held, observation).to(device),
        reduced=train_reduced,
        held_reduced=held_reduced,
    )
