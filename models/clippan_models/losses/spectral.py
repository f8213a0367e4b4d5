"""Spectral loss, `spec`: the MTF-degraded fused image must be the MS (CLIPPan eq. 9).

The paper degrades by bicubic interpolation; we use the blur and shift estimated for the scene, because a wrong one
makes this loss pull away from the truth.
"""

from __future__ import annotations

from torch import Tensor

from clippan_models.losses.similarity import masked_difference


def spectral_loss(degraded: Tensor, ms: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error plus 1 - SSIM, 0 when they agree.

    Args:
        degraded: the fused image brought to the MS grid, `[B, C, h, w]`, normalised to unit variance.
        ms: the MS samples in the same unit.
        mask: MS samples that count, `[B, 1, h, w]`.
    """
    return masked_difference(degraded, ms, mask)
