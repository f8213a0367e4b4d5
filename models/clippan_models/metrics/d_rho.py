"""Spatial distortion D_rho: how little the bands correlate with PAN, pixel by pixel (Scarpa & Ciotola 2022).

    D_rho = mean over bands and pixels of 1 - rho,    rho = S_xy / sqrt(S_xx S_yy)

where S are sums over a window of 2w x 2w pixels, from i - w + 1 to i + w, of products of the residuals of a moving mean
over the same window. w = ceil(ratio / 2): the window is one MS pixel.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from clippan_models.contracts import Window

_TINY = 1e-20
"""Keeps flat windows defined; they count as uncorrelated."""


def d_rho(fused: Tensor, pan: Tensor, ratio: float) -> float:
    """Mean lack of local correlation with PAN; pixels beyond the border count as 0.

    Args:
        fused: `[C, H, W]`, any unit. No nodata.
        pan: `[1, H, W]`.
        ratio: PAN pixels per MS pixel.

    Returns:
        In [0, 2]; 0 is ideal.
    """
    half = half_width(ratio)
    before, after = 2 * half - 2, 2 * half
    margins = (before, after, before, after)
    inside = pad(torch.ones_like(pan[0], dtype=torch.bool), margins)
    field = correlation_field(pad(fused.double(), margins), pad(pan.double(), margins), inside, half)
    return float((1 - field).mean())


def half_width(ratio: float) -> int:
    """w: half the side of the window, PAN pixels."""
    return math.ceil(ratio / 2)


def grown_for_field(window: Window, half: int) -> Window:
    """The window of pixels that `correlation_field` must be given to answer for `window`."""
    before, extra = 2 * half - 2, 4 * half - 2
    return Window(window.row - before, window.col - before, window.height + extra, window.width + extra)


def correlation_field(image: Tensor, pan: Tensor, inside: Tensor, half: int) -> Tensor:
    """Local correlation rho of each band with PAN, where all that it depends on is given.

    Args:
        image: `[C, H, W]` with 2w - 2 more pixels above and left, 2w below and right than are asked for.
        pan: `[1, H, W]`.
        inside: `[H, W]` bool, False beyond the border of the scene; images must be 0 there, residuals are taken as 0.
        half: w.

    Returns:
        `[C, H - 4w + 2, W - 4w + 2]` in [-1, 1].
    """
    size = 2 * half
    y = _residual(pan[0].double(), inside, half)
    s_yy = box_sum(y * y, size).clamp(min=_TINY)

    def one(band: Tensor) -> Tensor:
        x = _residual(band.double(), inside, half)
        s_xx = box_sum(x * x, size).clamp(min=_TINY)
        rho = box_sum(x * y, size) / (torch.sqrt(s_xx * s_yy) + _TINY)
        return rho.clamp(-1, 1)

    return torch.stack([one(band) for band in image])  # one band at a time stays in the cache


def box_sum(image: Tensor, size: int) -> Tensor:
    """Sums over all positions of a square window: `[.., H, W]` to `[.., H - size + 1, W - size + 1]`."""
    for dim in (-2, -1):
        count = image.shape[dim] - size + 1
        total = image.narrow(dim, 0, count).clone()
        for offset in range(1, size):
            total += image.narrow(dim, offset, count)
        image = total
    return image


def _residual(image: Tensor, inside: Tensor, half: int) -> Tensor:
    """The image less its moving mean, 2w - 1 pixels smaller per axis."""
    size = 2 * half
    core = (slice(half - 1, -half), slice(half - 1, -half))
    residual = image[..., core[0], core[1]] - box_sum(image, size) / size**2
    return residual * inside[core]
