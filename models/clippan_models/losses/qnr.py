"""QNR loss, `qnr`: 1 - (1 - D_lambda)(1 - D_s) over disjoint blocks (Alparone et al. 2008; CLIPPan eq. 11).

The paper prints the quality itself, which minimisation would make worse; this is its complement. Block statistics are
taken in float32 about the block mean, with a floor in the denominators: a flat block gives 1, not NaN.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

_FLOOR = 1e-8


def qnr_loss(fused: Tensor, exp: Tensor, pan: Tensor, pan_low: Tensor, block: int = 32) -> Tensor:
    """1 - QNR of a batch of patches, between 0 and 1.

    Args:
        fused: `[B, C, H, W]`, in units of the data range (about 0 .. 1), H and W multiples of `block`.
        exp: the interpolated MS, same shape and unit; what the bands' relations should be.
        pan: `[B, 1, H, W]`.
        pan_low: MTF-degraded PAN, interpolated back, `[B, 1 or C, H, W]`.
        block: side of the blocks in pixels.
    """
    fused_blocks, exp_blocks = _blocks(fused, block), _blocks(exp, block)
    pan_blocks, low_blocks = _blocks(pan, block), _blocks(pan_low, block)
    bands = range(fused.shape[1])
    spectral = [
        (_uiqi(fused_blocks[:, i], fused_blocks[:, j]) - _uiqi(exp_blocks[:, i], exp_blocks[:, j])).abs()
        for i, j in combinations(bands, 2)
    ]
    low = [low_blocks[:, min(i, low_blocks.shape[1] - 1)] for i in bands]
    spatial = [(_uiqi(fused_blocks[:, i], pan_blocks[:, 0]) - _uiqi(exp_blocks[:, i], low[i])).abs() for i in bands]
    d_lambda = torch.stack(spectral).mean() if spectral else fused.new_zeros(())
    d_s = torch.stack(spatial).mean()
    return 1 - (1 - d_lambda) * (1 - d_s)


def _blocks(image: Tensor, side: int) -> Tensor:
    """`[B, C, H, W] -> [B, C, blocks, side * side]`."""
    b, c, height, width = image.shape
    tiles = image.reshape(b, c, height // side, side, width // side, side)
    return tiles.transpose(3, 4).reshape(b, c, -1, side * side)


def _uiqi(one: Tensor, other: Tensor) -> Tensor:
    """Mean universal quality index of blocks `[B, blocks, pixels]`."""
    mean1, mean2 = one.mean(-1), other.mean(-1)
    a, b = one - mean1[..., None], other - mean2[..., None]
    covariance, variance = (a * b).mean(-1), (a * a + b * b).mean(-1)
    numerator = 4 * covariance * mean1 * mean2 + _FLOOR
    return (numerator / (variance * (mean1**2 + mean2**2) + _FLOOR)).mean()
