"""The resampling and filtering conventions of the community's MATLAB toolbox, reproduced to float64 rounding.

Quality indices are compared across papers only because everybody resamples alike. This module is that convention,
half-pixel oddities included, and only measuring uses it. Methods use `ops/resample.py`, which interpolates, blurs and
decimates by the phases of the scene: two views of the same operations, apart on purpose and never mixed within one
computation (`docs/design.md`, "Geometry is carried, not assumed").

All functions take images `[C, H, W]`, work in float64 on the image's device, and let gradients through. They know
nothing of nodata: a NaN or a filler value spreads as far as the kernel reaches.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import pad

MTF_HALO = 20
"""PAN pixels on each side that `mtf_filter` looks at: its kernels have 41 x 41."""

_INTERP23_TAPS = (
    2 * 0.305334091185,
    2 * -0.072698593239,
    2 * 0.021809577942,
    2 * -0.005192756653,
    2 * 0.000807762146,
    2 * -0.000060081482,
)
"""The odd taps of the 23-tap kernel, from its centre outwards; the even ones are 0 and the centre is 1."""

_KAISER_BETA = 0.5
"""MATLAB's default for `kaiser(N)`."""


def interp23(image: Tensor, ratio: int) -> Tensor:
    """Interpolate with the 23-tap half-band kernel of Aiazzi et al. (2002), the toolbox's EXP.

    Each doubling keeps the samples and puts new ones between them. The first doubling moves sample k to 2k + 1, the
    others to 2k, so that sample k ends at `ratio / 2 + ratio * k`. The border is circular.

    Args:
        image: `[C, h, w]`.
        ratio: a power of two.

    Returns:
        `[C, ratio * h, ratio * w]`, float64, same unit.

    Raises:
        ValueError: the ratio is not a power of two.
    """
    if ratio < 1 or ratio & (ratio - 1):
        raise ValueError(f"interp23 doubles: the ratio must be a power of two, not {ratio}")
    image = image.double()
    for doubling in range(ratio.bit_length() - 1):
        for dim in (-2, -1):
            image = _double(image, dim, sample_first=doubling > 0)
    return image


def interp23_halo(ratio: int) -> int:
    """MS samples on each side that `interp23` looks at: 6 for the first doubling, half as many for each further."""
    return math.ceil(12 * (1 - 1 / ratio))


def imresize_bicubic(image: Tensor, scale: float) -> Tensor:
    """Resize like MATLAB's `imresize(image, scale)`: bicubic (a = -0.5), antialiased, area centred.

    Output pixel k looks at input position `(k + 0.5) / scale - 0.5`. When shrinking, the kernel is widened by
    `1 / scale`. The border is mirrored, the edge pixel repeated.

    Args:
        image: `[C, H, W]`.
        scale: output size over input size, above 0.

    Returns:
        `[C, ceil(scale * H), ceil(scale * W)]`, float64, same unit.
    """
    image = image.double()
    for dim in (-2, -1):
        index, weight = _bicubic_taps(image.shape[dim], scale)
        index, weight = index.to(image.device), weight.to(image.device)
        column = (-1, 1) if dim == -2 else (-1,)
        image = sum(  # one tap at a time: never more than one output in memory
            (image.index_select(dim, i) * w.reshape(column) for i, w in zip(index, weight, strict=True)),
            start=image.new_zeros(()),
        )
    return image


def mtf_filter(image: Tensor, gains: Sequence[float], ratio: int) -> Tensor:
    """Blur each band with its sensor MTF; the border repeats the edge pixel.

    Args:
        image: `[C, H, W]` on the PAN grid.
        gains: amplitude gain at the MS Nyquist frequency, one per band.
        ratio: PAN pixels per MS pixel.

    Returns:
        `[C, H, W]`, float64, same unit; see `mtf_kernels` for the slight loss of level.
    """
    padded = pad(image.double()[None], (MTF_HALO,) * 4, mode="replicate")[0]
    return correlate(padded, mtf_kernels(gains, ratio))


def mtf_kernels(gains: Sequence[float], ratio: int) -> Tensor:
    """The Gaussian MTF of a sensor as the toolbox designs it: frequency sampling, then a circular Kaiser window.

    The sum of a kernel is slightly below 1 (0.998 for common gains) and its true gain at the MS Nyquist frequency is
    `gain ** ((41 / 40) ** 2)`. Both are kept: published D_lambda_K and HQNR contain them.

    Args:
        gains: amplitude gain at the MS Nyquist frequency, in (0, 1), one per band.
        ratio: PAN pixels per MS pixel.

    Returns:
        `[C, 41, 41]`, float64, symmetric, not normalised.
    """
    return torch.stack([_mtf_kernel(float(gain), ratio) for gain in gains])


def _fast_length(length: int) -> int:
    """The first length from here on without prime factors above 5, which FFTs are fast for."""
    return next(number for number in itertools.count(length) if 60**30 % number == 0)


def correlate(image: Tensor, kernels: Tensor) -> Tensor:
    """Correlate each band with its kernel, only where the kernel fits.

    Args:
        image: `[C, H, W]`.
        kernels: `[C, k, l]`.

    Returns:
        `[C, H - k + 1, W - l + 1]`, float64. By FFT: rounding is about 1e-16 of the largest value in the image.
    """
    (height, width), (rows, cols) = image.shape[-2:], kernels.shape[-2:]
    # Circular correlation wraps only into outputs that are cut off, so the image needs no padding of its own.
    size = (_fast_length(height), _fast_length(width))

    def one(band: Tensor, kernel: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(band, s=size) * torch.fft.rfft2(kernel.to(band), s=size).conj()
        correlated: Tensor = torch.fft.irfft2(spectrum, s=size)
        return correlated[: height - rows + 1, : width - cols + 1]

    # Band by band: the spectrum of one band stays in the cache.
    return torch.stack([one(band.double(), kernel) for band, kernel in zip(image, kernels, strict=True)])


def decimate(image: Tensor, ratio: int) -> Tensor:
    """Keep the pixels at `ratio // 2 + ratio * k`: MATLAB's nearest `imresize`, and where `interp23` puts samples.

    Returns:
        `[C, h, w]`, a view in the dtype of the image `[C, H, W]`.
    """
    return image[..., ratio // 2 :: ratio, ratio // 2 :: ratio]


def correlate_axis(image: Tensor, taps: Sequence[float], dim: int) -> Tensor:
    """Correlate along one axis with a few taps, only where they all fit: `[.., n]` to `[.., n - len(taps) + 1]`."""
    size = image.shape[dim] - len(taps) + 1
    result = image.narrow(dim, 0, size) * taps[0]
    for offset, tap in enumerate(taps[1:], start=1):
        result = torch.add(result, image.narrow(dim, offset, size), alpha=tap)
    return result


def mirror(index: Tensor, size: int) -> Tensor:
    """Fold any integer index into `0 .. size - 1` by mirrors on the outer edges of the edge pixels."""
    index = index.remainder(2 * size)
    return torch.minimum(index, 2 * size - 1 - index)


def _double(image: Tensor, dim: int, *, sample_first: bool) -> Tensor:
    """Twice as many samples along `dim`: each old one after (or before) the new one that lies halfway."""
    size, reach = image.shape[dim], len(_INTERP23_TAPS)
    start = 1 - reach if sample_first else -reach
    index = torch.arange(start, start + size + 2 * reach - 1, device=image.device).remainder(size)
    taps = (*_INTERP23_TAPS[::-1], *_INTERP23_TAPS)
    between = correlate_axis(image.index_select(dim, index), taps, dim)
    pair = (image, between) if sample_first else (between, image)
    axis = image.ndim + dim
    return torch.stack(pair, dim=axis + 1).flatten(axis, axis + 1)


@lru_cache(maxsize=64)
def _mtf_kernel(gain: float, ratio: int) -> Tensor:
    offset = torch.arange(-MTF_HALO, MTF_HALO + 1, dtype=torch.float64)
    # The toolbox counts size - 1 frequency steps where the DFT has size.
    sigma = MTF_HALO / ratio / math.sqrt(-2 * math.log(gain))
    profile = torch.exp(-(offset**2) / (2 * sigma**2))
    response = torch.outer(profile, profile)
    response[response < torch.finfo(torch.float64).eps * response.max()] = 0
    impulse = torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(response))).real
    kernel: Tensor = impulse * _circular_kaiser(MTF_HALO)
    return kernel


def _circular_kaiser(reach: int) -> Tensor:
    """Huang's circular window, `[2 reach + 1, 2 reach + 1]`: a Kaiser window by distance, 0 beyond its end.

    As in MATLAB's `fwind1`, the window is known at whole pixels only and interpolated linearly between them; the exact
    one moves D_lambda_K by up to 1e-4.
    """
    offset = torch.arange(-reach, reach + 1, dtype=torch.float64)
    distance = torch.hypot(offset[:, None], offset[None, :])
    steps = torch.arange(reach + 1, dtype=torch.float64) / reach
    window = torch.special.i0(_KAISER_BETA * torch.sqrt(1 - steps**2))
    window = window / window[0]
    below = distance.floor().long().clamp(max=reach - 1)
    between = torch.lerp(window[below], window[below + 1], distance - below)
    return torch.where(distance <= reach, between, 0.0)


def _bicubic_taps(size: int, scale: float) -> tuple[Tensor, Tensor]:
    """Which input pixels make each output pixel, `[taps, out]`, and their weights, which sum to 1 per output."""
    widen = max(1.0, 1 / scale)
    # The tolerance keeps 3 * (1 / 3) from becoming a row of its own.
    outputs = math.ceil(size * scale - 1e-9)
    centre = (torch.arange(outputs, dtype=torch.float64) + 0.5) / scale - 0.5
    first = torch.floor(centre - 2 * widen).long()
    index = first + torch.arange(math.ceil(4 * widen) + 2)[:, None]
    weight = _cubic((index - centre).abs() / widen)
    used = (weight != 0).any(dim=1)
    index, weight = index[used], weight[used]
    return mirror(index, size), weight / weight.sum(dim=0)


def _cubic(x: Tensor) -> Tensor:
    """Keys' cubic convolution kernel with a = -0.5, at distances x >= 0."""
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x <= 1, near, torch.where(x <= 2, far, 0.0))
