"""Overshoot: how far a fused image leaves the range that MS and PAN span around a pixel. Rings and halos do.

Around a bright roof a ring is darker than anything MS or PAN shows there. For each band the range is that of the MS
samples and of PAN brought to the band's level, over the pixels around; what lies outside is overshoot. No published
index: a check beside the others, for comparing images of one scene.

PAN is brought to a band by its local mean: `P + mean(M_b - P)` in units of standard deviations of the scene, with means
over the same window, so that a field that is bright in one band only does not count as overshoot.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def overshoot(fused: Tensor, ms_near: Tensor, pan: Tensor, ratio: int, valid: Tensor | None = None) -> float:
    """Mean distance of valid pixels from the local range, over all bands, in standard deviations of the band.

    Args:
        fused: `[C, H, W]`, any unit.
        ms_near: MS by nearest neighbour, `[C, H, W]`, in that unit; interpolation with lobes would ring itself.
        pan: `[1, H, W]`, any unit.
        ratio: PAN pixels per MS pixel; the range is that of the 2 ratio + 1 pixels around, each way.
        valid: `[H, W]` bool, or None: all.

    Returns:
        0 where nothing leaves its range.
    """
    seen = torch.ones_like(pan[0], dtype=torch.bool) if valid is None else valid
    mean, std = _moments(ms_near, seen)
    pan_mean, pan_std = _moments(pan, seen)
    bands = torch.where(seen, (ms_near - mean) / std, 0.0)
    detail = torch.where(seen, (pan - pan_mean) / pan_std, 0.0).expand_as(bands)
    level = _average(bands - detail, seen, ratio)
    low = torch.minimum(_lowest(bands, ratio), _lowest(detail + level, ratio))
    high = torch.maximum(-_lowest(-bands, ratio), -_lowest(-(detail + level), ratio))
    image = (fused - mean) / std
    outside = functional.relu(low - image) + functional.relu(image - high)
    return float(outside[:, seen].mean())


def _moments(image: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    values = image[:, seen].double()
    std = values.std(1).clamp(min=1e-12)
    return values.mean(1)[:, None, None].to(image.dtype), std[:, None, None].to(image.dtype)


def _average(image: Tensor, seen: Tensor, radius: int) -> Tensor:
    def box(values: Tensor) -> Tensor:
        return functional.avg_pool2d(values[None], 2 * radius + 1, 1, radius, count_include_pad=False)[0]

    return box(image) / box(seen[None].to(image.dtype)).clamp(min=1e-6)


def _lowest(image: Tensor, radius: int) -> Tensor:
    return -functional.max_pool2d(-image[None], 2 * radius + 1, 1, radius)[0]
