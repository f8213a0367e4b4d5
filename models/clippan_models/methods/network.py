"""The `network` and `clippan` methods: adapt a fusion network to the scene, then sharpen any tile of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clippan_models.adaptation.fusion import Prior
from clippan_models.adaptation.options import AdaptOptions, OnStep
from clippan_models.adaptation.scene import Guide, SceneTiles, learn_scene
from clippan_models.adaptation.trainer import Adapted
from clippan_models.contracts import Observation, Tile, Views
from clippan_models.networks.blocks import run_network
from clippan_models.networks.registry import find_fusing_backbone
from clippan_models.networks.spec import BackboneSpec
from clippan_models.ops.resample import INTERPOLATION_RADIUS, blur_radius
from clippan_models.ops.views import lowpass_halo
from clippan_models.store.checkpoint import Checkpoint, Normalisation

_GPU_BLOCK_BYTES = 2e9


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
        image = prior.initial_fusion(views.ms_up, views.pan, views.pan_low)
        inner = (slice(None), *(slice(self.rim, side - self.rim) for side in image.shape[-2:]))
        origin = views.pan_window.row + self.rim, views.pan_window.col + self.rim
        image[inner] = self._correct(image[inner], views.pan[inner], origin)
        for _ in range(self.rounds):
            image = prior.onto_pan(image, views.pan)
            degraded, share = views.down(image)
            image = prior.onto_ms(image, views.ms, degraded, share > 0.5, views.up)
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
    on_step: OnStep | None = None,
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
        on_step: progress, see `OnStep`.
        guide: the CLIP and the prompts that judge the image; None: no language.
        initial: a network of the backbone to begin with, which is left as it is; None: one with random weights.

    Raises:
        InputError: no tile holds valid pixels.
        UsageError: the backbone cannot fuse scenes, no term of the loss applies, or stage I cannot work as asked
            (`adapt_clip`).
    """
    scene = SceneTiles(tiles, observation, ceilings)
    prior, adapted = learn_scene(scene, options, device, guide, initial, on_step)
    backbone = find_fusing_backbone(options.backbone)
    halo, rim = network_halo(observation, backbone, options.rounds), lowpass_halo(observation)
    return NetworkSharpener(backbone, adapted.network, prior, halo, rim, options.rounds), adapted
