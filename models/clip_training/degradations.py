"""What goes wrong in pansharpening, done to a sharp truth on purpose and by a known amount.

Each fault takes a crop and a strength between 0 and 1 and returns the faulty bands. None of them looks at the middle
of the crop only: `MARGIN` pixels around it feed their kernels and are cut off afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from clip_training.scenes import coloured_noise
from clippan_models.guidance.embedded import SIDE
from clippan_models.ops.resample import decimation_matrix, interpolation_matrix

MARGIN = 24
"""Pixels around the crop that a fault may look at: the reach of a blur by 4 and of the interpolation back."""

WORK = SIDE + 2 * MARGIN
"""Pixels a side of what a fault is given."""


@dataclass(frozen=True)
class Crop:
    """A piece of a sharp scene, `WORK` pixels a side, in the scene's unit.

    Attributes:
        bands: `[4, WORK, WORK]`: blue, green, red, near infrared.
        mean: `[4]` over the whole scene.
        std: `[4]` over the whole scene.
        pan: `[1, WORK, WORK]`.
        pan_mean: `[1]`, over the whole scene.
        pan_std: `[1]`, over the whole scene.
        fusions: of a pair of the scene, by the name of the method, `[4, WORK, WORK]`.
    """

    bands: Tensor
    mean: Tensor
    std: Tensor
    pan: Tensor
    pan_mean: Tensor
    pan_std: Tensor
    fusions: Mapping[str, Tensor] = field(default_factory=dict)


Fault = Callable[[Crop, float, np.random.Generator], Tensor]


def middle(image: Tensor) -> Tensor:
    """The crop without its margin: `[..., WORK, WORK] -> [..., SIDE, SIDE]`."""
    return image[..., MARGIN:-MARGIN, MARGIN:-MARGIN]


def as_ms(image: Tensor, ratio: int = 4, gain: float = 0.3, lag: int = 0) -> Tensor:
    """MTF-degraded and interpolated back (EXP): `[C, WORK, WORK]`, the same shape.

    Args:
        image: the sharp bands.
        ratio: pixels of the sharp grid per MS sample, 1 .. 4.
        gain: amplitude gain of its blur at the MS Nyquist frequency.
        lag: where between the sharp pixels its samples lie, 0 .. ratio - 1. The result stays registered.
    """
    matrix = _low_pass(ratio, round(gain, 2), lag)
    return matrix @ image @ matrix.T


@lru_cache(maxsize=128)
def _low_pass(ratio: int, gain: float, lag: int) -> Tensor:
    fine, coarse, phase = range(WORK), range(-1, WORK // ratio + 1), float(lag)
    down = decimation_matrix(coarse, fine, phase, ratio, gain).dense()
    down = down / down.sum(1, keepdim=True).clamp(min=1e-3)  # the edge of the crop is not dark
    return interpolation_matrix(fine, coarse, phase, ratio).dense() @ down


def gaussian(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, edges repeated: `[C, H, W]`, sigma in pixels."""
    radius = max(1, int(np.ceil(3 * sigma)))
    offsets = torch.arange(-radius, radius + 1, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = functional.pad(image[:, None], (radius,) * 4, mode="replicate")
    rows = functional.conv2d(padded, kernel[None, None, :, None])
    return functional.conv2d(rows, kernel[None, None, None, :])[:, 0]


def shifted(image: Tensor, down: float, right: float) -> Tensor:
    """The image moved by a fraction of a pixel (bicubic): `[C, H, W]`."""
    height, width = image.shape[-2:]
    y = 2 * (torch.arange(height, dtype=torch.float32) - down) / (height - 1) - 1
    x = 2 * (torch.arange(width, dtype=torch.float32) - right) / (width - 1) - 1
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)[None]
    return functional.grid_sample(image[None], grid, mode="bicubic", padding_mode="border", align_corners=True)[0]


def blur(crop: Crop, strength: float, rng: np.random.Generator) -> Tensor:
    """All bands out of focus, by 0.7 to 2.3 pixels."""
    return gaussian(crop.bands, 0.5 + 1.8 * strength)


def band_blur(crop: Crop, strength: float, rng: np.random.Generator) -> Tensor:
    """One to three of the bands that are seen out of focus, by 0.6 to 2.4 pixels, the others sharp."""
    soft = rng.permutation(3)[: int(rng.integers(1, 3))]
    blurred = crop.bands.clone()
    blurred[soft] = gaussian(crop.bands[soft], 0.5 + 1.9 * strength)
    return blurred


def bleeding(crop: Crop, strength: float, rng: np.random.Generator) -> Tensor:
    """Brightness is sharp, but colours are in part as coarse as MS, so that they run over edges."""
    z = _standard(crop)
    brightness = z.mean(0, keepdim=True)
    colour = z - brightness
    coarse = as_ms(colour, int(rng.choice((4, 3, 2), p=(0.7, 0.15, 0.15))), float(rng.uniform(0.1, 0.4)))
    share = 0.15 + 0.85 * strength
    return _raw(brightness + (1 - share) * colour + share * coarse, crop)


def colours(crop: Crop, strength: float, rng: np.random.Generator) -> Tensor:
    """Bands mixed with each other: pale, exaggerated, or turned to another hue."""
    z = _standard(crop)
    way = rng.integers(3)
    if way == 0:
        mixed = z + strength * (z.mean(0, keepdim=True) - z)
    elif way == 1:
        mixed = z + (0.5 + 2.5 * strength) * (z - z.mean(0, keepdim=True))
    else:
        turn = np.roll(np.arange(4), int(rng.integers(1, 4)))
        mixed = (1 - strength) * z + strength * z[torch.from_numpy(turn)]
    return _raw(mixed, crop)


def cast(crop: Crop, strength: float, rng: np.random.Generator) -> Tensor:
    """Each band brighter or darker by another amount: a tint over all."""
    signs = rng.permutation((1.0, 1.0, -1.0, -1.0))  # all to one side would be brightness, not a tint
    offset = signs * rng.uniform(0.5, 1.0, 4)
    scale = 1 + 0.4 * strength * rng.uniform(-1, 1, 4)
    return _raw(_standard(crop) * _column(scale) + _column(1.1 * strength * offset), crop)


def misregistration(crop: Crop, strength: float, rng: np.random.Generator) -> Tensor:
    """Bands moved apart from each other by 0.5 to 4 pixels."""
    angles = rng.uniform(0, 2 * np.pi) + np.array([0, 0.5, 1, 1.5]) * np.pi * rng.choice((-1.0, 1.0))
    reach = 0.2 + 1.8 * strength  # opposite bands lie twice that apart
    moved = [shifted(crop.bands[b : b + 1], reach * np.sin(a), reach * np.cos(a)) for b, a in enumerate(angles)]
    return torch.cat(moved)


def ghosts(crop: Crop, strength: float, rng: np.random.Generator) -> Tensor:
    """Detail of the panchromatic image put in a second time, half a pixel to five pixels off: double edges."""
    angle, reach = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(np.log(0.5), np.log(5.0)))
    detail = (crop.pan - gaussian(crop.pan, 2.0)) / crop.pan_std
    twin = shifted(detail, float(reach * np.sin(angle)), float(reach * np.cos(angle)))
    return crop.bands + (0.3 + 0.8 * strength) * twin * crop.std[:, None, None]


def noise(crop: Crop, strength: float, rng: np.random.Generator) -> Tensor:
    """White noise, of the bands together or of each alone."""
    shape = (1 if rng.random() < 0.3 else 4, WORK, WORK)
    field = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    return crop.bands + (0.08 + 0.6 * strength) * field * crop.std[:, None, None]


def aliasing(crop: Crop, strength: float, rng: np.random.Generator) -> Tensor:
    """Every second to fifth pixel taken without a blur, then repeated or joined linearly, or a fusion of such MS."""
    if rng.random() < 0.3:
        share = 0.2 + 0.8 * strength
        return (1 - share) * crop.bands + share * _with_detail(
            crop, as_ms(crop.bands, gain=0.95, lag=int(rng.integers(4)))
        )
    step = 2 + round(3 * strength)
    start = int(rng.integers(step))
    samples = crop.bands[:, start::step, start::step]
    if rng.random() < 0.5:
        big = samples.repeat_interleave(step, 1).repeat_interleave(step, 2)
    else:
        big = functional.interpolate(samples[None], scale_factor=step, mode="bilinear", align_corners=False)[0]
    offset = start - step // 2
    big = torch.roll(big, (offset, offset), (1, 2))[:, :WORK, :WORK]
    return functional.pad(big[None], (0, WORK - big.shape[2], 0, WORK - big.shape[1]), mode="replicate")[0]


def halos(crop: Crop, strength: float, rng: np.random.Generator) -> Tensor:
    """Over-sharpened: each edge between a light and a dark rim, or between several (ringing)."""
    if rng.random() < 0.4:
        return crop.bands + (0.3 + 1.2 * strength) * _ripples(crop.bands, float(rng.uniform(0.15, 0.4)))
    sigma = rng.uniform(0.9, 2.2)
    return crop.bands + (0.5 + 3.5 * strength) * (crop.bands - gaussian(crop.bands, sigma))


def seams(crop: Crop, strength: float, rng: np.random.Generator) -> Tensor:
    """Tiles that do not meet: a step in brightness across one or two straight lines."""
    z = _standard(crop)
    mask = torch.zeros(1, WORK, WORK)
    ways = rng.permutation(2)[: int(rng.integers(1, 3))]
    for way in ways:
        line = int(rng.integers(MARGIN + 8, WORK - MARGIN - 8))
        if way == 0:
            mask[:, line:] += 1
        else:
            mask[:, :, line:] += 1
    step = (0.25 + 0.9 * strength) * rng.choice((-1.0, 1.0)) * rng.uniform(0.6, 1.0, 4)
    return _raw(z + (mask % 2) * _column(step), crop)


def substitution(crop: Crop, strength: float, rng: np.random.Generator) -> Tensor:
    """Brovey or IHS with a PAN that matches the bands badly: sharp, but the colours follow PAN."""
    exp = as_ms(crop.bands, gain=float(rng.uniform(0.2, 0.4)))
    used = slice(0, int(rng.choice((3, 4))))  # the bands that the intensity is made of
    intensity = exp[used].mean(0, keepdim=True)
    fitting = crop.bands[used].mean(0, keepdim=True)
    strange = _matched(_strange_pan(crop, rng), fitting, 1 + 0.5 * strength)
    pan = (1 - strength) * fitting + strength * strange
    if rng.random() < 0.5:
        return exp + pan - intensity
    dark = 0.1 * float(crop.mean[used].mean().abs()) + 1e-6  # Brovey multiplies, so its divisor must not vanish
    return exp * (pan.clamp(min=dark) / intensity.clamp(min=dark)).clamp(0.2, 5.0)


def independent(crop: Crop, strength: float, rng: np.random.Generator) -> Tensor:
    """An image that has nothing to do with the crop: coloured noise of a random smoothness."""
    field = coloured_noise(rng.standard_normal((4, WORK, WORK)), rng.uniform(0.0, 2.0))
    return _raw(torch.from_numpy(field), crop)


def fused(crop: Crop, strength: float, rng: np.random.Generator) -> Tensor:
    """A good fusion: one of those that the crop has, or a classical one (GLP)."""
    name = rng.choice(["glp", *crop.fusions])
    if name in crop.fusions:
        return crop.fusions[name]
    return glp(crop, rng)


def glp(crop: Crop, rng: np.random.Generator) -> Tensor:
    """A classical fusion: the detail of PAN added to EXP."""
    return _with_detail(crop, as_ms(crop.bands, gain=float(rng.uniform(0.2, 0.4))))


def _with_detail(crop: Crop, exp: Tensor) -> Tensor:
    """The detail of PAN, weighted by regression on the crop, added to interpolated MS."""
    low = as_ms(crop.pan, gain=0.3)
    centred = low - low.mean()
    slope = ((exp - exp.mean((1, 2), keepdim=True)) * centred).mean((1, 2)) / (centred.square().mean() + 1e-12)
    return exp + slope[:, None, None] * (crop.pan - low)


FAULTS: dict[str, Fault] = {
    "blur": blur,
    "band-blur": band_blur,
    "bleeding": bleeding,
    "colours": colours,
    "cast": cast,
    "misregistration": misregistration,
    "ghosts": ghosts,
    "noise": noise,
    "aliasing": aliasing,
    "halos": halos,
    "seams": seams,
    "substitution": substitution,
}
"""The faults that captions name, by family."""


def _ripples(image: Tensor, cutoff: float) -> Tensor:
    """What a sharp cut in the spectrum, in cycles a pixel, does to edges more than a soft one: they ring."""
    rows, cols = torch.fft.fftfreq(WORK)[:, None], torch.fft.rfftfreq(WORK)[None]
    squared = (rows.square() + cols.square()) / cutoff**2
    response = (squared < 1).float() - torch.exp(-squared * np.log(2))
    rippled: Tensor = torch.fft.irfft2(torch.fft.rfft2(image) * response, s=(WORK, WORK))
    return rippled


def _standard(crop: Crop) -> Tensor:
    return (crop.bands - crop.mean[:, None, None]) / crop.std[:, None, None]


def _raw(z: Tensor, crop: Crop) -> Tensor:
    return z * crop.std[:, None, None] + crop.mean[:, None, None]


def _column(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))[:, None, None]


def _strange_pan(crop: Crop, rng: np.random.Generator) -> Tensor:
    """A PAN whose spectral response differs from that of the scene's own."""
    weights = torch.from_numpy(rng.dirichlet((0.5, 0.5, 0.5, 0.5)).astype(np.float32))
    return (weights[:, None, None] * crop.bands).sum(0, keepdim=True)


def _matched(pan: Tensor, intensity: Tensor, contrast: float) -> Tensor:
    """PAN with the intensity's mean and `contrast` times its standard deviation."""
    return (pan - pan.mean()) / (pan.std() + 1e-9) * intensity.std() * contrast + intensity.mean()
