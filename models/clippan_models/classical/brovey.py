"""Brovey: every band is multiplied by PAN over the intensity, PAN first matched to it (Gillespie et al. 1987).

A. R. Gillespie, A. B. Kahle, R. E. Walker, "Color enhancement of highly correlated images. II. Channel ratio and
'chromaticity' transformation techniques", Remote Sensing of Environment 22(3), 1987. With M the interpolated MS:

    I = sum_b w_b M_b,    P' = (P - mean P) std I / std P + mean I,    F_b = M_b P' / I

The weights are all 1 / B unless others are given. The means and standard deviations are those of the scene. Common code
adds 1e-8 to I, which turns pixels with I near 0 into spikes; here the ratio is 1 where I is not positive, and is kept
in [0, 10].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clippan_models.contracts import Views
from clippan_models.ops.moments import Moments

# Intensities below this share of the scene's mean intensity are taken for 0: rounding decides their sign.
_SMALLEST_INTENSITY = 1e-6
_LARGEST_RATIO = 10.0


class BroveyFitter:
    """Gathers the means and standard deviations of intensity and PAN."""

    halo = 0

    def __init__(self, weights: tuple[float, ...] | None = None) -> None:
        """Begin, with the share of each band in the intensity; None: all alike."""
        self._moments = Moments()
        self._weights = weights

    def update(self, views: Views) -> None:
        """Take one tile into account."""
        self._moments.update((views.ms_up, views.pan), views.core)

    def finish(self) -> BroveySharpener:
        """The fitted method; InputError when no pixel of the scene is valid."""
        moments = self._moments.nonempty()
        mean, cov = moments.mean, moments.cov
        mean_i, var_i = float(mean[:-1].mean()), float(cov[:-1, :-1].mean())
        if self._weights is not None:
            share = mean.new_tensor(self._weights)
            mean_i, var_i = float(share @ mean[:-1]), float(share @ cov[:-1, :-1] @ share)
        gain = 0.0 if moments.flat[-1] else (max(var_i, 0.0) / float(cov[-1, -1])) ** 0.5
        return BroveySharpener(gain, mean_i - gain * float(mean[-1]), _SMALLEST_INTENSITY * abs(mean_i), self._weights)


@dataclass(frozen=True)
class BroveySharpener:
    """Brovey with the scene's matching of PAN to the intensity.

    Attributes:
        pan_gain: std I / std P; 0 when PAN or the intensity is constant, then nothing is sharpened.
        pan_offset: what takes the mean of `pan_gain` P to that of I, DN.
        smallest_intensity: at or below this I the ratio is 1, DN.
        weights: the share of each band in the intensity; None: all alike.
    """

    pan_gain: float
    pan_offset: float
    smallest_intensity: float
    weights: tuple[float, ...] | None = None

    halo = 0  # every pixel is computed from itself alone

    def sharpen(self, views: Views) -> Tensor:
        """The fused image `[C, H, W]`, DN."""
        ms = views.ms_up
        if self.pan_gain == 0.0:
            return ms.clone()
        intensity = self._intensity(ms)
        ratio = views.pan[0] * self.pan_gain
        ratio.add_(self.pan_offset).div_(intensity).clamp_(0.0, _LARGEST_RATIO)
        ratio.masked_fill_(intensity <= self.smallest_intensity, 1.0)
        return torch.mul(ms, ratio)

    def _intensity(self, ms: Tensor) -> Tensor:
        if self.weights is None:
            intensity = ms[0].clone()
            for band in ms[1:]:
                intensity.add_(band)
            return intensity.div_(len(ms))
        intensity = torch.zeros_like(ms[0])
        for band, weight in zip(ms, self.weights, strict=True):
            intensity.add_(band, alpha=weight)
        return intensity
