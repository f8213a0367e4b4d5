"""What a network is shown of a scene, in DN, and its answer.

Every network corrects the initial fusion. Most see that and PAN. An informed one (`BackboneSpec.projections`) corrects
the initial fusion after `ROUNDS` projections onto both originals, and also sees MS, what MTF-degrading takes from PAN,
and what the initial fusion still misses of each original.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from clippan_models.adaptation.fusion import Prior
from clippan_models.adaptation.patches import Patches
from clippan_models.contracts import Views
from clippan_models.networks.anyband import SPEC, AnyBand

ROUNDS = SPEC.projections - 1
"""Projections of the initial fusion before an informed network sees it; one more shows what MS still misses of it."""


def is_informed(network: nn.Module) -> bool:
    """Whether a network is shown more than the initial fusion and PAN."""
    return isinstance(network, AnyBand)


def can_correct(network: nn.Module, prior: Prior) -> bool:
    """Whether a network has something to go by: an informed one has not where PAN does not follow from the bands."""
    return prior.trust > 0 or not is_informed(network)


def shown_images(
    prior: Prior, images: Views | Patches, onto_ms: Callable[[Tensor], Tensor], *, informed: bool
) -> tuple[Tensor, ...]:
    """What `SceneNetwork` is called with; the first is what it corrects.

    Args:
        prior: of the scene.
        images: a tile, or patches of one.
        onto_ms: projects an image onto MS.
        informed: the network is an informed one.
    """
    start = prior.initial_fusion(images.ms_up, images.pan, images.pan_low)
    if not informed:
        return start, images.pan
    for _ in range(ROUNDS):
        start = onto_ms(prior.onto_pan(start, images.pan))
    return start, images.pan, images.ms_up, images.pan_low, onto_ms(start) - start


class SceneNetwork(nn.Module):
    """A network as it works on one scene: images in DN, the fused image in DN."""

    def __init__(self, network: nn.Module, prior: Prior) -> None:
        super().__init__()
        self.network = network
        self.prior = prior

    def forward(self, *shown: Tensor) -> Tensor:
        """The fused image `[B, C, H, W]` by `shown_images`, all `[B, any, H, W]`."""
        if not can_correct(self.network, self.prior):
            return shown[0]
        image: Tensor = self.network(*network_inputs(self.prior, *shown))
        return image.float() * self.prior.ms_std + self.prior.ms_mean


def network_inputs(prior: Prior, start: Tensor, pan: Tensor, *informed: Tensor) -> tuple[Tensor, ...]:
    """The `shown_images` in standard deviations of the bands and of PAN, as networks take them, `[B, any, H, W]`.

    An informed network gets, after the initial fusion and PAN: MS, what MTF-degrading takes from PAN, what the initial
    fusion leaves unexplained of PAN, what MS misses of the initial fusion, and the facts about each band.
    """
    seen = prior.normalise(start), prior.normalise_pan(pan)
    if not informed:
        return seen
    ms_up, pan_low, missing = informed
    unexplained = pan - (prior.pan_weights * start).sum(-3, keepdim=True) - prior.pan_offset
    return (
        *seen,
        prior.normalise(ms_up),
        (pan - pan_low) / prior.pan_std,
        unexplained / prior.pan_std if prior.trust else torch.zeros_like(pan),
        missing / prior.ms_std,
        prior.facts.expand(len(start), -1, -1),
    )
