"""Average universal quality index, Q_avg: Q in a sliding window (Wang & Bovik 2002; Vivone et al. 2015)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from clippan_models.metrics.blocks import BlockMoments
from clippan_models.metrics.uiqi import pairwise_uiqi


def q_avg(reference: Tensor, fused: Tensor, window: int = 32) -> float:
    """Q over all positions of a square window, averaged over positions, then bands.

    Args:
        reference: `[C, H, W]`, any unit, sides at least `window`. No nodata.
        fused: `[C, H, W]` in the same unit.
        window: side of the window, pixels.

    Returns:
        In [-1, 1]; 1 is ideal.
    """
    bands = zip(reference.double(), fused.double(), strict=True)
    means = [float(_sliding_q(x, y, window).mean()) for x, y in bands]
    return sum(means) / len(means)


def _sliding_q(x: Tensor, y: Tensor, window: int) -> Tensor:
    """Q at each position, `[N]`, from images `[H, W]`."""
    shift = torch.stack([x.mean(), y.mean()])
    x, y = x - shift[0], y - shift[1]  # the variance is a difference of moments, small only for centred images
    planes = torch.stack([x, y, x * x, x * y, x * y, y * y])
    moving = avg_pool2d(planes[None], window, stride=1)[0].flatten(1).T
    mean, second = moving[:, :2], moving[:, 2:].reshape(-1, 2, 2)
    cov = second - mean[:, :, None] * mean[:, None, :]
    return pairwise_uiqi(BlockMoments(mean + shift, cov))[:, 0, 1]
