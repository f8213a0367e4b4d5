"""Adaptive Gram-Schmidt, GSA: component substitution with a regressed intensity (Aiazzi, Baronti & Selva 2007).

B. Aiazzi, S. Baronti, M. Selva, "Improving component substitution pansharpening through multivariate regression of
MS + Pan data", IEEE TGRS 45(10), 2007. With M the interpolated MS, P_low the PAN blurred to the MS samples:

    w = argmin || P_low - sum_b w_b MS_b - w_0 ||^2            (at the MS scale)
    I = sum_b w_b M_b,    g_b = cov(I, M_b) / var I            (at the PAN scale)
    F_b = M_b + g_b ((P - mean P) - (I - mean I))

As the intensity is linear in the bands, everything follows from the means and covariances of the scene. Two choices
differ from the toolbox of Vivone et al. (2015), and neither changes a well-posed scene: the weights come from a
pseudo-inverse, because nearly collinear bands make its plain solution blow up; and P_low is the mean over the bands of
what their own MTFs let through, where the toolbox has one fixed wavelet low-pass (four passes of [1 4 6 4 1] / 16).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clippan_models.contracts import Views
from clippan_models.ops.moments import Moments

# Eigenvalues of the bands' correlation matrix below this share of the largest are rounding, not information.
_COLLINEAR = 1e-10
# An intensity that explains less than this share of the variance of PAN is rounding.
_UNRELATED = 1e-12


class GsaFitter:
    """Gathers the moments of PAN and MS at both scales."""

    halo = 0

    def __init__(self, weights: tuple[float, ...] | None = None) -> None:
        """Begin, with the share of each band in the intensity; None: regressed."""
        self._weights = weights
        self._at_pan = Moments()
        self._at_ms = Moments()

    def update(self, views: Views) -> None:
        """Take one tile into account."""
        self._at_pan.update((views.ms_up, views.pan), views.core)
        self._at_ms.update((views.ms, views.pan_at_ms.mean(dim=0, keepdim=True)), views.ms_core)

    def finish(self) -> GsaSharpener:
        """The fitted method; InputError when no pixel of the scene is valid."""
        moments = self._at_pan.nonempty()
        mean, cov = moments.mean, moments.cov
        weights = self._chosen_weights(mean)
        cov_i = cov[:-1, :-1] @ weights
        var_i = float(weights @ cov_i)
        related = not moments.flat[-1] and var_i > _UNRELATED * float(cov[-1, -1])
        gains = cov_i / var_i if related else torch.zeros_like(cov_i)
        offset = float(weights @ mean[:-1] - mean[-1])
        return GsaSharpener(tuple(weights.tolist()), tuple(gains.tolist()), offset)

    def _chosen_weights(self, mean: Tensor) -> Tensor:
        if self._weights is not None:
            return mean.new_tensor(self._weights)
        return _regress(self._at_ms.cov) if self._at_ms.count else torch.zeros_like(mean[:-1])


def _regress(cov: Tensor) -> Tensor:
    """The weights `[K - 1]` that predict the last of K variables from the others, given their covariance `[K, K]`.

    Where predictors are collinear the weights are the smallest ones that do; a constant predictor gets weight 0.
    """
    scale = cov.diagonal()[:-1].sqrt()
    scale = torch.where(scale > 0, scale, 1.0)
    correlation = cov[:-1, :-1] / torch.outer(scale, scale)
    inverse = torch.linalg.pinv(correlation, rtol=_COLLINEAR, hermitian=True)
    weights: Tensor = inverse @ (cov[:-1, -1] / scale) / scale
    return weights


@dataclass(frozen=True)
class GsaSharpener:
    """GSA with the scene's weights and gains.

    Attributes:
        weights: the share w_b of each band in the intensity.
        gains: the gain g_b of the detail in each band; all 0 when PAN is constant or unrelated to the bands.
        offset: mean I - mean P, DN.
    """

    weights: tuple[float, ...]
    gains: tuple[float, ...]
    offset: float

    halo = 0  # every pixel is computed from itself alone

    def sharpen(self, views: Views) -> Tensor:
        """The fused image `[C, H, W]`, DN."""
        ms = views.ms_up
        detail = views.pan[0] + self.offset
        scratch = torch.empty_like(detail)
        for band, weight in zip(ms, self.weights, strict=True):
            detail.sub_(torch.mul(band, weight, out=scratch))
        fused = torch.empty_like(ms)
        for band, gain, result in zip(ms, self.gains, fused, strict=True):
            torch.mul(detail, gain, out=result).add_(band)
        return fused
