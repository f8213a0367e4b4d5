"""Spatial distortion D_sR: the share of PAN that no mixture of the bands explains (Alparone et al. 2018, RQNR)."""

from __future__ import annotations

import torch
from torch import Tensor

from clippan_models.ops.moments import Moments


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


def d_sr_of_moments(moments: Moments) -> float:
    """The same from the streamed moments of the bands and, as the last variable, PAN.

    The normal equations square the condition of the problem; in float64 that costs digits beyond the tenth.
    """
    gram, cov = moments.gram, moments.cov
    if bool(moments.flat[-1]):
        return 0.0
    weights = torch.linalg.lstsq(gram[:-1, :-1], gram[:-1, -1:], driver="gelsd").solution[:, 0]
    residual = torch.cat([-weights, torch.ones(1, dtype=weights.dtype)])
    return max(0.0, float(residual @ cov @ residual / cov[-1, -1]))
