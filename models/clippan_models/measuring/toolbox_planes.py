"""The planes of the no-reference indices made exactly as the community toolbox makes them, window by window.

The toolbox filters whole images and has a different border in each filter: circular in `interp23`, mirrored in
`imresize`, replicated in the MTF. Here a window is first extended with the pixels that the filter would see there,
which at the edge of the scene are fetched from wherever that border rule points to. So the values are those of the
whole image, and memory grows with the window only.

Invalid samples are replaced by their nearest valid ones before a filter sees them. In a scene without any, nothing is
replaced and the result is the toolbox's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from clippan_models.contracts import Window
from clippan_models.errors import InputError
from clippan_models.measuring.planes import PlaneSource
from clippan_models.measuring.reading import fetch_filled, read_padded
from clippan_models.ops.toolbox import (
    MTF_HALO,
    correlate,
    imresize_bicubic,
    interp23,
    interp23_halo,
    mirror,
    mtf_kernels,
)


@dataclass(frozen=True)
class ToolboxPlanes:
    """`QualityPlanes` of a scene whose MS grid is an exact division of its PAN grid.

    Attributes:
        fused_source: the fused image, `(C, H, W)`.
        ms_source: MS, `(C, H / r, W / r)` with r a power of two above 1.
        pan_source: PAN, `(1, H, W)`.
        gains: the sensor's gain at the MS Nyquist frequency, one per band.

    Raises:
        InputError: the sizes do not fit together.
    """

    fused_source: PlaneSource
    ms_source: PlaneSource
    pan_source: PlaneSource
    gains: tuple[float, ...]

    def __post_init__(self) -> None:
        bands, height, width = self.fused_source.shape
        ms_bands, ms_height, ms_width = self.ms_source.shape
        ratio = height // ms_height
        if (ratio * ms_height, ratio * ms_width) != (height, width) or ratio < 2 or ratio & (ratio - 1):
            raise InputError(
                f"the toolbox's indices need PAN pixels that divide MS pixels into a power of two, but the fused image "
                f"has {height} x {width} pixels and the MS {ms_height} x {ms_width}"
            )
        if self.pan_source.shape != (1, height, width):
            raise InputError(f"PAN is {self.pan_source.shape}, the fused image asks for {(1, height, width)}")
        if not bands == ms_bands == len(self.gains):
            raise InputError(f"the fused image has {bands} bands, the MS {ms_bands}, the sensor {len(self.gains)}")

    @property
    def shape(self) -> tuple[int, int]:
        """PAN rows and columns of the scene."""
        return self.pan_source.shape[1:]

    @property
    def bands(self) -> int:
        """Number of MS bands."""
        return self.ms_source.shape[0]

    @property
    def ratio(self) -> int:
        """PAN pixels per MS pixel."""
        return self.pan_source.shape[1] // self.ms_source.shape[1]

    def fused(self, window: Window) -> Tensor:
        """The fused image, `[C, h, w]`, float64, 0 beyond the scene."""
        return read_padded(self.fused_source.read, window, self.shape).double()

    def pan(self, window: Window) -> Tensor:
        """PAN, `[1, h, w]`, float64, 0 beyond the scene."""
        return read_padded(self.pan_source.read, window, self.shape).double()

    def valid(self, window: Window) -> Tensor:
        """Pixels valid in the fused image, in PAN and in the MS pixel they lie in, `[h, w]` bool."""
        return read_padded(self._valid_inside, window, self.shape)

    def exp(self, window: Window) -> Tensor:
        """`interp23(MS)`, `[C, h, w]`, float64, for a window inside the scene."""
        return self._interpolate(self.ms_source, window)

    def pan_low(self, window: Window) -> Tensor:
        """`interp23(imresize_bicubic(PAN, 1 / r))`, `[1, h, w]`, float64, for a window inside the scene."""
        return self._interpolate(_Reduced(self.pan_source, self.ratio), window)

    def fused_mtf(self, window: Window) -> Tensor:
        """`mtf_filter(fused)`, `[C, h, w]`, float64, for a window inside the scene."""
        return self._blur(self.fused_source, window, self.gains)

    def pan_mtf(self, window: Window, gain: float) -> Tensor:
        """`mtf_filter(PAN)` with one gain, `[1, h, w]`, float64, for a window inside the scene."""
        return self._blur(self.pan_source, window, (gain,))

    def on_ms_grid(self) -> OnMsGrid:
        """The pair on the MS grid, which the paper of QNR compares with."""
        return OnMsGrid(self.ms_source, self.pan_source, self.ratio)

    def _interpolate(self, source: PlaneSource, window: Window) -> Tensor:
        """A window on the PAN grid of `interp23` of a source on the MS grid, whose border is circular."""
        _, height, width = source.shape
        ratio, halo = self.ratio, interp23_halo(self.ratio)
        top, left = window.row // ratio - halo, window.col // ratio - halo
        rows = _span(top, -(-window.row_stop // ratio) + halo, halo).remainder(height)
        cols = _span(left, -(-window.col_stop // ratio) + halo, halo).remainder(width)
        image = interp23(fetch_filled(source, rows, cols, halo), ratio)
        row, col = window.row - ratio * top, window.col - ratio * left
        return image[:, row : row + window.height, col : col + window.width]

    def _blur(self, source: PlaneSource, window: Window, gains: tuple[float, ...]) -> Tensor:
        height, width = self.shape
        rows = _span(window.row, window.row_stop, 2 * MTF_HALO).clamp(0, height - 1)
        cols = _span(window.col, window.col_stop, 2 * MTF_HALO).clamp(0, width - 1)
        return correlate(fetch_filled(source, rows, cols, MTF_HALO), mtf_kernels(gains, self.ratio))

    def _valid_inside(self, window: Window) -> Tensor:
        ratio = self.ratio
        top, left = window.row // ratio, window.col // ratio
        below = Window(top, left, -(-window.row_stop // ratio) - top, -(-window.col_stop // ratio) - left)
        ms_valid = self.ms_source.valid(below).repeat_interleave(ratio, dim=0).repeat_interleave(ratio, dim=1)
        on_pan = Window(ratio * top, ratio * left, ratio * below.height, ratio * below.width)
        return self.fused_source.valid(window) & self.pan_source.valid(window) & ms_valid[window.inside(on_pan)]


@dataclass(frozen=True)
class OnMsGrid:
    """MS, and PAN reduced by `imresize_bicubic`, by window of the MS grid."""

    ms_source: PlaneSource
    pan_source: PlaneSource
    ratio: int

    def ms(self, window: Window) -> Tensor:
        """MS, `[C, h, w]`, float64."""
        return self.ms_source.read(window).double()

    def pan(self, window: Window) -> Tensor:
        """`imresize_bicubic(PAN, 1 / r)`, `[1, h, w]`, float64."""
        return _Reduced(self.pan_source, self.ratio).read(window)


@dataclass(frozen=True)
class _Reduced:
    """PAN reduced to the MS grid by `imresize_bicubic`, as a source of its own.

    A reduced pixel is valid when any of the PAN pixels that it covers is.
    """

    source: PlaneSource
    ratio: int

    @property
    def shape(self) -> tuple[int, int, int]:
        bands, height, width = self.source.shape
        return bands, height // self.ratio, width // self.ratio

    def read(self, window: Window) -> Tensor:
        _, height, width = self.source.shape
        ratio, margin = self.ratio, _REDUCE_MARGIN
        reach = (margin + 1) * ratio  # a pixel that is valid itself finds neighbours for all of its kernel
        top, bottom = ratio * (window.row - margin), ratio * (window.row_stop + margin)
        left, right = ratio * (window.col - margin), ratio * (window.col_stop + margin)
        rows = mirror(_span(top, bottom, reach), height)
        cols = mirror(_span(left, right, reach), width)
        reduced = imresize_bicubic(fetch_filled(self.source, rows, cols, reach), 1 / ratio)
        return reduced[:, margin:-margin, margin:-margin]

    def valid(self, window: Window) -> Tensor:
        ratio = self.ratio
        covered = Window(ratio * window.row, ratio * window.col, ratio * window.height, ratio * window.width)
        return max_pool2d(self.source.valid(covered)[None].to(torch.float32), ratio)[0] > 0


_REDUCE_MARGIN = 2
"""Reduced pixels on each side that the widened bicubic kernel covers."""


def _span(start: int, stop: int, margin: int) -> Tensor:
    return torch.arange(start - margin, stop + margin)
