"""Relative dimensionless global error in synthesis, ERGAS (Wald 2000)."""

from __future__ import annotations

import math

from torch import Tensor

from clippan_models.errors import InputError


def ergas(reference: Tensor, fused: Tensor, ratio: float) -> float:
    """(100 / ratio) sqrt(mean over bands of MSE_b / mean(reference_b)^2).

    Args:
        reference: `[C, H, W]`, any unit. No nodata.
        fused: `[C, H, W]` in the same unit.
        ratio: PAN pixels per MS pixel, above 1.

    Returns:
        0 is ideal.

    Raises:
        InputError: a band of the reference has mean 0.
    """
    x, y = reference.double(), fused.double()
    level = x.mean(dim=(1, 2))
    if (level == 0).any():
        raise InputError("ERGAS divides by the mean of each reference band, and one band has mean 0")
    mse = ((x - y) ** 2).mean(dim=(1, 2))
    return 100 / ratio * math.sqrt(float((mse / level**2).mean()))
