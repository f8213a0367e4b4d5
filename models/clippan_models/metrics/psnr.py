"""Peak signal-to-noise ratio, PSNR, in its two usual readings."""

from __future__ import annotations

import math

from torch import Tensor


def psnr(reference: Tensor, fused: Tensor, peak: float) -> float:
    """PSNR of each band, averaged over bands (MPSNR).

    Args:
        reference: `[C, H, W]`, DN. No nodata.
        fused: `[C, H, W]`, DN.
        peak: the largest possible value, 2^bits - 1.

    Returns:
        dB; infinite when a band is equal.
    """
    errors = ((reference.double() - fused.double()) ** 2).mean(dim=(1, 2)).tolist()
    return sum(decibel(peak, mse) for mse in errors) / len(errors)


def psnr_global(reference: Tensor, fused: Tensor, peak: float) -> float:
    """PSNR of one error over all bands together, usually 1 to 2 dB below `psnr`; arguments as there."""
    return decibel(peak, float(((reference.double() - fused.double()) ** 2).mean()))


def decibel(peak: float, mse: float) -> float:
    """10 log10(peak^2 / MSE), infinite without error."""
    return 10 * math.log10(peak**2 / mse) if mse > 0 else math.inf
