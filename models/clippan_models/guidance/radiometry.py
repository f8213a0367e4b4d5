"""Radiometry of images for CLIP: bands standardised by their scene, then a unit range, then CLIP's own normalisation.

A crop's own statistics would hide a colour cast or a loss of contrast, and digital numbers differ tenfold between
sensors. So every band is measured against the mean and standard deviation of its whole scene. Most pixels then lie
within 0 .. 1; nothing is clamped, since a gradient must pass through.
"""

from __future__ import annotations

import torch
from torch import Tensor

UNIT_MEAN = 0.5
"""Where a scene's mean lies in the unit range."""

UNIT_STD = 0.2
"""How far one standard deviation of a scene reaches in the unit range: 0 .. 1 is the mean -+ 2.5 of them."""

CLIP_MEAN = (0.4815, 0.4578, 0.4082)
"""Means of red, green and blue over CLIP's training images (Radford et al. 2021, to four digits)."""

CLIP_STD = (0.2686, 0.2613, 0.2758)
"""Their standard deviations."""

_STD_FLOOR = 1e-6


def to_unit(image: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Bring bands of a scene to about 0 .. 1: `0.5 + 0.2 (x - mean) / std`.

    Args:
        image: `[..., C, H, W]` in any linear unit.
        mean: `[C]` or `[B, C]`, the mean of each band over the whole scene, in that unit. The fused image and the MS
            share theirs, so that a colour cast stays visible; PAN has its own.
        std: the standard deviation, likewise. That of a constant band counts as 1e-6.

    Returns:
        The same shape, not clamped, differentiable.
    """
    std = torch.where(std > _STD_FLOOR, std, torch.full_like(std, _STD_FLOOR))
    return UNIT_MEAN + UNIT_STD * (image - mean[..., None, None]) / std[..., None, None]


def clip_normalise(rgb01: Tensor) -> Tensor:
    """CLIP's normalisation of red, green and blue: `[..., 3, H, W]` of about 0 .. 1, the same shape returned.

    Repeat a PAN image three times before.
    """
    mean = rgb01.new_tensor(CLIP_MEAN)[:, None, None]
    std = rgb01.new_tensor(CLIP_STD)[:, None, None]
    return (rgb01 - mean) / std
