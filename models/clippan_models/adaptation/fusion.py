"""The fused image that agrees with the data: an initial fusion in closed form, a network's correction, two projections.

MS and PAN each fix part of the answer (`contracts.Observation`). The network chooses what they leave open, the null
space. The initial fusion lies halfway between two injections of detail with regression gains, one that adds it
(MTF-GLP, Aiazzi et al. 2006) and one that multiplies (HPM-R, Vivone et al. 2018). Each round of projections moves the
image onto PAN = a . HRMS + b along the injection gains, then adds back what MS misses of it. Saturated samples, which
say only "at least this much", take no part.

What a network's image misses of PAN is in part its error, in part what no image with these bands would show. Only the
share of the error is corrected, as in the filter of Wiener (1949).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clippan_models.contracts import Observation
from clippan_models.ops.moments import Moments
from clippan_models.store.checkpoint import Normalisation

_MODULATION = (0.25, 4.0)
"""Bounds of a pixel over what PAN lets expect: where that is near 0, as over dark water, the ratio says nothing."""

_LEAST_MS_TRUST = 0.5

_LEAST_UNEXPLAINED = 1e-4  # of PAN: what quantisation alone leaves


@dataclass(frozen=True)
class Prior:
    """What is known in closed form of a scene; per-band tensors are `[C, 1, 1]`, in DN.

    Attributes:
        ms_mean: mean of each band.
        ms_std: standard deviation of each band.
        pan_mean: mean of PAN.
        pan_std: standard deviation of PAN.
        gains: DN of band b per DN of PAN detail.
        pan_weights: regression weights of PAN on the bands; all zero where PAN does not follow from them.
        pan_offset: its intercept.
        trust: how far to move onto PAN's constraint, 0 (not at all) .. 1.
        pan_unexplained: variance of PAN that the bands do not explain, DN squared.
        error_share: share of what a network's image misses of PAN that is its error, 0 .. 1 (`adaptation.weighing`).
        ms_saturation: DN from which a band is saturated.
        pan_saturation: DN from which PAN is.
        facts: about each band, `[C, 6]`, without unit: its correlation with MTF-degraded PAN, its gain and its
            regression weight (between normalised images), the blur between it and PAN, how much of PAN the bands leave
            unexplained, and the ratio.
    """

    ms_mean: Tensor
    ms_std: Tensor
    pan_mean: float
    pan_std: float
    gains: Tensor
    pan_weights: Tensor
    pan_offset: float
    trust: float
    pan_unexplained: float
    ms_saturation: float
    pan_saturation: float
    facts: Tensor
    error_share: float = 1.0

    def initial_fusion(self, ms_up: Tensor, pan: Tensor, pan_low: Tensor) -> Tensor:
        """Inject PAN's detail, half of it added and half multiplied: `[..., C, H, W]`, DN.

        Which fits better differs from scene to scene, by tenths of a decibel; the mean is near the better one.
        """
        expected = (self.ms_mean + self.gains * (pan_low - self.pan_mean)).clamp(min=torch.finfo(ms_up.dtype).tiny)
        modulation = (ms_up / expected).clamp(*_MODULATION)
        return ms_up + self.gains * (1 + modulation) / 2 * (pan - pan_low)

    def onto_pan(self, image: Tensor, pan: Tensor, left: Tensor | float = 0.0) -> Tensor:
        """Move the image along the gains until its weighted sum is PAN, but for what is to be left (times `trust`)."""
        if self.trust == 0:
            return image
        return image + self.trust * self.response * (self.missing_of_pan(image, pan) - left)

    def missing_of_pan(self, image: Tensor, pan: Tensor) -> Tensor:
        """PAN less the weighted sum of the bands, `[..., 1, H, W]`, DN; 0 where PAN is saturated."""
        missing = pan - (self.pan_weights * image).sum(-3, keepdim=True) - self.pan_offset
        return torch.where(pan < self.pan_saturation, missing, torch.zeros_like(missing))

    def onto_ms(
        self, image: Tensor, ms: Tensor, degraded: Tensor, usable: Tensor, up: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Add back what MS misses of the image: `image + ms_trust up(ms - degraded)`.

        Args:
            image: `[..., C, H, W]`, DN.
            ms: `[..., C, h, w]`.
            degraded: the image, MTF-degraded to the MS samples, `[..., C, h, w]`.
            usable: MS samples to go by, `[..., C, h, w]` bool.
            up: interpolates from the MS samples to the grid of the image.
        """
        missing = torch.where(usable & (ms < self.ms_saturation), ms - degraded, torch.zeros_like(ms))
        return image + self.ms_trust * up(missing)

    def project(self, image: Tensor, pan: Tensor, onto_ms: Callable[[Tensor], Tensor], rounds: int) -> Tensor:
        """A network's image after `rounds` of projections onto PAN, but for what the bands do not explain, and MS.

        Args:
            image: `[..., C, H, W]`, DN.
            pan: `[..., 1, H, W]`.
            onto_ms: projects an image onto MS.
            rounds: how often.
        """
        left = (1 - self.error_share) * self.missing_of_pan(image, pan) if self.error_share < 1 else 0.0
        for _ in range(rounds):
            image = onto_ms(self.onto_pan(image, pan, left))
        return image

    @property
    def ms_trust(self) -> float:
        """How far to move onto MS: where the bands explain PAN badly, blur is uncertain, and the MS grid would show."""
        return max(self.trust, _LEAST_MS_TRUST)

    @property
    def response(self) -> Tensor:
        """Change of each band that changes the weighted sum by one, in the direction of the gains."""
        return self.gains / (self.pan_weights * self.gains).sum()

    def normalise(self, image: Tensor) -> Tensor:
        """Bands to about zero mean and unit variance, as networks see them."""
        return (image - self.ms_mean) / self.ms_std

    def normalise_pan(self, pan: Tensor) -> Tensor:
        """PAN to about zero mean and unit variance."""
        return (pan - self.pan_mean) / self.pan_std


def fit_prior(
    moments: Moments,
    observation: Observation,
    ms_saturation: float = float("inf"),
    pan_saturation: float = float("inf"),
) -> Prior:
    """Fit the prior to moments of `(ms_up bands, pan, pan_low bands)` over a scene.

    Args:
        moments: of 2 C + 1 variables in that order.
        observation: the scene's model.
        ms_saturation: DN from which MS is saturated.
        pan_saturation: DN from which PAN is.
    """
    bands = observation.sampling.bands
    mean, cov = moments.mean, moments.cov
    std = cov.diagonal().clamp(min=0).sqrt()
    gains = torch.zeros(bands, dtype=torch.float64)
    for b in range(bands):
        low = bands + 1 + b
        if cov[low, low] > 1e-12 * (mean[low] ** 2 + 1e-12):
            gains[b] = cov[b, low] / cov[low, low]
    weights = torch.tensor(observation.pan_weights or (0.0,) * bands, dtype=torch.float64)
    explained = float(weights @ gains)
    # along gains that PAN hardly sees, its constraint would be met by absurd amounts
    usable = observation.pan_weights is not None and 0.3 < explained < 3.0

    def per_band(values: Tensor) -> Tensor:
        return values.float()[:, None, None]

    scale = std[:bands].clamp(min=1e-6 * (mean[:bands].abs().max() + 1e-6))
    pan_std = max(float(std[bands]), 1e-6 * (abs(float(mean[bands])) + 1e-6))
    return Prior(
        ms_mean=per_band(mean[:bands]),
        ms_std=per_band(scale),
        pan_mean=float(mean[bands]),
        pan_std=pan_std,
        gains=per_band(gains),
        pan_weights=per_band(weights),
        pan_offset=observation.pan_offset,
        trust=observation.certainty if usable else 0.0,
        pan_unexplained=(1 - observation.pan_r2) * pan_std**2,  # the same share at both resolutions
        ms_saturation=ms_saturation,
        pan_saturation=pan_saturation,
        facts=_facts(moments, observation, gains, weights * usable),
    )


def _facts(moments: Moments, observation: Observation, gains: Tensor, weights: Tensor) -> Tensor:
    """`Prior.facts`; gains and weights are `[C]`, DN per DN."""
    bands = len(gains)
    std = moments.cov.diagonal().clamp(min=0).sqrt().clamp(min=1e-9)
    ms, pan, pan_low = std[:bands], std[bands], std[bands + 1 :]
    shared = moments.cov[:bands, bands + 1 :].diagonal()
    unexplained = math.log(max(1 - observation.pan_r2, _LEAST_UNEXPLAINED))
    facts = (
        shared / (ms * pan_low),
        gains * pan / ms,
        weights * ms / pan,
        -torch.tensor(observation.ms_gain, dtype=torch.float64).log(),
        torch.full((bands,), 0.2 * unexplained, dtype=torch.float64),
        torch.full((bands,), math.log2(observation.sampling.ratio / 4), dtype=torch.float64),
    )
    return torch.stack(facts, 1).float()


def mean_normalisation(priors: Sequence[Prior]) -> Normalisation:
    """How a network sees scenes, as the mean over them; only a record, as each scene has its own."""
    means, deviations = (torch.stack([getattr(p, name).flatten() for p in priors]) for name in ("ms_mean", "ms_std"))
    pan_mean, pan_std = (sum(getattr(p, name) for p in priors) / len(priors) for name in ("pan_mean", "pan_std"))
    return Normalisation(tuple(means.mean(0).tolist()), tuple(deviations.mean(0).tolist()), pan_mean, pan_std)
