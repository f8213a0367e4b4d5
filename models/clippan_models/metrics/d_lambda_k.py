"""Spectral distortion D_lambda_K of HQNR: the MTF-degraded fused image against MS (Khan et al. 2009)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from clippan_models.metrics.q2n import q2n
from clippan_models.ops.toolbox import mtf_filter


def d_lambda_k(fused: Tensor, exp: Tensor, gains: Sequence[float], ratio: int, block: int = 32) -> float:
    """1 - Q2n(EXP, MTF(F)), at the PAN scale and without decimation, as the toolbox does.

    Args:
        fused: `[C, H, W]`, DN. No nodata.
        exp: MS interpolated by `interp23`, `[C, H, W]`, DN.
        gains: the sensor's gain at the MS Nyquist frequency, one per band.
        ratio: PAN pixels per MS pixel.
        block: side of a block, pixels.

    Returns:
        In [0, 1]; 0 is ideal.
    """
    return 1 - q2n(exp, mtf_filter(fused, gains, ratio), block)
