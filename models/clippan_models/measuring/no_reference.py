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

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

import torch
from torch.nn.functional import avg_pool2d, pad

from clippan_models.contracts import Window
from clippan_models.errors import InputError
from clippan_models.measuring.parallel import in_order
from clippan_models.metrics.blocks import block_moments, split_blocks
from clippan_models.metrics.d_lambda import distortion_of_pairs
from clippan_models.metrics.d_rho import box_sum, correlation_field, grown_for_field, half_width
from clippan_models.metrics.d_s import distortion_of_bands
from clippan_models.metrics.d_sr import d_sr_of_moments
from clippan_models.metrics.q2n import block_q2n
from clippan_models.metrics.qnr import hqnr, qnr, rqnr
from clippan_models.metrics.uiqi import pairwise_uiqi
from clippan_models.ops.moments import Moments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from clippan_models.measuring.local_maps import LocalMaps


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


class CoarsePlanes(Protocol):
    """What the paper of QNR compares the fused image with: the pair on the MS grid, by window of that grid."""

    @property
    def ratio(self) -> int:
        """PAN pixels per MS pixel."""

    def ms(self, window: Window) -> Tensor:
        """MS, `[C, h, w]`."""

    def pan(self, window: Window) -> Tensor:
        """PAN reduced to the MS grid, `[1, h, w]`."""


@dataclass(frozen=True)
class SeenWindow:
    """The planes of one window, for whoever wants to look at them as well.

    Attributes:
        window: where, on the PAN grid.
        fused: `[C, h, w]`, float64.
        pan: `[1, h, w]`, float64.
        fused_mtf: `[C, h, w]`.
        valid: `[h, w]` bool; what the others hold elsewhere is meaningless.
    """

    window: Window
    fused: Tensor
    pan: Tensor
    fused_mtf: Tensor
    valid: Tensor


class Observer(Protocol):
    """Gathers more from the windows of a scene while they are there."""

    def add(self, seen: SeenWindow) -> None:
        """Look at one more window; each pixel of the scene is in exactly one, those without a valid pixel in none."""


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
        d_sr: share of PAN that no mixture of the bands explains, 0 is ideal.
        rqnr: (1 - d_lambda_k)(1 - d_sr), 1 is ideal.
        valid_share: valid pixels over pixels looked at, 0 .. 1.
        blocks: number of blocks that counted.
    """

    d_lambda: float
    d_s: float
    qnr: float
    d_lambda_k: float
    hqnr: float
    d_rho: float
    d_sr: float
    rqnr: float
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
            "D_sR": self.d_sr,
            "RQNR": self.rqnr,
        }


def score(
    planes: QualityPlanes,
    block: int = 32,
    window_size: int = 512,
    on_progress: Callable[[int, int], None] | None = None,
    windows: Sequence[Window] | None = None,
    coarse: CoarsePlanes | None = None,
    maps: LocalMaps | None = None,
    observers: Sequence[Observer] = (),
    workers: int = 1,
) -> NoReferenceScores:
    """Score a fused scene.

    Args:
        planes: the scene.
        block: side of a block, PAN pixels; published tables use 32.
        window_size: side of the windows that are read, a multiple of `block`. Changes memory and speed, not the result.
        on_progress: called after each window with the windows done and their total; may raise to stop.
        windows: look at these only, each starting and ending on whole blocks; None: at all of the scene.
        coarse: D_lambda and D_s by the paper's definition, whose references are on the MS grid with blocks of the same
            ground; None: by the toolbox's, whose references are interpolated.
        maps: takes the local values.
        observers: are shown each window, in order.
        workers: windows worked on at once; above 1, the planes must allow calls from several threads.

    Raises:
        InputError: the scene has too few valid pixels side by side for even one block.
        ValueError: `window_size` is not a multiple of `block`, or `block` not one of the ratio with `coarse`.
    """
    if window_size % block:
        raise ValueError(f"windows of {window_size} pixels do not divide into blocks of {block}")
    if coarse is not None and block % coarse.ratio:
        raise ValueError(f"blocks of {block} pixels do not divide into MS pixels of {coarse.ratio}")
    todo = list(_windows(planes.shape, window_size) if windows is None else windows)
    totals, extras = _Totals(), _Extras(block, coarse, maps, tuple(observers))
    for done, part in enumerate(in_order(lambda window: _look(planes, window, extras), todo, workers), start=1):
        totals.merge(part)
        if on_progress is not None:
            on_progress(done, len(todo))
    return _summarise(totals, sum(window.pixels for window in todo), block)


@dataclass(frozen=True)
class _Extras:
    """What else there is to do in each window: see `score`."""

    block: int
    coarse: CoarsePlanes | None
    maps: LocalMaps | None
    observers: tuple[Observer, ...]


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


def _windows(shape: tuple[int, int], size: int) -> Iterator[Window]:
    height, width = shape
    for row in range(0, height, size):
        for col in range(0, width, size):
            yield Window(row, col, min(size, height - row), min(size, width - col))


def _look(planes: QualityPlanes, window: Window, extras: _Extras) -> _Totals:
    """Read the planes of one window, once each, and sum over it."""
    totals = _Totals()
    wide = grown_for_field(window, half_width(planes.ratio))
    core = window.inside(wide)
    valid = planes.valid(wide)
    valid_pixels = int(valid[core].sum())
    if not valid_pixels:
        return totals
    totals.valid_pixels += valid_pixels
    fused, pan = planes.fused(wide), planes.pan(wide)
    _add_field(totals, fused, pan, valid, wide, planes, extras.maps)
    seen = SeenWindow(window, fused[:, *core].double(), pan[:, *core].double(), planes.fused_mtf(window), valid[core])
    totals.moments.update([seen.fused, seen.pan], seen.valid)
    _add_blocks(totals, planes, seen, extras)
    totals.later += [partial(observer.add, seen) for observer in extras.observers]
    return totals


def _add_blocks(totals: _Totals, planes: QualityPlanes, seen: SeenWindow, extras: _Extras) -> None:
    """The indices over blocks: D_lambda, D_s, D_lambda_K."""
    blocks = _Blocks.of(seen.valid, extras.block)
    totals.blocks += blocks.count
    if not blocks.count:
        return
    exp = blocks.cut(planes.exp(seen.window))
    q_fused = _q_table(blocks.cut(seen.fused), blocks.cut(seen.pan), blocks.valid)
    if extras.coarse is None:
        q_reference = _q_table(exp, blocks.cut(planes.pan_low(seen.window)), blocks.valid)
    else:
        q_reference = _coarse_table(extras.coarse, seen, extras.block, blocks)
    q2n = block_q2n(exp, blocks.cut(seen.fused_mtf), blocks.valid)
    totals.q_fused += q_fused.sum(dim=0)
    totals.q_reference += q_reference.sum(dim=0)
    totals.q2n += float(q2n.sum())
    if extras.maps is not None:
        add = partial(extras.maps.add_blocks, seen.window, blocks.chosen, q_fused, q_reference, q2n)
        totals.later.append(add)


def _coarse_table(coarse: CoarsePlanes, seen: SeenWindow, block: int, blocks: _Blocks) -> Tensor:
    """The table of Q on the MS grid, for the same blocks of ground.

    An MS pixel counts where at least half of it is valid; so half of a block that counts has at least one.
    """
    ratio, window = coarse.ratio, seen.window
    below = Window(window.row // ratio, window.col // ratio, -(-window.height // ratio), -(-window.width // ratio))
    share = avg_pool2d(_pad_to_blocks(seen.valid[None].double(), ratio), ratio)[0]
    small = _Blocks.of(share >= 0.5, block // ratio, blocks.chosen)
    return _q_table(small.cut(coarse.ms(below)), small.cut(coarse.pan(below)), small.valid)


def _add_field(
    totals: _Totals,
    fused: Tensor,
    pan: Tensor,
    valid: Tensor,
    wide: Window,
    planes: QualityPlanes,
    maps: LocalMaps | None,
) -> None:
    """D_rho, over the pixels whose neighbourhood is valid or lies beyond the border of the scene."""
    half = half_width(planes.ratio)
    inside = _inside(wide, planes.shape, valid.device)
    spoilt = (inside & ~valid).to(torch.float32)
    usable = box_sum(spoilt, 4 * half - 1) == 0
    fused, pan = torch.where(valid, fused.double(), 0.0), torch.where(valid, pan.double(), 0.0)
    distance = 1 - correlation_field(fused, pan, inside, half)
    local = torch.where(usable, distance.mean(dim=0), 0.0)
    totals.rho_pixels += int(usable.sum())
    totals.rho_distance += float(local.sum())
    if maps is not None:
        row, col = wide.row + 2 * half - 2, wide.col + 2 * half - 2
        totals.later.append(partial(maps.add_field, row, col, local, usable))


def _inside(window: Window, shape: tuple[int, int], device: torch.device) -> Tensor:
    """Which pixels of the window lie in the scene, `[h, w]` bool."""
    rows = torch.arange(window.row, window.row_stop, device=device)
    cols = torch.arange(window.col, window.col_stop, device=device)
    return ((rows >= 0) & (rows < shape[0]))[:, None] & ((cols >= 0) & (cols < shape[1]))


@dataclass(frozen=True)
class _Blocks:
    """The blocks of a window that count.

    Attributes:
        block: side of a block.
        chosen: indices of the blocks that count among all of the window, or None for all.
        valid: valid pixels of the blocks that count, `[N, P]` bool, or None when all are valid.
        count: N.
    """

    block: int
    chosen: Tensor | None
    valid: Tensor | None
    count: int

    @classmethod
    def of(cls, valid: Tensor, block: int, chosen: Tensor | None = None) -> _Blocks:
        """Choose the blocks of which at least half is valid, unless the choice is given."""
        parts = split_blocks(_pad_to_blocks(valid[None], block), block)[:, 0]
        if parts.all():
            return cls(block, None, None, len(parts))
        if chosen is None:
            chosen = torch.nonzero(2 * parts.sum(dim=1) >= block**2)[:, 0]
        return cls(block, chosen, parts[chosen], len(chosen))

    def cut(self, image: Tensor) -> Tensor:
        """The blocks that count, `[N, C, P]`, from a plane of the window `[C, h, w]`."""
        parts = split_blocks(_pad_to_blocks(image, self.block), self.block)
        return parts if self.chosen is None else parts[self.chosen]


def _pad_to_blocks(image: Tensor, block: int) -> Tensor:
    """Zeros at the right and bottom, up to whole blocks."""
    height, width = image.shape[-2:]
    return pad(image, (0, -width % block, 0, -height % block))


def _q_table(image: Tensor, pan: Tensor, valid: Tensor | None) -> Tensor:
    """Q of each band with each band and with PAN in each block, `[N, C, C + 1]`.

    Args:
        image: `[N, C, P]`.
        pan: `[N, 1, P]`, or `[N, C, P]` when each band has a PAN of its own.
        valid: `[N, P]` bool or None.
    """
    bands = image.shape[1]
    table = pairwise_uiqi(block_moments(torch.cat([image, pan], dim=1), valid))
    across = table[:, :bands, bands:]
    with_pan = across[:, :, 0] if pan.shape[1] == 1 else across.diagonal(dim1=1, dim2=2)
    return torch.cat([table[:, :bands, :bands], with_pan[:, :, None]], dim=2)


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
    return NoReferenceScores(
        d_lambda=d_lambda,
        d_s=d_s,
        qnr=qnr(d_lambda, d_s),
        d_lambda_k=d_lambda_k,
        hqnr=hqnr(d_lambda_k, d_s),
        d_rho=totals.rho_distance / totals.rho_pixels,
        d_sr=d_sr,
        rqnr=rqnr(d_lambda_k, d_sr),
        valid_share=totals.valid_pixels / pixels,
        blocks=totals.blocks,
    )
