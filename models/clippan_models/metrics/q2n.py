"""Q2n, the quality index of multispectral images as hypercomplex numbers (Garzelli & Nencini 2009).

Each pixel of B bands is a number with 2^n >= B components; the index is the modulus of the hypercomplex correlation
coefficient times the closeness of the means, block by block. With four bands it is Q4 (Alparone et al. 2004).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from clippan_models.metrics.blocks import split_blocks
from clippan_models.ops.toolbox import mirror

_EPSILON = torch.finfo(torch.float64).eps


def q2n(reference: Tensor, fused: Tensor, block: int = 32) -> float:
    """Q2n averaged over disjoint blocks, by the toolbox's conventions.

    Both images are rounded to unsigned 16 bit integers first, so they must be digital numbers, not reflectances in
    [0, 1]. Sides that are no multiple of `block` are extended by mirroring.

    Args:
        reference: `[C, H, W]`, DN. No nodata.
        fused: `[C, H, W]`, DN. The order matters: blocks are normalised by the reference.
        block: side of a block, pixels.

    Returns:
        In [0, 1]; 1 is ideal.
    """
    first, second = (split_blocks(_extend(image, block), block) for image in (reference, fused))
    return float(block_q2n(first, second).mean())


def block_q2n(reference: Tensor, fused: Tensor, valid: Tensor | None = None) -> Tensor:
    """Q2n of each block.

    A band that is flat in the reference is divided by the machine epsilon, as the toolbox does: unless it is equal in
    the fused image, the block scores 0. Blocks that are flat in both images score the closeness of their means.

    Args:
        reference: `[N, C, P]`, DN; rounded here.
        fused: `[N, C, P]`, DN; rounded here.
        valid: pixels to count, `[N, P]` bool; None counts all. Others never matter, whatever they hold.

    Returns:
        `[N]`, float64, in [0, 1].
    """
    if valid is None:
        valid = torch.ones_like(reference[:, 0], dtype=torch.bool)
    count = valid.sum(dim=1).clamp(min=2).to(torch.float64)[:, None]
    x, mean_x = _centre(reference, valid, count)
    y, mean_y = _centre(fused, valid, count)
    sum_xx, sum_yy = (x * x).sum(dim=2), (y * y).sum(dim=2)
    sigma = torch.sqrt(sum_xx / (count - 1))
    sigma = torch.where(sigma == 0, _EPSILON, sigma)
    sigma_y = torch.where(mean_x == 0, 1.0, sigma)  # the toolbox does not scale the fused band in this case

    # All means of the normalised reference are 1; so are those of the zero bands that fill up to 2^n components.
    components = 1 << (reference.shape[1] - 1).bit_length()
    mean_y = (mean_y - mean_x) / sigma_y + 1
    power_x = float(components)
    power_y = (mean_y**2).sum(dim=1) + (components - reference.shape[1])
    bias = 2 * torch.sqrt(power_x * power_y) / (power_x + power_y)

    cross = (x @ y.mT) / (sigma[:, :, None] * sigma_y[:, None, :])
    cross_modulus = torch.linalg.vector_norm(_hypercomplex(cross, components), dim=1)
    spread = (sum_xx / sigma**2).sum(dim=1) + (sum_yy / sigma_y**2).sum(dim=1)
    return bias * torch.where(spread > 0, 2 * cross_modulus / torch.where(spread > 0, spread, 1.0), 1.0)


def _centre(blocks: Tensor, valid: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Rounded blocks `[N, C, P]` less their means `[N, C]`, 0 in invalid pixels.

    Sums of 16 bit integers are exact, so flat blocks come out as exactly 0.
    """
    inside = valid[:, None, :]
    rounded = torch.where(inside, torch.floor(blocks.double() + 0.5).clamp(0, 65535), 0.0)
    mean = rounded.sum(dim=2) / count
    return torch.where(inside, rounded - mean[:, :, None], 0.0), mean


def _hypercomplex(cross: Tensor, components: int) -> Tensor:
    """sum(x conj(y)) as hypercomplex numbers `[N, 2^n]`, from the sums of all products of components `[N, C, C]`."""
    bands = cross.shape[1]
    table = _multiplication_table(components).to(cross.device)[:bands, :bands]
    return torch.einsum("nij,ijk->nk", cross, table)


@lru_cache(maxsize=8)
def _multiplication_table(components: int) -> Tensor:
    """T[i, j, k]: component k of e_i times the conjugate of e_j."""
    basis = torch.eye(components, dtype=torch.float64)
    rows = [torch.stack([_multiply(first, _conjugate(second)) for second in basis]) for first in basis]
    return torch.stack(rows)


def _multiply(x: Tensor, y: Tensor) -> Tensor:
    """Cayley-Dickson product with the conjugations that the toolbox chose (others give other indices above Q4)."""
    half = len(x) // 2
    if half == 0:
        return x * y
    a, b, c, d = x[:half], _conjugate(x[half:]), y[:half], _conjugate(y[half:])
    upper = _multiply(a, c) - _multiply(d, _conjugate(b))
    lower = _multiply(_conjugate(a), d) + _multiply(c, b)
    return torch.cat([upper, lower])


def _conjugate(x: Tensor) -> Tensor:
    return torch.cat([x[:1], -x[1:]])


def _extend(image: Tensor, block: int) -> Tensor:
    """Grow `[C, H, W]` at the right and bottom to multiples of `block`, mirrored with the edge pixel repeated."""
    for dim in (-2, -1):
        size = image.shape[dim]
        index = mirror(torch.arange(-(-size // block) * block, device=image.device), size)
        image = image.index_select(dim, index)
    return image
