"""Correlation loss, `rho`: the detail of a band follows PAN's at least as closely as the band does where MS shows both.

    L_rho = mean max(0, rho_low - rho)

rho is the local correlation of a fused band with PAN in windows of about one MS pixel (D_rho: Scarpa, Ciotola 2022),
rho_low that of the interpolated MS with MTF-degraded PAN, in windows of as many MS samples. The target is
that of Z-PNN (Ciotola et al. 2022): a band that PAN hardly sees is not forced to look like it. Without this term,
colours that a network has learned one scale down come out as fringes along lines that MS cannot resolve.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from clippan_models.losses.similarity import masked_mean

_FLOOR = 1e-8
"""Added to products of variances, for images of about unit variance: flat windows count as uncorrelated."""


def correlation_loss(fused: Tensor, pan: Tensor, exp: Tensor, pan_low: Tensor, ratio: float, mask: Tensor) -> Tensor:
    """How much the local correlation with PAN falls short of what MS shows, 0 .. 2.

    Args:
        fused: `[B, C, H, W]`, normalised to about unit variance.
        pan: `[B, 1, H, W]`, likewise.
        exp: the interpolated MS, in the unit of `fused`.
        pan_low: MTF-degraded PAN, interpolated back, `[B, C, H, W]`, in the unit of `pan`.
        ratio: PAN pixels per MS pixel.
        mask: pixels that count, `[B, 1, H, W]`.
    """
    reach = max(1, round(ratio / 2))
    with torch.no_grad():
        shown = local_correlation(exp, pan_low, round(ratio * reach))
    return masked_mean((shown - local_correlation(fused, pan, reach)).clamp(min=0), mask)


def local_correlation(one: Tensor, other: Tensor, reach: int) -> Tensor:
    """Correlation in the window of `reach` pixels to each side, fewer at the border: `[B, C, H, W]` in [-1, 1].

    Args:
        one: `[B, C, H, W]`.
        other: `[B, 1 or C, H, W]`.
        reach: PAN pixels.
    """
    a, b = one - _mean_around(one, reach), other - _mean_around(other, reach)
    covariance = _mean_around(a * b, reach)
    return covariance / torch.sqrt(_mean_around(a * a, reach) * _mean_around(b * b, reach) + _FLOOR)


def _mean_around(image: Tensor, reach: int) -> Tensor:
    side = 2 * reach + 1
    rows = avg_pool2d(image, (side, 1), 1, (reach, 0), count_include_pad=False)
    return avg_pool2d(rows, (1, side), 1, (0, reach), count_include_pad=False)
