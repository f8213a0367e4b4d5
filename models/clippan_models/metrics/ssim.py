"""Structural similarity, SSIM (Wang, Bovik, Sheikh & Simoncelli 2004)."""

from __future__ import annotations

import torch
from torch import Tensor

from clippan_models.ops.toolbox import correlate_axis

_SIGMA = 1.5
REACH = 5
"""Pixels on each side of a position that its SSIM looks at."""
_K1, _K2 = 0.01, 0.03


def ssim(reference: Tensor, fused: Tensor, peak: float) -> float:
    """SSIM of each band in an 11 x 11 Gaussian window (sigma 1.5), averaged over positions and bands.

    As in the paper: population variance, only positions where the window fits. The image is not scaled down first, as
    the authors' later program does.

    Args:
        reference: `[C, H, W]`, DN, sides at least 11. No nodata.
        fused: `[C, H, W]`, DN.
        peak: the largest possible value, 2^bits - 1.

    Returns:
        In [-1, 1]; 1 is ideal.
    """
    return float(ssim_field(reference, fused, peak).mean())


def ssim_field(reference: Tensor, fused: Tensor, peak: float) -> Tensor:
    """SSIM of each band at each position where the window fits, `[C, H - 10, W - 10]`, float64; arguments as above."""
    x, y = reference.double(), fused.double()
    mean_x, mean_y = _smooth(x), _smooth(y)
    var_x, var_y = _smooth(x * x) - mean_x**2, _smooth(y * y) - mean_y**2
    cov = _smooth(x * y) - mean_x * mean_y
    c1, c2 = (_K1 * peak) ** 2, (_K2 * peak) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * cov + c2) / (var_x + var_y + c2)
    return luminance * structure


def _smooth(image: Tensor) -> Tensor:
    offset = torch.arange(-REACH, REACH + 1, dtype=torch.float64)
    taps = torch.exp(-(offset**2) / (2 * _SIGMA**2))
    weights = (taps / taps.sum()).tolist()
    return correlate_axis(correlate_axis(image, weights, -2), weights, -1)
