"""D_lambda, D_s, QNR, D_lambda_K, HQNR and D_rho of a scene of any size, window by window, without nodata.

The indices are means over blocks of 32 x 32 pixels (D_rho: over pixels), so they stream: no more than a window of
the scene is in memory. Where everything is valid and the sides are multiples of the block, the values are those of the
whole-image functions (`d_lambda.py` and so on), whatever the window.

Nodata: a block's statistics use its valid pixels, and the block counts when at least half of them are valid. Pixels
beyond the right and bottom border of a scene that does not divide into blocks are invalid ones. D_rho counts the pixels
whose whole neighbourhood is valid; pixels beyond the border are zeros there, as in the whole-image function. What the
planes hold at invalid pixels does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch
from torch.nn.functional import pad

from clippan_models.contracts import Window
from clippan_models.errors import InputError
from clippan_models.metrics.blocks import block_moments, split_blocks
from clippan_models.metrics.d_lambda import distortion_of_pairs
from clippan_models.metrics.d_rho import box_sum, correlation_field, grown_for_field, half_width
from clippan_models.metrics.d_s import distortion_of_bands
from clippan_models.metrics.q2n import block_q2n
from clippan_models.metrics.qnr import hqnr, qnr
from clippan_models.metrics.uiqi import pairwise_uiqi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor


class QualityPlanes(Protocol):
    """The images that the indices compare, by window on the PAN grid; DN, finite, any float type.

    `fused`, `pan` and `valid` are also asked for beyond the scene, where values are 0 and `valid` is False; the others
    only inside.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """PAN rows and columns of the scene."""

    @property
    def bands(self) -> int:
        """Number of MS bands, C."""

    @property
    def ratio(self) -> float:
        """PAN pixels per MS pixel, for the window of D_rho."""

    def fused(self, window: Window) -> Tensor:
        """The fused image, `[C, h, w]`."""

    def pan(self, window: Window) -> Tensor:
        """PAN, `[1, h, w]`."""

    def valid(self, window: Window) -> Tensor:
        """Pixels that are valid in all three images, `[h, w]` bool."""

    def exp(self, window: Window) -> Tensor:
        """MS interpolated to the PAN grid, `[C, h, w]`."""

    def pan_low(self, window: Window) -> Tensor:
        """PAN brought to the MS grid and back, `[C, h, w]`, or `[1, h, w]` when it is the same for all bands."""

    def fused_mtf(self, window: Window) -> Tensor:
        """The fused image as the MS sensor would blur it, on the PAN grid, `[C, h, w]`."""


@dataclass(frozen=True)
class NoReferenceScores:
    """The quality of a fused scene as far as it can be told without a reference.

    Attributes:
        d_lambda: spectral distortion, 0 is ideal.
        d_s: spatial distortion, 0 is ideal.
        qnr: (1 - d_lambda)(1 - d_s), 1 is ideal.
        d_lambda_k: spectral distortion after the sensor's MTF, 0 is ideal.
        hqnr: (1 - d_lambda_k)(1 - d_s), 1 is ideal.
        d_rho: lack of local correlation with PAN, 0 is ideal.
        valid_share: valid pixels over pixels of the scene, 0 .. 1.
        blocks: number of blocks that counted.
    """

    d_lambda: float
    d_s: float
    qnr: float
    d_lambda_k: float
    hqnr: float
    d_rho: float
    valid_share: float
    blocks: int

    def as_metrics(self) -> dict[str, float]:
        """The indices under the names the literature gives them."""
        return {
            "D_lambda": self.d_lambda,
            "D_s": self.d_s,
            "QNR": self.qnr,
            "D_lambda_K": self.d_lambda_k,
            "HQNR": self.hqnr,
            "D_rho": self.d_rho,
        }


def score(
    planes: QualityPlanes,
    block: int = 32,
    window_size: int = 512,
    on_progress: Callable[[int, int], None] | None = None,
) -> NoReferenceScores:
    """Score a fused scene.

    Args:
        planes: the scene.
        block: side of a block, PAN pixels; published tables use 32.
        window_size: side of the windows that are read, a multiple of `block`. Changes memory and speed, not the result.
        on_progress: called after each window with the windows done and their total; may raise to stop.

    Raises:
        InputError: the scene has too few valid pixels side by side for even one block.
        ValueError: `window_size` is not a multiple of `block`.
    """
    if window_size % block:
        raise ValueError(f"windows of {window_size} pixels do not divide into blocks of {block}")
    windows = list(_windows(planes.shape, window_size))
    totals = _Totals()
    for done, window in enumerate(windows, start=1):
        _gather(planes, window, block, totals)
        if on_progress is not None:
            on_progress(done, len(windows))
    return _summarise(totals, planes, block)


@dataclass
class _Totals:
    """Sums over the windows seen so far, float64."""

    blocks: int = 0
    q_fused: list[Tensor] = field(default_factory=list)
    q_reference: list[Tensor] = field(default_factory=list)
    q2n: float = 0.0
    rho_pixels: int = 0
    rho_distance: float = 0.0
    valid_pixels: int = 0


def _windows(shape: tuple[int, int], size: int) -> Iterator[Window]:
    height, width = shape
    for row in range(0, height, size):
        for col in range(0, width, size):
            yield Window(row, col, min(size, height - row), min(size, width - col))


def _gather(planes: QualityPlanes, window: Window, block: int, totals: _Totals) -> None:
    """Add one window to the totals."""
    wide = grown_for_field(window, half_width(planes.ratio))
    valid = planes.valid(wide)
    core = window.inside(wide)
    if not valid[core].any():
        return
    fused, pan = _masked(planes.fused(wide), valid), _masked(planes.pan(wide), valid)
    totals.valid_pixels += int(valid[core].sum())
    _gather_field(fused, pan, valid, _inside_scene(wide, planes.shape, valid), totals)
    fused, pan, valid = fused[:, *core], pan[:, *core], valid[core]
    _gather_blocks(planes, window, fused, pan, valid, block, totals)
