"""D_lambda, D_s, QNR, D_lambda_K, HQNR, D_rho, D_sR and RQNR of a scene of any size, window by window.

The indices are means over blocks of 32 x 32 pixels (D_rho and D_sR: over pixels), so they stream: no more than a window
of the scene is in memory. Where everything is valid and the sides are multiples of the block, the values are those of
the whole-image functions (`d_lambda.py` and so on), whatever the window.

Nodata: a block's statistics use its valid pixels, and the block counts when at least half of them are valid. Pixels
beyond the right and bottom border of a scene that does not divide into blocks are invalid ones. D_rho counts the pixels
whose whole neighbourhood is valid; pixels beyond the border are zeros there, as in the whole-image function. What the
planes hold at invalid pixels does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from clippan_models.contracts import Window
from clippan_models.errors import InputError
from clippan_models.measuring.blocks import Blocks, pad_to_blocks
from clippan_models.measuring.local_maps import LocalMaps
from clippan_models.measuring.planes import CoarsePlanes, Observer, QualityPlanes, SeenWindow
from clippan_models.measuring.windows import Windows
from clippan_models.metrics.d_lambda import distortion_of_pairs
from clippan_models.metrics.d_rho import box_sum, correlation_field, grown_for_field, half_width
from clippan_models.metrics.d_s import distortion_of_bands
from clippan_models.metrics.d_sr import d_sr_of_moments
from clippan_models.metrics.qnr import qnr
from clippan_models.ops.moments import Moments


@dataclass(frozen=True)
class NoReferenceScores:
    """The quality of a fused scene, measured without a reference.

    Attributes:
        metrics: the indices D_lambda, D_s, QNR, D_lambda_K, HQNR, D_rho, D_sR and RQNR; see `metrics.catalogue`.
        valid_share: valid pixels over pixels looked at, 0 .. 1.
        blocks: number of blocks that counted.
    """

    metrics: dict[str, float]
    valid_share: float
    blocks: int


def score(
    planes: QualityPlanes,
    windows: Windows = Windows(),
    coarse: CoarsePlanes | None = None,
    maps: LocalMaps | None = None,
    observers: Sequence[Observer] = (),
) -> NoReferenceScores:
    """Score a fused scene.

    Args:
        planes: the scene.
        windows: how it is read.
        coarse: D_lambda and D_s by the paper's definition, whose references are on the MS grid with blocks of the same
            extent; None: by the toolbox's, whose references are interpolated.
        maps: takes the local values.
        observers: are shown each window, in order.

    Raises:
        InputError: the scene has too few valid pixels side by side for even one block.
        ValueError: the block is not a multiple of the ratio, with `coarse`.
    """
    if coarse is not None and windows.block % coarse.ratio:
        raise ValueError(f"blocks of {windows.block} pixels do not divide into MS pixels of {coarse.ratio}")
    scorer, totals = _Scorer(planes, windows.block, coarse, maps, tuple(observers)), _Totals()
    for part in windows.each(scorer.look, planes.shape):
        totals.merge(part)
    return _summarise(totals, sum(window.pixels for window in windows.over(planes.shape)), windows.block)


@dataclass
class _Totals:
    """Sums over the windows seen so far.

    The tables `[C, C + 1]` hold the Q of each band with each band, and with PAN in the last column, summed over blocks.
    """

    blocks: int = 0
    q_fused: Tensor | float = 0.0
    q_reference: Tensor | float = 0.0
    q2n: float = 0.0
    rho_distance: float = 0.0
    rho_pixels: int = 0
    valid_pixels: int = 0
    moments: Moments = field(default_factory=Moments)
    later: list[Callable[[], None]] = field(default_factory=list)
    """What is left to do in the order of the windows."""

    def merge(self, part: _Totals) -> None:
        """Take the sums over further windows."""
        self.blocks += part.blocks
        self.q_fused += part.q_fused
        self.q_reference += part.q_reference
        self.q2n += part.q2n
        self.rho_distance += part.rho_distance
        self.rho_pixels += part.rho_pixels
        self.valid_pixels += part.valid_pixels
        self.moments.merge(part.moments)
        for step in part.later:
            step()


@dataclass(frozen=True)
class _Scorer:
    """Sums over one window; the attributes are those of `score`."""

    planes: QualityPlanes
    block: int
    coarse: CoarsePlanes | None
    maps: LocalMaps | None
    observers: tuple[Observer, ...]

    def look(self, window: Window) -> _Totals:
        """Read the planes of one window, once each, and sum over it."""
        totals = _Totals()
        wide = grown_for_field(window, half_width(self.planes.ratio))
        core = window.inside(wide)
        valid = self.planes.valid(wide)
        totals.valid_pixels = int(valid[core].sum())
        if not totals.valid_pixels:
            return totals
        fused, pan = self.planes.fused(wide), self.planes.pan(wide)
        self._add_field(totals, wide, fused, pan, valid)
        blurred = self.planes.fused_mtf(window)
        seen = SeenWindow(window, fused[:, *core].double(), pan[:, *core].double(), blurred, valid[core])
        totals.moments.update([seen.fused, seen.pan], seen.valid)
        self._add_blocks(totals, seen)
        totals.later += [partial(observer.add, seen) for observer in self.observers]
        return totals

    def _add_blocks(self, totals: _Totals, seen: SeenWindow) -> None:
        """The indices over blocks: D_lambda, D_s, D_lambda_K."""
        blocks = Blocks.of(seen.valid, self.block)
        totals.blocks = blocks.count
        if not blocks.count:
            return
        exp = self.planes.exp(seen.window)
        q_fused = blocks.q_table(seen.fused, seen.pan)
        if self.coarse is None:
            q_reference = blocks.q_table(exp, self.planes.pan_low(seen.window))
        else:
            q_reference = _coarse_table(self.coarse, seen, blocks)
        q2n = blocks.q2n(exp, seen.fused_mtf)
        totals.q_fused = q_fused.sum(dim=0)
        totals.q_reference = q_reference.sum(dim=0)
        totals.q2n = float(q2n.sum())
        if self.maps is not None:
            add = partial(self.maps.add_blocks, seen.window, blocks.chosen, q_fused, q_reference, q2n)
            totals.later.append(add)

    def _add_field(self, totals: _Totals, wide: Window, fused: Tensor, pan: Tensor, valid: Tensor) -> None:
        """D_rho, over the pixels whose neighbourhood is valid or lies beyond the border of the scene."""
        half = half_width(self.planes.ratio)
        inside = _inside(wide, self.planes.shape, valid.device)
        spoilt = (inside & ~valid).to(torch.float32)
        usable = box_sum(spoilt, 4 * half - 1) == 0
        fused, pan = torch.where(valid, fused.double(), 0.0), torch.where(valid, pan.double(), 0.0)
        distance = 1 - correlation_field(fused, pan, inside, half)
        local = torch.where(usable, distance.mean(dim=0), 0.0)
        totals.rho_pixels = int(usable.sum())
        totals.rho_distance = float(local.sum())
        if self.maps is not None:
            row, col = wide.row + 2 * half - 2, wide.col + 2 * half - 2
            totals.later.append(partial(self.maps.add_field, row, col, local, usable))


def _coarse_table(coarse: CoarsePlanes, seen: SeenWindow, blocks: Blocks) -> Tensor:
    """The table of Q on the MS grid, for the same blocks of the scene.

    An MS pixel counts where at least half of it is valid; so half of a block that counts has at least one.
    """
    ratio, window = coarse.ratio, seen.window
    below = Window(window.row // ratio, window.col // ratio, -(-window.height // ratio), -(-window.width // ratio))
    share = avg_pool2d(pad_to_blocks(seen.valid[None].double(), ratio), ratio)[0]
    small = Blocks.of(share >= 0.5, blocks.side // ratio, blocks.chosen)
    return small.q_table(coarse.ms(below), coarse.pan(below))


def _inside(window: Window, shape: tuple[int, int], device: torch.device) -> Tensor:
    """Which pixels of the window lie in the scene, `[h, w]` bool."""
    rows = torch.arange(window.row, window.row_stop, device=device)
    cols = torch.arange(window.col, window.col_stop, device=device)
    return ((rows >= 0) & (rows < shape[0]))[:, None] & ((cols >= 0) & (cols < shape[1]))


def _summarise(totals: _Totals, pixels: int, block: int) -> NoReferenceScores:
    """Turn sums over so many pixels into scores."""
    if not totals.blocks:
        raise InputError(
            f"nothing to assess: {totals.valid_pixels} of {pixels} pixels are valid in the fused image, the MS and the "
            f"PAN alike, and no block of {block} x {block} is at least half valid"
        )
    if not totals.rho_pixels:
        raise InputError("nothing to assess: every valid pixel has nodata within a few pixels")
    q_fused = torch.as_tensor(totals.q_fused) / totals.blocks
    q_reference = torch.as_tensor(totals.q_reference) / totals.blocks
    d_lambda = distortion_of_pairs(q_fused[:, :-1], q_reference[:, :-1])
    d_s = distortion_of_bands(q_fused[:, -1], q_reference[:, -1])
    d_lambda_k = 1 - totals.q2n / totals.blocks
    d_sr = d_sr_of_moments(totals.moments)
    metrics = {
        "D_lambda": d_lambda,
        "D_s": d_s,
        "QNR": qnr(d_lambda, d_s),
        "D_lambda_K": d_lambda_k,
        "HQNR": qnr(d_lambda_k, d_s),
        "D_rho": totals.rho_distance / totals.rho_pixels,
        "D_sR": d_sr,
        "RQNR": qnr(d_lambda_k, d_sr),
    }
    return NoReferenceScores(metrics, totals.valid_pixels / pixels, totals.blocks)
