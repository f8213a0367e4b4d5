"""Pairs simulated from sharp images, over the whole range of what products are like, by clippan's own operators.

What the network is told about a pair is what a run would find out: blur, response and statistics are always estimated
from the simulated pair, the shifts of the bands in a share of the pairs, and else known but for an error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from clippan_models.adaptation.fusion import Prior
from clippan_models.adaptation.patches import Patches, full_patches
from clippan_models.adaptation.scene import SceneTiles
from clippan_models.contracts import MS_MARGIN, Observation, Sampling, Tile, Window
from clippan_models.observation import estimate_observation
from clippan_models.ops.regression import fit_rows
from clippan_models.ops.resample import decimate
from prior_training.images import LEAST_SIDE, SharpImage

MARGIN = 32
"""Pixels of truth around a pair: what the blur of its outer samples sees."""

_RATIOS = (4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 2.0, 3.0, 4.015, 5.0, 6.0)
_ESTIMATED = 0.12  # share of pairs whose shifts are estimated
_SHIFT_ERROR = 0.05  # PAN pixels, standard deviation of an estimated shift


@dataclass(frozen=True)
class SimulatedPair:
    """A pair with its truth.

    Attributes:
        tile: MS and PAN, DN; the pair is a scene of its own.
        truth: `[C, H, W]`, DN, over the PAN grid of the pair.
        observation: what an analysis of the pair finds.
        saturation: DN from which (MS, PAN) are saturated.
    """

    tile: Tile
    truth: Tensor
    observation: Observation
    saturation: tuple[float, float]

    def prior(self) -> Prior:
        """The statistics of the pair, as of a scene."""
        return SceneTiles([self.tile], self.observation, self.saturation).prior()

    def patches(self, corners: Sequence[tuple[int, int]], side: int) -> Patches:
        """Square patches with their truth; upper left corners and side in PAN pixels."""
        cores = [Window(row, col, side, side) for row, col in corners]
        patches = full_patches([replace(self.tile, core=core) for core in cores], self.observation)
        truth = torch.stack([self.truth[:, c.row : c.row_stop, c.col : c.col_stop] for c in cores])
        return replace(patches, truth=truth)


def simulate(sharp: Tensor, rng: np.random.Generator) -> SimulatedPair:
    """Make a pair of a sharp image `[C, H, W]`, whose outer `MARGIN` pixels only serve the blur."""
    bands = len(sharp)
    ratio = float(rng.choice(_RATIOS))
    truth = _radiometry(sharp, rng)
    side = [length - 2 * MARGIN for length in truth.shape[-2:]]
    inner = Window(0, 0, side[0], side[1])
    samples = Window(0, 0, int(side[0] / ratio), int(side[1] / ratio))
    sampling, gains = _geometry(ratio, bands, rng)
    ms = decimate(truth, inner.grown(MARGIN), samples, sampling, gains)
    cut = (slice(None), slice(MARGIN, MARGIN + side[0]), slice(MARGIN, MARGIN + side[1]))
    pan = _panchromatic(truth, rng)[cut]
    truth = truth[cut]

    noise = math.exp(rng.uniform(math.log(1e-4), math.log(8e-3)))
    level = math.exp(rng.uniform(math.log(150), math.log(20_000)))
    top = (math.inf, math.inf)
    if rng.random() < 0.15:  # saturated, at a level that the truth cannot exceed either
        share = 1 - math.exp(rng.uniform(math.log(5e-4), math.log(2e-2)))
        found = float(np.quantile(ms.numpy(), share)), float(np.quantile(pan.numpy(), share))
        if found[0] > 1.2 * float(ms.median()) and found[1] > 1.2 * float(pan.median()):  # not of a flat scene
            top = found
    scale = level, level * math.exp(rng.uniform(-0.7, 0.7))
    ms, pan = (
        _recorded(image, s, noise * math.exp(rng.uniform(-1, 1)), limit, rng)
        for image, s, limit in zip((ms, pan), scale, top, strict=True)
    )
    truth = (truth.clamp(max=top[0]) * scale[0]).float()
    around = (MS_MARGIN,) * 4
    tile = Tile(
        ms=torch.nn.functional.pad(ms, around),
        ms_valid=torch.nn.functional.pad(torch.ones_like(ms, dtype=torch.bool), around),
        pan=pan,
        pan_valid=torch.ones_like(pan, dtype=torch.bool),
        valid=torch.ones_like(pan, dtype=torch.bool).expand(bands, -1, -1),
        ms_window=samples.grown(MS_MARGIN),
        pan_window=inner,
        core=inner,
    )
    saturation = tuple(round(t * s) if math.isfinite(t) else math.inf for t, s in zip(top, scale, strict=True))
    return SimulatedPair(tile, truth, _known(tile, sampling, gains, rng), (saturation[0], saturation[1]))


def draw_sharp(images: Sequence[SharpImage], side: int, rng: np.random.Generator, *, shuffled: bool = True) -> Tensor:
    """A piece of one of the images, of `side` pixels or less, its bands in any order if shuffled: `[C, H, W]`."""
    weights = np.array([math.sqrt(image.bands[0].numel()) * (2.5 if len(image.bands) > 3 else 1) for image in images])
    bands = images[rng.choice(len(images), p=weights / weights.sum())].bands
    scale = float(rng.choice((1.0, 1.0, 0.75, 0.5)))
    if min(bands.shape[-2:]) * scale < LEAST_SIDE:
        scale = 1.0
    cut = [min(math.ceil(side / scale), length) for length in bands.shape[-2:]]
    row, col = (int(rng.integers(0, length - c + 1)) for length, c in zip(bands.shape[-2:], cut, strict=True))
    piece = bands[:, row : row + cut[0], col : col + cut[1]].float()
    if scale != 1:
        size = [int(c * scale) for c in cut]
        piece = torch.nn.functional.interpolate(piece[None], size=size, mode="bicubic", antialias=True)[0].clamp(min=0)
    piece = piece[:, : piece.shape[1] // 2 * 2, : piece.shape[2] // 2 * 2]
    for axis in (1, 2):
        if rng.random() < 0.5:
            piece = piece.flip(axis)
    if rng.random() < 0.5:
        piece = piece.transpose(1, 2)
    return piece[rng.permutation(len(piece))] if shuffled else piece


def with_bands(piece: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """`count` bands, those of the piece first, more as mixtures of them and of what covers the ground (`_cover`)."""
    own = len(piece)
    mixing = np.eye(own)[np.arange(count) % own]
    blend = rng.dirichlet(np.ones(own), count)
    share = np.where(np.arange(count) < own, rng.choice((0.0, 0.1, 0.3)), rng.uniform(0.2, 0.8, count))[:, None]
    mixing = (1 - share) * mixing + share * blend
    bands = torch.einsum("ij,jhw->ihw", torch.from_numpy(mixing).float(), piece)
    for band in bands[own:]:
        band += piece.mean(0) * (_either_sign(0.05, 0.8, rng) * _cover(piece, rng))
    return bands.clamp(min=0)


def _radiometry(sharp: Tensor, rng: np.random.Generator) -> Tensor:
    """Another contrast, brightness and haze for each band; positive, about 1 where it is bright."""
    bands = len(sharp)

    def per_band(low: float, high: float) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (bands, 1, 1))).float()

    return sharp.clamp(min=1e-4) ** per_band(-0.3, 0.3).exp() * per_band(-0.7, 0.7).exp() + per_band(0, 0.15)


def _geometry(ratio: float, bands: int, rng: np.random.Generator) -> tuple[Sampling, tuple[float, ...]]:
    """Where the samples lie and how blurred they are; bands may differ in both."""
    common = rng.uniform(-0.37 * ratio, 0.37 * ratio, 2) * (rng.random() < 0.7)
    apart = rng.normal(0, 0.3, (2, bands)) * (rng.random() < 0.4)
    shifts = common[:, None] + apart
    # half of the cameras are as most are, the others anything
    gain = rng.uniform(0.15, 0.5) if rng.random() < 0.5 else math.exp(rng.uniform(math.log(0.05), math.log(0.75)))
    widths = np.exp(0.12 * rng.standard_normal(bands) * (rng.random() < 0.5))
    gains = tuple(float(np.clip(gain**w, 0.04, 0.82)) for w in widths)
    return Sampling.area_registered(ratio, bands).shifted(shifts[0].tolist(), shifts[1].tolist()), gains


def _panchromatic(truth: Tensor, rng: np.random.Generator) -> Tensor:
    """PAN `[1, H, W]`: a mixture of the bands, some of which it may not see, and in part of what they do not show."""
    bands = len(truth)
    weights = rng.exponential(size=bands) * (rng.random(bands) > 0.15) + 1e-3
    weights /= weights.sum()
    pan = torch.einsum("c,chw->hw", torch.from_numpy(weights).float(), truth)[None]
    if rng.random() < 0.7:  # light between the bands, which follows from them, but not as a sum
        one = truth[int(rng.integers(bands))]
        between = truth.mean(0) * _cover(truth, rng) + rng.normal() * one ** math.exp(rng.uniform(-0.8, 0.8))
        unexplained = beyond_sum(between, truth)[None]
        share = math.exp(rng.uniform(math.log(2e-4), math.log(0.06)))
        pan = pan + unexplained * (share**0.5 * pan.std() / unexplained.std().clamp(min=1e-6))
    pan = pan - min(0.0, float(pan.min()) - 0.01)  # light is not negative
    if rng.random() < 0.15:  # detail that no band has
        fine = torch.from_numpy(rng.standard_normal(pan.shape)).float()
        fine = torch.nn.functional.avg_pool2d(fine, 3, stride=1, padding=1)
        pan = pan + float(rng.uniform(0, 0.3)) * pan.std() * fine
    if rng.random() < 0.4:
        pan = _blurred(pan, float(rng.uniform(0.2, 0.6)))
    return pan


def _cover(bands: Tensor, rng: np.random.Generator) -> Tensor:
    """How much of something covers each pixel `[H, W]`, in [-1, 1], by the ratio of two bands, as for vegetation."""
    one, other = (bands[number] for number in rng.choice(len(bands), 2, replace=False))
    return torch.tanh(float(rng.uniform(1, 8)) * (one - other) / (one + other).clamp(min=1e-4))


def beyond_sum(image: Tensor, bands: Tensor) -> Tensor:
    """What no weighted sum of the bands `[C, H, W]` and a constant explains of an image `[H, W]`."""
    design = torch.cat([bands, torch.ones_like(bands[:1])]).flatten(1).double()
    values = image.flatten().double()
    unexplained = values - fit_rows(values[None], design)[0] @ design
    return unexplained.view_as(image).float()


def _either_sign(low: float, high: float, rng: np.random.Generator) -> float:
    """A number of either sign, log-uniform in size."""
    return float(rng.choice((-1, 1)) * math.exp(rng.uniform(math.log(low), math.log(high))))


def _blurred(image: Tensor, sigma: float) -> Tensor:
    tap = math.exp(-0.5 / sigma**2)
    kernel = torch.tensor([tap, 1.0, tap]) / (1 + 2 * tap)
    padded = torch.nn.functional.pad(image[None], (1, 1, 1, 1), mode="replicate")
    return torch.nn.functional.conv2d(padded, (kernel[:, None] * kernel)[None, None])[0]


def _recorded(image: Tensor, scale: float, noise: float, limit: float, rng: np.random.Generator) -> Tensor:
    """The image as a file holds it: with noise, clipped at the limit, in whole DN."""
    noisy = image + noise * torch.from_numpy(rng.standard_normal(image.shape)).float()
    return (noisy.clamp(0, limit) * scale).round()


def _known(tile: Tile, sampling: Sampling, gains: tuple[float, ...], rng: np.random.Generator) -> Observation:
    """What an analysis finds, starting from the nominal blur of some sensor."""
    bands = sampling.bands
    nominal = float(np.clip(np.mean(gains) ** math.exp(rng.normal(0, 0.3)), 0.06, 0.7))
    relative = [math.log(gain) / math.log(float(np.mean(gains))) for gain in gains]
    given = tuple(float(np.clip(nominal**r, 0.05, 0.85)) for r in relative)
    if rng.random() < _ESTIMATED:
        start = Observation(Sampling.area_registered(sampling.ratio, bands), given, 0.15)
        return estimate_observation([tile], start)[0]
    common, own = rng.normal(0, _SHIFT_ERROR, (2, 1)), rng.normal(0, _SHIFT_ERROR, (2, bands))
    error = common + own * (rng.random() < 0.5)
    error = np.broadcast_to(error, (2, bands))
    start = Observation(sampling.shifted(error[0].tolist(), error[1].tolist()), given, 0.15)
    return estimate_observation([tile], start, coregister=False)[0]
