"""What losses share: means under a mask, and structural similarity as a differentiable image (Wang et al. 2004).

Unlike the index `metrics.ssim`, which is exact where its window fits, this SSIM has a value at every pixel, is stable
in float32 and gives gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SIGMA, _SIDE = 1.5, 11


def masked_mean(image: Tensor, mask: Tensor) -> Tensor:
    """Mean of `[B, C, H, W]` over the pixels where `mask [B, 1 or C, H, W]` is set; 0 if there are none."""
    weight = mask.to(image.dtype).expand_as(image)
    return (image * weight).sum() / weight.sum().clamp(min=1)


def masked_difference(one: Tensor, other: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error plus 1 - SSIM over a mask `[B, 1, H, W]`, for images `[B, C, H, W]` of unit variance."""
    return masked_mean((one - other) ** 2, mask) + masked_mean(1 - ssim_map(one, other, data_range=4.0), mask)


def ssim_map(one: Tensor, other: Tensor, data_range: float) -> Tensor:
    """SSIM of every pixel, `[B, C, H, W]`, with an 11x11 Gaussian window (borders replicated).

    Args:
        one: `[B, C, H, W]`.
        other: the same shape.
        data_range: what counts as full contrast, in the unit of the images.
    """
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean1, mean2 = _smooth(one), _smooth(other)
    # central moments of differences to one common level: stable in float32 for images far from zero
    level = one.detach().mean((-2, -1), keepdim=True)
    a, b = one - level, other - level
    ma, mb = _smooth(a), _smooth(b)
    var1, var2 = _smooth(a * a) - ma * ma, _smooth(b * b) - mb * mb
    covariance = _smooth(a * b) - ma * mb
    luminance = (2 * mean1 * mean2 + c1) / (mean1**2 + mean2**2 + c1)
    return luminance * (2 * covariance + c2) / (var1.clamp(min=0) + var2.clamp(min=0) + c2)


def _smooth(image: Tensor) -> Tensor:
    channels = image.shape[1]
    offset = torch.arange(_SIDE, dtype=image.dtype, device=image.device) - _SIDE // 2
    kernel = torch.exp(-0.5 * (offset / _SIGMA) ** 2)
    kernel = (kernel / kernel.sum()).expand(channels, 1, _SIDE)
    pad = _SIDE // 2
    padded = torch.nn.functional.pad(image, (pad,) * 4, mode="replicate")
    rows = torch.nn.functional.conv2d(padded, kernel[..., None], groups=channels)
    return torch.nn.functional.conv2d(rows, kernel[:, :, None], groups=channels)
