"""How much of what a network's image misses of PAN is its error: the rest no image with these bands would show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from clippan_models.adaptation.archive import evenly
from clippan_models.adaptation.fusion import Prior
from clippan_models.adaptation.objective import fuse
from clippan_models.adaptation.patches import Patches, full_patches
from clippan_models.adaptation.processes import to_device
from clippan_models.contracts import Observation, Tile
from clippan_models.networks.precision import full_precision

_TILES = 8

_LEAST_SHARE = 0.5
"""What the bands do not explain is known as an upper bound only: noise of MS and bands that lie apart count, too.

Of 0, 0.3, 0.5, 0.7 and 1 the best on held-out simulated pairs.
"""

BORDER = 12
"""PAN pixels at the edge of a patch that do not count: projections and network do not see their surroundings."""


@torch.no_grad()
def weigh_error(
    network: nn.Module, prior: Prior, tiles: Sequence[Tile], observation: Observation, rounds: int
) -> Prior:
    """The prior with the `error_share` of a network, measured on some of the tiles; as it is where nothing follows PAN.

    Args:
        network: in evaluation mode.
        prior: of the scene, on the device of the network.
        tiles: of the scene, read with `fit_halo`.
        observation: the scene's model.
        rounds: projections after the network.
    """
    if not rounds or prior.trust == 0:
        return prior
    parts = (full_patches([tiles[number]], observation) for number in evenly(len(tiles), _TILES))
    patches = (to_device(part, prior.gains.device) for part in parts)
    with full_precision():  # as the image is sharpened
        return with_error_share(prior, ((fuse(network, prior, part, rounds=0), part) for part in patches))


@torch.no_grad()
def with_error_share(prior: Prior, fused: Iterable[tuple[Tensor, Patches]]) -> Prior:
    """The prior with the `error_share` of images by a network, `[N, C, H, W]`, DN, of patches.

    The mean square of what they miss of PAN is that of their error plus that of what the bands do not explain.
    """
    squares, count = 0.0, 0
    inner = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    for image, patches in fused:
        missing = prior.missing_of_pan(image, patches.pan)[inner]
        counted = (patches.valid & (patches.pan < prior.pan_saturation))[inner]
        squares += float(missing[counted].cpu().double().square().sum())  # not every device has float64
        count += int(counted.sum())
    share = 1 - prior.pan_unexplained * count / squares if squares else 1.0
    return replace(prior, error_share=max(_LEAST_SHARE, share))
