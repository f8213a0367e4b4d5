"""Fill invalid pixels from their valid neighbours, so that a filter can run across them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from clippan_models.ops.toolbox import correlate_axis

if TYPE_CHECKING:
    from torch import Tensor


def fill_invalid(image: Tensor, valid: Tensor, reach: int) -> Tensor:
    """Replace each invalid pixel by a mean of the valid ones within `reach` rows and columns, the nearest foremost.

    Weights fall by e per row and per column: steep enough to continue the image beyond its border rather than to level
    it. Only what is near decides, so the result does not depend on where a window was cut.

    Args:
        image: `[C, H, W]`, any finite or NaN filler at invalid pixels, which is never looked at.
        valid: `[H, W]` bool.
        reach: pixels.

    Returns:
        `[C, H - 2 reach, W - 2 reach]`: the middle of the image; valid pixels as they were, invalid ones without any
        valid neighbour 0.
    """
    height, width = valid.shape
    middle = (slice(reach, height - reach), slice(reach, width - reach))
    if valid[middle].all():
        return image[:, *middle]
    weights = [math.exp(-abs(offset)) for offset in range(-reach, reach + 1)]
    known = torch.where(valid, image, 0.0)
    both = torch.cat([known, valid[None].to(known)])
    spread = correlate_axis(correlate_axis(both, weights, -2), weights, -1)
    amount = spread[-1:]
    nearby = spread[:-1] / torch.where(amount > 0, amount, 1.0)
    return torch.where(valid[middle], image[:, *middle], nearby)
