"""Spectral angle mapper, SAM (Yuhas, Goetz & Boardman 1992)."""

from __future__ import annotations

import torch
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
    angles = spectral_angles(reference, fused)
    return float(angles.mean()) if angles.numel() else 0.0


def spectral_angles(reference: Tensor, fused: Tensor) -> Tensor:
    """The angles of all pixels that have one, degrees, in one row; arguments as above, or `[C, N]`."""
    x, y = reference.double(), fused.double()
    norms = torch.sqrt(_dot(x, x) * _dot(y, y))
    product, defined = _dot(x, y), norms > 0
    if not defined.all():
        product, norms = product[defined], norms[defined]
    return torch.rad2deg(torch.acos((product / norms).clamp(-1, 1))).flatten()


def _dot(x: Tensor, y: Tensor) -> Tensor:
    """Sum of products over the bands; band after band is several times faster than over a strided axis."""
    total = x[0] * y[0]
    for one, other in zip(x[1:], y[1:], strict=True):
        total = torch.addcmul(total, one, other)
    return total
