"""The `network` and `clippan` methods: adapt a fusion network to the scene, then sharpen any tile of it."""

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
from clippan_models.contracts import Observation, Tile, Views
from clippan_models.errors import InputError
from clippan_models.guidance.encoder import ClipEncoder
from clippan_models.guidance.prompts import Prompts
from clippan_models.networks.blocks import InWindows, run_network
from clippan_models.networks.registry import find_backbone, find_fusing_backbone
from clippan_models.networks.spec import BackboneSpec
from clippan_models.ops.moments import Moments
from clippan_models.ops.resample import INTERPOLATION_RADIUS, blur_radius
from clippan_models.ops.views import TileViews, lowpass_halo
from clippan_models.store.checkpoint import Checkpoint, Normalisation

REDUCED_SIDE = 24
"""MS samples per reduced-resolution patch."""

OnStageStep = Callable[[str, int, int, float], None]
"""Called with the stage ("align", "teacher", "adapt"), the step, the steps in all and the loss; may raise to stop."""

_REDUCED_ONLY = LossWeights.only(reduced=LossWeights().reduced)

_GPU_BLOCK_BYTES = 2e9


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


@dataclass(frozen=True)
class NetworkSharpener:
    """A network adapted to a scene (`contracts.Sharpener`).

    Attributes:
        backbone: what kind of network it is.
        network: in evaluation mode.
        prior: of the scene, on the device of the network.
        halo: PAN pixels around a tile for an exact result, where PAN's low-pass is exact.
        rim: PAN pixels at the edge of a tile where that low-pass is not exact, so that the network need not look.
        rounds: projections onto PAN and MS after the network.
    """

    backbone: BackboneSpec
    network: nn.Module
    prior: Prior
    halo: int
    rim: int
    rounds: int

    @torch.inference_mode()
    def sharpen(self, views: Views) -> Tensor:
        """The fused image `[C, H, W]`, DN, float32."""
        prior = self.prior
        image = prior.start(views.ms_up, views.pan, views.pan_low)
        inner = (slice(None), *(slice(self.rim, side - self.rim) for side in image.shape[-2:]))
        origin = views.pan_window.row + self.rim, views.pan_window.col + self.rim
        image[inner] = self._correct(image[inner], views.pan[inner], origin)
        for _ in range(self.rounds):
            image = prior.onto_pan(image, views.pan)
            image = self._onto_ms(image, views)
        return image

    def checkpoint(self) -> Checkpoint:
        """The network with all that is needed to use it again, to be written by `networks.checkpoint`."""
        prior = self.prior
        mean, std = (tuple(map(float, values.flatten())) for values in (prior.ms_mean, prior.ms_std))
        normalisation = Normalisation(mean, std, prior.pan_mean, prior.pan_std)
        return Checkpoint(self.backbone.name, len(mean), self.network, normalisation)

    def _correct(self, start: Tensor, pan: Tensor, origin: tuple[int, int]) -> Tensor:
        prior = self.prior
        inputs = prior.normalise(start)[None], prior.normalise_pan(pan)[None]
        if start.is_cuda:  # large blocks keep it busy
            with torch.autocast("cuda", dtype=torch.bfloat16):
                corrected = run_network(self.backbone, self.network, *inputs, origin, _GPU_BLOCK_BYTES)
        else:
            corrected = run_network(self.backbone, self.network, *inputs, origin)
        image: Tensor = corrected[0].float() * prior.ms_std + prior.ms_mean
        return image

    def _onto_ms(self, image: Tensor, views: Views) -> Tensor:
        seen, share = views.down(image)
        usable = (share > 0.5) & (views.ms < self.prior.ms_ceiling)
        missing = torch.where(usable, views.ms - seen, torch.zeros_like(seen))
        return image + self.prior.ms_trust * views.up(missing)


def network_halo(observation: Observation, backbone: BackboneSpec, rounds: int) -> int:
    """PAN pixels that reach an output pixel from the start through network and projections."""
    ratio = max(observation.sampling.ratio_y, observation.sampling.ratio_x)
    blur = max(blur_radius(gain, ratio) for gain in observation.ms_gain)
    projection = blur + math.ceil((INTERPOLATION_RADIUS + 1) * ratio)
    return backbone.overlap + rounds * projection


def adapt_network(
    tiles: Sequence[Tile],
    observation: Observation,
    options: AdaptOptions,
    device: torch.device,
    ceilings: tuple[float, float] = (math.inf, math.inf),
    on_step: OnStageStep | None = None,
    guide: Guide | None = None,
    initial: nn.Module | None = None,
) -> tuple[NetworkSharpener, Adapted]:
    """Adapt a network to a scene from tiles of it: stage I where there is a guide, a teacher if any, then stage II.

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
    adapted = adapt(network, material, prior, options, judge, _of("adapt", on_step))
    halo, rim = network_halo(observation, backbone, options.rounds), lowpass_halo(observation)
    return NetworkSharpener(backbone, adapted.network, prior, halo, rim, options.rounds), adapted


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
