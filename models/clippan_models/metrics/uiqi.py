"""Universal image quality index Q on disjoint blocks (Wang & Bovik 2002).

    Q = 4 cov(x, y) mean(x) mean(y) / ((var x + var y) (mean(x)^2 + mean(y)^2))

1 for equal images, less for a loss of correlation, a change of mean or a change of contrast, in [-1, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

from clippan_models.metrics.blocks import BlockMoments, block_moments, split_blocks

_FLAT = 1e-16
"""Variance over squared mean below which a block is flat: interpolating a constant leaves ripples of 2e-19."""


def uiqi(image: Tensor, other: Tensor, block: int = 32) -> Tensor:
    """Q of each band, averaged over disjoint blocks.

    Args:
        image: `[C, H, W]`, any unit; sides are multiples of `block`. No nodata.
        other: `[C, H, W]` in the same unit.
        block: side of a block, pixels.

    Returns:
        `[C]`, float64, differentiable.
    """
    bands = image.shape[0]
    moments = block_moments(split_blocks(torch.cat([image.double(), other.double()]), block))
    pairs = pairwise_uiqi(moments)[:, :bands, bands:]
    return pairs.diagonal(dim1=1, dim2=2).mean(dim=0)


def pairwise_uiqi(moments: BlockMoments) -> Tensor:
    """Q of every variable with every other, block by block: `[N, K, K]`.

    Two flat variables follow Wang and Bovik: 2 mean(x) mean(y) / (mean(x)^2 + mean(y)^2), or 1 where both are 0.
    """
    mean, variance = moments.mean, moments.cov.diagonal(dim1=1, dim2=2)
    product = mean[:, :, None] * mean[:, None, :]
    power = mean[:, :, None] ** 2 + mean[:, None, :] ** 2
    spread = variance[:, :, None] + variance[:, None, :]
    luminance = _ratio(2 * product, power, power > 0)
    structure = _ratio(2 * moments.cov, spread, spread > _FLAT * power)
    return luminance * structure


def _ratio(numerator: Tensor, denominator: Tensor, defined: Tensor) -> Tensor:
    """The quotient, or 1 where it is not defined; the inner `where` keeps NaN out of the gradient as well."""
    return torch.where(defined, numerator / torch.where(defined, denominator, 1.0), 1.0)
