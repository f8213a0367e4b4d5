"""Spatial distortion D_s of QNR: how much the Q between each band and PAN changed (Alparone et al. 2008)."""

from __future__ import annotations

from torch import Tensor

from clippan_models.metrics.uiqi import uiqi


def d_s(
    fused: Tensor,
    pan: Tensor,
    reference: Tensor,
    pan_low: Tensor,
    block: int = 32,
    reference_block: int | None = None,
) -> float:
    """Mean over bands of |Q(F_b, P) - Q(M_b, P_low)|.

    The toolbox takes M = EXP and P_low = interp23(imresize_bicubic(P, 1 / r), r), and that is what published tables
    hold. The paper takes the MS and the decimated PAN; give `reference_block = block / ratio`.

    Args:
        fused: `[C, H, W]`, sides multiples of `block`. No nodata.
        pan: `[1, H, W]`, in the same unit.
        reference: EXP `[C, H, W]` or MS `[C, h, w]`.
        pan_low: low-pass PAN on the grid of `reference`, one plane for all bands or one for each.
        block: side of a block of `fused`, pixels.
        reference_block: side of a block of `reference`; the same when None.

    Returns:
        0 is ideal.
    """
    q_fused = uiqi(fused, pan.expand_as(fused), block)
    q_reference = uiqi(reference, pan_low.expand_as(reference), reference_block or block)
    return distortion_of_bands(q_fused, q_reference)


def distortion_of_bands(q_fused: Tensor, q_reference: Tensor) -> float:
    """Mean absolute difference of two lists `[C]` of Q with PAN."""
    return float((q_fused - q_reference).abs().mean())
