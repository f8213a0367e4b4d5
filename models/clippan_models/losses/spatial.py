"""Spatial loss, `spat`: a fitted 1x1 projection of the fused bands must be PAN (CLIPPan eq. 10)."""

from __future__ import annotations

from torch import Tensor

from clippan_models.losses.similarity import masked_difference


def spatial_loss(projected: Tensor, pan: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error plus 1 - SSIM, 0 when they agree.

    Args:
        projected: the projection of the fused image, `[B, 1, H, W]`, normalised to unit variance of PAN.
        pan: PAN in the same unit.
        mask: pixels that count, `[B, 1, H, W]`.
    """
    return masked_difference(projected, pan, mask)
