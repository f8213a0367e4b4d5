"""MTF-GLP: detail of a Laplacian pyramid matched to the sensor's MTF, added or multiplied (Aiazzi et al. 2006).

The pyramid is that of B. Aiazzi, L. Alparone, S. Baronti, A. Garzelli, M. Selva, "MTF-tailored multiscale fusion of
high-resolution MS and Pan imagery", PE&RS 72(5), 2006. With M the interpolated MS and L_b the PAN as band b would have
seen it, two ways to give the detail P - L_b its gain, both from the statistics of the whole scene:

- FS, regression at full scale (G. Vivone, R. Restaino, J. Chanussot, "Full scale regression-based injection
  coefficients for panchromatic sharpening", IEEE TIP 27(7), 2018):

      g_b = cov(M_b, P) / cov(L_b, P),    F_b = M_b + g_b (P - L_b)

- HPM-R, high-pass modulation after regression (G. Vivone, R. Restaino, J. Chanussot, "A regression-based high-pass
  modulation pansharpening approach", IEEE TGRS 56(2), 2018):

      g_b = cov(M_b, L_b) / var L_b,    c_b = mean M_b / g_b - mean P,    F_b = M_b (P + c_b) / (L_b + c_b)

HPM-R is computed as F_b = M_b (1 + g_b (P - L_b) / (g_b (L_b - mean P) + mean M_b)): the same, but regular at g_b = 0.
The toolbox of Vivone et al. (2015) leaves the denominator as it is; where it crosses 0 (dark water does that) results
are off by thousands of DN. Here it never falls below 1 % of the band's mean, and the ratio is kept in [0, 10].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clippan_models.contracts import Views
from clippan_models.ops.moments import Moments

# A low-pass PAN with less than this share of the variance of PAN is rounding: PAN shows nothing at the MS scale.
_NOTHING_LEFT = 1e-9
_SMALLEST_DENOMINATOR = 0.01
_LARGEST_RATIO = 10.0


class _PyramidFitter:
    """Gathers the moments of the bands, of the low-pass PAN of each, and of PAN."""

    halo = 0

    def __init__(self) -> None:
        self._moments = Moments()

    def update(self, views: Views) -> None:
        """Take one tile into account."""
        self._moments.update((views.ms_up, views.pan_low, views.pan), views.core)


class MtfGlpFsFitter(_PyramidFitter):
    """Gathers the regression coefficients of MTF-GLP-FS."""

    def finish(self) -> MtfGlpFsSharpener:
        """The fitted method; InputError when no pixel of the scene is valid."""
        moments = self._moments.nonempty()
        with_pan = moments.cov[-1]
        bands = len(with_pan) // 2
        gains = _divide(with_pan[:bands], with_pan[bands:-1], moments)
        return MtfGlpFsSharpener(tuple(gains.tolist()))


class MtfGlpHpmRFitter(_PyramidFitter):
    """Gathers the regression coefficients of MTF-GLP-HPM-R."""

    def finish(self) -> MtfGlpHpmRSharpener:
        """The fitted method; InputError when no pixel of the scene is valid."""
        moments = self._moments.nonempty()
        cov, mean = moments.cov, moments.mean
        bands = len(mean) // 2
        gains = _divide(cov.diagonal(offset=bands)[:bands], cov.diagonal()[bands:-1], moments)
        offsets = mean[:bands] - gains * mean[-1]
        return MtfGlpHpmRSharpener(tuple(gains.tolist()), tuple(offsets.tolist()), tuple(mean[:bands].abs().tolist()))


def _divide(numerator: Tensor, denominator: Tensor, moments: Moments) -> Tensor:
    usable = (denominator > _NOTHING_LEFT * moments.cov[-1, -1]) & ~moments.flat[-1]
    return torch.where(usable, numerator / torch.where(usable, denominator, 1.0), 0.0)


@dataclass(frozen=True)
class MtfGlpFsSharpener:
    """MTF-GLP-FS with the scene's gains.

    Attributes:
        gains: the gain g_b of the detail in each band; 0 when PAN is constant or shows nothing at the MS scale.
    """

    gains: tuple[float, ...]

    halo = 0  # every pixel is computed from itself alone

    def sharpen(self, views: Views) -> Tensor:
        """The fused image `[C, H, W]`, DN."""
        fused = torch.sub(views.pan, views.pan_low)
        for band, gain, result in zip(views.ms_up, self.gains, fused, strict=True):
            result.mul_(gain).add_(band)
        return fused


@dataclass(frozen=True)
class MtfGlpHpmRSharpener:
    """MTF-GLP-HPM-R with the scene's regression of each band on its low-pass PAN.

    Attributes:
        gains: slope g_b of that regression; 0 when PAN is constant or shows nothing at the MS scale.
        offsets: mean M_b - g_b mean P, DN.
        levels: absolute mean of each band, DN; 1 % of it is the smallest denominator.
    """

    gains: tuple[float, ...]
    offsets: tuple[float, ...]
    levels: tuple[float, ...]

    halo = 0  # every pixel is computed from itself alone

    def sharpen(self, views: Views) -> Tensor:
        """The fused image `[C, H, W]`, DN; between 0 and 10 times the interpolated MS."""
        fused = torch.sub(views.pan, views.pan_low)
        scratch = torch.empty_like(fused[0])
        fitted = zip(self.gains, self.offsets, self.levels, strict=True)
        for band, low, ratio, (gain, offset, level) in zip(views.ms_up, views.pan_low, fused, fitted, strict=True):
            predicted = torch.mul(low, gain, out=scratch).add_(offset)
            predicted.clamp_(min=max(_SMALLEST_DENOMINATOR * level, torch.finfo(predicted.dtype).tiny))
            ratio.mul_(gain).div_(predicted).add_(1.0).clamp_(0.0, _LARGEST_RATIO).mul_(band)
        return fused
