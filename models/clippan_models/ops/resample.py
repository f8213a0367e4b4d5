"""Between the two grids of a scene: interpolate MS to PAN, blur and decimate PAN to MS.

Both are separable and written as small matrices, one per axis and band: entry (x, k) says what source sample k
contributes to target sample x. The weights depend on scene coordinates only, never on where a tile begins, and the
products run over blocks of few source samples; so a pixel gets the same bits whatever tile it is computed in, any
ratio and sub-pixel phase is served by the same code, and gradients flow. Measuring has the conventions of the
community's toolbox instead (`ops/toolbox.py`): its numbers must compare with published ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from clippan_models.contracts import INTERPOLATION_RADIUS, Kernel, Sampling, Window

_BLOCK = 128  # rows of a matrix multiplied at once: long enough for speed, short enough to skip the zeros of the band


@dataclass(frozen=True)
class Banded:
    """A matrix `[rows, columns]` whose non-zeros lie near the diagonal, kept as the blocks that hold them.

    The last block is filled up with rows of zeros, and products keep the surplus: libraries multiply thin matrices by
    other routines, which add in another order and give other last bits. The caller crops.
    """

    shape: tuple[int, int]
    blocks: tuple[tuple[int, Tensor], ...]
    """(first column, weights `[_BLOCK, columns]`) of each block of rows."""

    @classmethod
    def from_dense(cls, dense: Tensor) -> Banded:
        """Cut a dense matrix into blocks of rows without their zero margins."""
        blocks = []
        for rows in torch.split(dense, _BLOCK):
            used = np.flatnonzero(rows.any(0).numpy())
            first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
            block = torch.zeros(_BLOCK, last - first)
            block[: len(rows)] = rows[:, first:last]
            blocks.append((first, block))
        return cls((dense.shape[0], dense.shape[1]), tuple(blocks))

    def dense(self) -> Tensor:
        """The whole matrix, for batches of small patches."""
        matrix = torch.zeros(len(self.blocks) * _BLOCK, self.shape[1])
        for number, (first, block) in enumerate(self.blocks):
            row = number * _BLOCK
            matrix[row : row + _BLOCK, first : first + block.shape[1]] = block
        return matrix[: self.shape[0]]

    def row_sums(self) -> Tensor:
        """Sum of each row, `[rows]`."""
        return torch.cat([block.sum(1) for _, block in self.blocks])[: self.shape[0]]

    def times_rows(self, image: Tensor) -> Tensor:
        """Apply to the rows of an image: `[..., columns, w] -> [..., rows and surplus, w]`."""
        return torch.cat(
            [block.to(image.device) @ image[..., first : first + block.shape[1], :] for first, block in self.blocks],
            dim=-2,
        )

    def times_cols(self, image: Tensor) -> Tensor:
        """Apply to the columns of an image: `[..., h, columns] -> [..., h, rows and surplus]`."""
        return torch.cat(
            [image[..., first : first + block.shape[1]] @ block.to(image.device).T for first, block in self.blocks],
            dim=-1,
        )


def upsample(
    ms: Tensor, ms_window: Window, pan_window: Window, sampling: Sampling, kernel: Kernel = "lanczos"
) -> Tensor:
    """Interpolate MS samples at PAN pixels, each band where it really lies: `[C, h, w] -> [C, H, W]`.

    Args:
        ms: `[C, h, w]` over `ms_window` of the MS grid, without invalid pixels (see `fill_invalid`).
        ms_window: should reach `INTERPOLATION_RADIUS` MS samples beyond `pan_window`; edges are repeated otherwise.
        pan_window: the part of the PAN grid wanted.
        sampling: relation of the two grids, one phase per band.
        kernel: see `Kernel`.
    """

    def one(bands: Tensor, phase_y: float, phase_x: float) -> Tensor:
        rows = interpolation_matrix(window_rows(pan_window), window_rows(ms_window), phase_y, sampling.ratio_y, kernel)
        cols = interpolation_matrix(window_cols(pan_window), window_cols(ms_window), phase_x, sampling.ratio_x, kernel)
        return rows.times_rows(cols.times_cols(bands))

    pieces = [one(ms[bands], *phase) for bands, phase in _bands_by_phase(sampling)]
    whole = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
    return whole[:, : pan_window.height, : pan_window.width]


def decimate(pan: Tensor, pan_window: Window, ms_window: Window, sampling: Sampling, gain: tuple[float, ...]) -> Tensor:
    """Blur an image on the PAN grid and sample it where the MS samples lie: `[1 or C, H, W] -> [C, h, w]`.

    Zero is assumed beyond `pan_window`: decimate the valid mask too and divide by it.

    Args:
        pan: `[1, H, W]`, seen by every band, or `[C, H, W]`.
        pan_window: the part of the PAN grid it covers.
        ms_window: the MS samples wanted.
        sampling: relation of the two grids, one phase per band.
        gain: amplitude gain of each band's blur at the MS Nyquist frequency.
    """

    def one(band: Tensor, phase_y: float, phase_x: float, gain_b: float) -> Tensor:
        rows = decimation_matrix(window_rows(ms_window), window_rows(pan_window), phase_y, sampling.ratio_y, gain_b)
        cols = decimation_matrix(window_cols(ms_window), window_cols(pan_window), phase_x, sampling.ratio_x, gain_b)
        return rows.times_rows(cols.times_cols(band))

    pieces: list[Tensor] = []
    done: dict[tuple[float, float, float], Tensor] = {}
    for b, key in enumerate(zip(sampling.phase_y, sampling.phase_x, gain, strict=True)):
        if pan.shape[0] > 1:
            pieces.append(one(pan[b], *key))
        else:
            done[key] = one(pan[0], *key) if key not in done else done[key]
            pieces.append(done[key])
    return torch.stack(pieces)[:, : ms_window.height, : ms_window.width]


def _lanczos(offset: Tensor) -> Tensor:
    lobes: Tensor = torch.special.sinc(offset) * torch.special.sinc(offset / INTERPOLATION_RADIUS)
    return lobes * (offset.abs() < INTERPOLATION_RADIUS)


def _cubic(offset: Tensor) -> Tensor:
    x = offset.abs()
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, (1.5 * x - 2.5) * x**2 + 1, outer * (x < 2))


def _bilinear(offset: Tensor) -> Tensor:
    return (1 - offset.abs()).clamp(min=0)


def _nearest(offset: Tensor) -> Tensor:
    return ((offset >= -0.5) & (offset < 0.5)).to(offset.dtype)


_KERNELS = {"lanczos": _lanczos, "cubic": _cubic, "bilinear": _bilinear, "nearest": _nearest}


@lru_cache(maxsize=512)
def interpolation_matrix(
    target: range, source: range, phase: float, ratio: float, kernel: Kernel = "lanczos"
) -> Banded:
    """Weights that interpolate source samples at target indexes, `[len(target), len(source)]`, float32.

    Rows sum to one, and samples keep their value where grids meet.

    Args:
        target: indexes on the fine (PAN) grid.
        source: indexes on the coarse (MS) grid; taps beyond its ends repeat the end sample.
        phase: fine index of coarse sample 0.
        ratio: fine samples per coarse sample.
        kernel: Lanczos has three lobes.
    """
    position = (torch.arange(target.start, target.stop, dtype=torch.float64) - phase) / ratio
    taps = torch.arange(1 - INTERPOLATION_RADIUS, INTERPOLATION_RADIUS + 1, dtype=torch.float64)
    index = torch.floor(position)[:, None] + taps
    offset = position[:, None] - index
    weight = _KERNELS[kernel](offset)
    weight = weight / weight.sum(1, keepdim=True)
    column = (index.long() - source.start).clamp(0, len(source) - 1)
    dense = torch.zeros(len(target), len(source), dtype=torch.float64).scatter_add_(1, column, weight)
    return Banded.from_dense(dense.float())


@lru_cache(maxsize=512)
def decimation_matrix(target: range, source: range, phase: float, ratio: float, gain: float) -> Banded:
    """Weights that blur the fine grid and sample it at the coarse one, `[len(target), len(source)]`, float32.

    A Gaussian whose amplitude at the coarse grid's Nyquist frequency is `gain`. Rows sum to one where the support
    lies within `source`, to less at its ends: divide by the decimated mask.

    Args:
        target: indexes on the coarse (MS) grid.
        source: indexes on the fine (PAN) grid.
        phase: fine index of coarse sample 0.
        ratio: fine samples per coarse sample.
        gain: amplitude gain at the coarse Nyquist frequency, in (0, 1).
    """
    sigma, radius = blur_sigma(gain, ratio), blur_radius(gain, ratio)
    centre = phase + ratio * torch.arange(target.start, target.stop, dtype=torch.float64)
    index = torch.round(centre)[:, None] + torch.arange(-radius, radius + 1, dtype=torch.float64)
    weight = torch.exp(-0.5 * ((index - centre[:, None]) / sigma) ** 2)
    weight = weight / weight.sum(1, keepdim=True)
    column = index.long() - source.start
    inside = (column >= 0) & (column < len(source))
    dense = torch.zeros(len(target), len(source), dtype=torch.float64)
    dense.scatter_add_(1, column.clamp(0, len(source) - 1), weight * inside)
    return Banded.from_dense(dense.float())


def coverage(pan_window: Window, ms_window: Window, sampling: Sampling, gain: tuple[float, ...]) -> Tensor:
    """Share of each MS sample's blur that lies within a PAN window, `[C, h, w]`: `decimate` of ones, far cheaper."""
    shares = []
    for phase_y, phase_x, gain_b in zip(sampling.phase_y, sampling.phase_x, gain, strict=True):
        rows = decimation_matrix(
            window_rows(ms_window), window_rows(pan_window), phase_y, sampling.ratio_y, gain_b
        ).row_sums()
        cols = decimation_matrix(
            window_cols(ms_window), window_cols(pan_window), phase_x, sampling.ratio_x, gain_b
        ).row_sums()
        shares.append(rows[:, None] * cols)
    return torch.stack(shares)


def blur_sigma(gain: float, ratio: float) -> float:
    """Standard deviation, in fine samples, of the Gaussian with amplitude `gain` at frequency 1 / (2 ratio)."""
    return ratio * math.sqrt(-2.0 * math.log(gain)) / math.pi


def blur_radius(gain: float, ratio: float) -> int:
    """Fine samples beyond which `decimation_matrix` has no weight (four standard deviations)."""
    return math.ceil(4.0 * blur_sigma(gain, ratio))


def window_rows(window: Window) -> range:
    """Row indexes of a window."""
    return range(window.row, window.row_stop)


def window_cols(window: Window) -> range:
    """Column indexes of a window."""
    return range(window.col, window.col_stop)


def _bands_by_phase(sampling: Sampling) -> list[tuple[slice, tuple[float, float]]]:
    """Runs of neighbouring bands that share their phase, so that each run is interpolated at once."""
    runs, start = [], 0
    for phase, group in groupby(zip(sampling.phase_y, sampling.phase_x, strict=True)):
        stop = start + len(list(group))
        runs.append((slice(start, stop), phase))
        start = stop
    return runs
