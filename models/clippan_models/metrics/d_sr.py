"""Spatial distortion D_sR: the share of PAN that no mixture of the bands explains (Alparone et al. 2018, RQNR)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def d_sr(fused: Tensor, pan: Tensor) -> float:
    """var(P - F a) / var(P) with a the least-squares weights of the bands, without intercept.

    Args:
        fused: `[C, H, W]`, any unit. No nodata.
        pan: `[1, H, W]`.

    Returns:
        0 is ideal; 0 too for a flat PAN, which any bands explain.
    """
    bands, target = fused.double().flatten(1).T, pan.double().flatten()[:, None]
    weights = torch.linalg.lstsq(bands, target).solution
    variance = target.var()
    return float((target - bands @ weights).var() / variance) if variance > 0 else 0.0
