"""AnyBand: one network for any number of bands of any sensor, told what the observation model knows of each band.

All bands pass through the same small layers, and share what they see through a wider trunk: after each block the mean
and the maximum over the bands of its output enter the trunk, whose features come back to every band. So a band's result
does not depend on its place among the others, and the trunk costs the same whatever their number. Everything happens at
half the resolution of PAN, on 2 x 2 pixels as channels (pixel unshuffle, Shi et al. 2016). Pooling over a set is that
of Deep Sets (Zaheer et al. 2017).
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from clippan_models.networks.layers import is_traced, same, zeroed
from clippan_models.networks.precision import fast_precision
from clippan_models.networks.spec import BackboneSpec, ByBands, Cost, Provenance, Training

_IMAGES, _FACTS = 6, 6  # of each band
_BLOCKS = 6
_FACTOR = 2  # pixels a side that become channels
_FARTHEST = 30.0  # standard deviations of an image: beyond the edge of a nearly constant band, 0 is a million away
_LARGEST = 4.0  # of a fact: weights of bands that resemble each other can be anything


class AnyBand(nn.Module):
    """The network; `forward` takes any number of bands."""

    def __init__(self, bands: int = 0, features: int = 32, shared: int = 64, blocks: int = _BLOCKS) -> None:
        """Make it with random weights from torch's generator and a zero head.

        Args:
            bands: of the scenes, which make no difference.
            features: of each band.
            shared: features of the trunk.
            blocks: residual blocks of both.
        """
        super().__init__()
        self.enter = same(_IMAGES * _FACTOR**2, features)
        self.facts = nn.Linear(_FACTS, features)
        self.share = nn.Conv2d(2 * features, shared, 1)
        self.blocks = nn.ModuleList(_Block(features, shared) for _ in range(blocks))
        self.leave = zeroed(same(features, _FACTOR**2))

    def forward(
        self,
        start: Tensor,
        pan: Tensor,
        ms_up: Tensor,
        detail: Tensor,
        unexplained: Tensor,
        missing: Tensor,
        facts: Tensor,
    ) -> Tensor:
        """Correct the initial fusion, `[B, C, H, W]`; all images are normalised (`adaptation.evidence.network_inputs`).

        Args:
            start: the initial fusion, `[B, C, H, W]`.
            pan: `[B, 1, H, W]`.
            ms_up: MS on the grid of PAN, `[B, C, H, W]`.
            detail: PAN less MTF-degraded PAN, `[B, C, H, W]`.
            unexplained: what the initial fusion does not explain of PAN, `[B, 1, H, W]`.
            missing: what MS misses of the initial fusion, `[B, C, H, W]`.
            facts: about each band, `[B, C, 6]` (`adaptation.fusion.Prior`).
        """
        (count, bands), (height, width) = start.shape[:2], start.shape[-2:]
        shown = (start, ms_up, pan.expand_as(start), detail, unexplained.expand_as(start), missing)
        images = torch.stack(shown, 2).flatten(0, 1).clamp(-_FARTHEST, _FARTHEST)
        if height % _FACTOR or width % _FACTOR:
            images = nn.functional.pad(images, (0, -width % _FACTOR, 0, -height % _FACTOR), mode="replicate")
        images = nn.functional.pixel_unshuffle(images, _FACTOR).contiguous(memory_format=torch.channels_last)
        with fast_precision(start.device):
            correction = nn.functional.pixel_shuffle(self._correction(images, facts, bands), _FACTOR)
        return start + correction.view(count, bands, *correction.shape[-2:])[..., :height, :width]

    def _correction(self, images: Tensor, facts: Tensor, bands: int) -> Tensor:
        """What to add, of each band, as channels: `[B C, 24, h, w] -> [B C, 4, h, w]`."""
        own = self.enter(images)
        known = self.facts(facts.clamp(-_LARGEST, _LARGEST)).flatten(0, 1)
        own = own + known[..., None, None].to(own.dtype)
        trunk = self.share(_over_bands(own, bands))
        for block in self.blocks:
            own, trunk = block(own, trunk, bands)
        correction: Tensor = self.leave(own)
        return correction


class _Block(nn.Module):
    """Two convolutions for each band, two for the trunk, and what they tell each other."""

    def __init__(self, features: int, shared: int) -> None:
        super().__init__()
        self.first, self.second = same(features, features), same(features, features)
        self.trunk_first, self.trunk_second = same(shared, shared), same(shared, shared)
        self.to_trunk, self.to_bands = nn.Conv2d(2 * features, shared, 1), zeroed(nn.Conv2d(shared, features, 1))

    def forward(self, own: Tensor, trunk: Tensor, bands: int) -> tuple[Tensor, Tensor]:
        """New features of the bands `[B C, f, h, w]` and of the trunk `[B, s, h, w]`."""
        found = self.second(nn.functional.gelu(self.first(own)))
        shared = trunk + self.to_trunk(_over_bands(found, bands))
        trunk = trunk + self.trunk_second(nn.functional.gelu(self.trunk_first(shared)))
        told = self.to_bands(trunk)[:, None]
        return ((own + found).view(-1, bands, *own.shape[1:]) + told).flatten(0, 1), trunk


def _over_bands(features: Tensor, bands: int) -> Tensor:
    """Mean and maximum over the bands: `[B C, f, h, w] -> [B, 2 f, h, w]`."""
    by_bands = features.view(-1, bands, *features.shape[1:])
    if not torch.is_grad_enabled():
        return _pooled(by_bands)
    pooled: Tensor = _Pooling.apply(by_bands)  # type: ignore[no-untyped-call]
    return pooled


def _pooled(by_bands: Tensor) -> Tensor:
    """`[B, C, f, h, w] -> [B, 2 f, h, w]`."""
    if is_traced():  # for any number of bands
        return torch.cat([by_bands.mean(1), by_bands.amax(1)], 1)
    each = by_bands.unbind(1)
    # band by band: reductions along such an axis take twice as long as the whole network otherwise does
    return torch.cat([reduce(torch.add, each) / len(each), reduce(torch.maximum, each)], 1)


class _Pooling(torch.autograd.Function):
    """`_pooled` with a gradient: PyTorch's own, step by step through the bands, takes a fifth of a training's time."""

    @staticmethod
    def forward(ctx: FunctionCtx, by_bands: Tensor) -> Tensor:
        pooled = _pooled(by_bands)
        ctx.save_for_backward(by_bands, pooled)
        return pooled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        by_bands, pooled = ctx.saved_tensors
        of_mean, of_largest = gradient[:, None].chunk(2, 2)
        each = of_mean / by_bands.shape[1]
        largest = by_bands == pooled[:, None].chunk(2, 2)[1]
        ties = reduce(torch.add, (band.to(gradient.dtype) for band in largest.split(1, 1)))
        return torch.where(largest, each + of_largest / ties, each)


_REACH = _FACTOR * (1 + 4 * _BLOCKS + 1)  # own and trunk features take turns: each block reaches four pixels further

SPEC = BackboneSpec(
    name="anyband",
    title="AnyBand: one network for any bands, trained beforehand on many images",
    network=AnyBand,
    tile_mode="exact",
    halo=ByBands(_REACH + _FACTOR - 1),
    overlap=_REACH + _FACTOR,
    padding="zero",
    cost=Cost(
        macs=ByBands(120_832, 29_664),
        training_bytes=ByBands(1536, 1048),
        working_bytes=ByBands(224, 152),
        cpu_seconds=ByBands(1.3, 0.48),
    ),
    training=Training(learning_rate=1e-4),
    provenance=Provenance(
        paper='of clippan; pooling over bands after Zaheer et al., "Deep Sets", NeurIPS 2017',
        doi="10.48550/arXiv.1703.06114",
        licence="Apache-2.0, with weights",
    ),
    align=_FACTOR,
    projections=3,
    weights="anyband.safetensors",
)
