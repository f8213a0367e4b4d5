"""The `network` method: adapt a fusion network to the scene, then sharpen any tile of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clippan_models.adaptation.fusion import Prior, fit_prior
from clippan_models.adaptation.loop import Adapted, AdaptOptions, Material, OnStep, adapt
from clippan_models.adaptation.patches import Patches, full_patches, reduced_patches
from clippan_models.contracts import Observation, Tile, Views
from clippan_models.errors import InputError
from clippan_models.networks.apnn import APNN, HALO
from clippan_models.networks.blocks import run_in_blocks
from clippan_models.ops.moments import Moments
from clippan_models.ops.resample import INTERPOLATION_RADIUS, blur_radius
from clippan_models.ops.views import TileViews, lowpass_halo

REDUCED_SIDE = 24
"""MS samples per reduced-resolution patch."""

_HELD_BACK = 5  # one tile in so many is kept for validation


@dataclass(frozen=True)
class NetworkSharpener:
    """A network adapted to a scene (`contracts.Sharpener`).

    Attributes:
        network: in evaluation mode.
        prior: of the scene, on the device of the network.
        halo: PAN pixels around a tile for an exact result, where PAN's low-pass is exact.
        rim: PAN pixels at the edge of a tile where that low-pass is not exact, so that the network need not look.
        rounds: projections onto PAN and MS after the network.
    """

    network: nn.Module
    prior: Prior
    halo: int
    rim: int
    rounds: int = 1

    @torch.inference_mode()
    def sharpen(self, views: Views) -> Tensor:
        """The fused image `[C, H, W]`, DN, float32."""
        prior = self.prior
        image = prior.start(views.ms_up, views.pan, views.pan_low)
        inner = (slice(None), *(slice(self.rim, side - self.rim) for side in image.shape[-2:]))
        image[inner] = self._correct(image[inner], views.pan[inner])
        for _ in range(self.rounds):
            image = prior.onto_pan(image, views.pan)
            image = self._onto_ms(image, views)
        return image

    def _correct(self, start: Tensor, pan: Tensor) -> Tensor:
        prior = self.prior
        inputs = prior.normalise(start)[None], prior.normalise_pan(pan)[None]
        if start.is_cuda:  # large images keep it busy
            with torch.autocast("cuda", dtype=torch.bfloat16):
                corrected = self.network(*inputs)
        else:
            corrected = run_in_blocks(self.network, *inputs, HALO)
        image: Tensor = corrected[0].float() * prior.ms_std + prior.ms_mean
        return image

    def _onto_ms(self, image: Tensor, views: Views) -> Tensor:
        seen, share = views.down(image)
        usable = (share > 0.5) & (views.ms < self.prior.ms_ceiling)
        missing = torch.where(usable, views.ms - seen, torch.zeros_like(seen))
        return image + views.up(missing)


def network_halo(observation: Observation, rounds: int = 1) -> int:
    """PAN pixels that reach an output pixel from the start through network and projections."""
    ratio = max(observation.sampling.ratio_y, observation.sampling.ratio_x)
    blur = max(blur_radius(gain, ratio) for gain in observation.ms_gain)
    projection = blur + math.ceil((INTERPOLATION_RADIUS + 1) * ratio)
    return HALO + rounds * projection


def adapt_network(
    tiles: Sequence[Tile],
    observation: Observation,
    options: AdaptOptions,
    device: torch.device,
    ceilings: tuple[float, float] = (math.inf, math.inf),
    on_step: OnStep | None = None,
) -> tuple[NetworkSharpener, Adapted]:
    """Adapt A-PNN to a scene from tiles of it.

    Args:
        tiles: disjoint pieces on the CPU, cores of one size, a multiple of 32, read with `fit_halo`.
        observation: the scene's model.
        options: how to adapt.
        device: where to train.
        ceilings: DN from which (MS, PAN) are saturated.
        on_step: progress; may raise to stop.

    Raises:
        InputError: no tile holds valid pixels.
    """
    prior = fit_prior(_moments(tiles, observation, ceilings), observation, *ceilings).to(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = APNN(observation.sampling.bands).to(device)
    adapted = adapt(network, _material(tiles, observation, device), prior, options, on_step=on_step)
    return NetworkSharpener(adapted.network, prior, network_halo(observation), lowpass_halo(observation)), adapted


def _moments(tiles: Sequence[Tile], observation: Observation, ceilings: tuple[float, float]) -> Moments:
    moments = Moments()
    for tile in tiles:
        views = TileViews(tile, observation)
        unsaturated = (views.ms_up < ceilings[0]).all(0) & (views.pan[0] < ceilings[1])
        moments.update(torch.cat([views.ms_up, views.pan, views.pan_low]), views.core & unsaturated)
    if moments.count < 2:
        raise InputError("no pixel is valid in both MS and PAN: there is nothing to sharpen")
    return moments


def _material(tiles: Sequence[Tile], observation: Observation, device: torch.device) -> Material:
    held, train = list(tiles[::_HELD_BACK]), [t for i, t in enumerate(tiles) if i % _HELD_BACK]
    if not train:  # a scene of a single tile has nothing to hold back
        train = held

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
