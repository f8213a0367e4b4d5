"""Spectral distortion D_lambda of QNR: how much the Q between bands changed (Alparone et al. 2008)."""

from __future__ import annotations

import torch
from torch import Tensor

from clippan_models.metrics.blocks import block_moments, split_blocks
from clippan_models.metrics.uiqi import pairwise_uiqi


def d_lambda(fused: Tensor, reference: Tensor, block: int = 32, reference_block: int | None = None) -> float:
    """Mean over band pairs of |Q(F_i, F_j) - Q(M_i, M_j)|.

    The toolbox takes the interpolated MS (EXP) as M, and that is what published tables hold. The paper takes the MS
    itself, with blocks of the same extent: give `reference_block = block / ratio`.

    Args:
        fused: `[C, H, W]`, sides multiples of `block`. No nodata.
        reference: EXP `[C, H, W]` or MS `[C, h, w]`, in the same unit.
        block: side of a block of `fused`, pixels.
        reference_block: side of a block of `reference`; the same when None.

    Returns:
        0 is ideal; 0 too for a single band, which has no pairs.
    """
    reference_block = reference_block or block
    return distortion_of_pairs(_mean_pairs(fused, block), _mean_pairs(reference, reference_block))


def distortion_of_pairs(q_fused: Tensor, q_reference: Tensor) -> float:
    """Mean absolute difference above the diagonal of two tables `[C, C]` of Q between bands."""
    rows, cols = torch.triu_indices(len(q_fused), len(q_fused), offset=1)
    if not len(rows):
        return 0.0
    return float((q_fused - q_reference)[rows, cols].abs().mean())


def _mean_pairs(image: Tensor, block: int) -> Tensor:
    return pairwise_uiqi(block_moments(split_blocks(image, block))).mean(dim=0)
