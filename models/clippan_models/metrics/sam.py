"""Spectral angle mapper, SAM (Yuhas, Goetz & Boardman 1992)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def sam(reference: Tensor, fused: Tensor) -> float:
    """Mean angle between the spectra of the two images.

    Args:
        reference: `[C, H, W]`, any unit. No nodata.
        fused: `[C, H, W]`; its scale does not matter.

    Returns:
        Degrees; 0 is ideal. Pixels that are 0 in all bands of either image have no angle and are left out; 0 if there
        are no others.
    """
    x, y = reference.double(), fused.double()
    norms = torch.linalg.vector_norm(x, dim=0) * torch.linalg.vector_norm(y, dim=0)
    defined = norms > 0
    if not defined.any():
        return 0.0
    cosine = ((x * y).sum(dim=0)[defined] / norms[defined]).clamp(-1, 1)
    return float(torch.rad2deg(torch.acos(cosine)).mean())
