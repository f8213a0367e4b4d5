"""Q2n, SAM, ERGAS, PSNR, SSIM and SCC against a reference, of scenes of any size and with nodata.

Values are those of the whole-image functions (`q2n.py` and so on), whatever the window, also where the sides are no
multiple of a block. Nodata: Q2n uses the valid pixels of a block, which counts where at least half of them are; SSIM
and SCC count the positions whose whole neighbourhood is valid; the others count valid pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clippan_models.contracts import Window
from clippan_models.errors import InputError
from clippan_models.measuring.blocks import Blocks
from clippan_models.measuring.pixel_totals import BandErrors, PixelTotals
from clippan_models.measuring.planes import PlaneSource
from clippan_models.measuring.reading import fetch, read_padded
from clippan_models.measuring.windows import Windows
from clippan_models.metrics.d_rho import box_sum
from clippan_models.metrics.scc import edge_magnitude
from clippan_models.metrics.ssim import REACH, ssim_field
from clippan_models.ops.toolbox import mirror


@dataclass(frozen=True)
class ReferenceScores:
    """The quality of a fused scene whose truth is known.

    Attributes:
        metrics: the indices Q2n, SAM, ERGAS, PSNR, PSNR_global, SSIM and SCC; see `metrics.catalogue`.
        bands: the errors of each band.
        peak: the largest possible DN, for PSNR and SSIM.
        valid_share: valid pixels over pixels looked at.
        blocks: blocks of Q2n that counted.
    """

    metrics: dict[str, float]
    bands: tuple[BandErrors, ...]
    peak: float
    valid_share: float
    blocks: int


def score_reference(
    reference: PlaneSource, fused: PlaneSource, ratio: float, peak: float, windows: Windows = Windows(size=256)
) -> ReferenceScores:
    """Score a fused scene against its truth.

    Args:
        reference: `(C, H, W)`, DN.
        fused: `(C, H, W)`, DN.
        ratio: PAN pixels per MS pixel, for ERGAS.
        peak: the largest possible DN, 2^bits - 1.
        windows: how they are read.

    Raises:
        InputError: the images differ in size, or have no valid pixel in common.
    """
    if reference.shape != fused.shape:
        raise InputError(f"the reference is {reference.shape} (bands, rows, columns), the fused image {fused.shape}")

    def look(window: Window) -> _Totals:
        part = _Totals(reference, fused, peak, windows.block)
        part.add(window)
        return part

    totals, shape = _Totals(reference, fused, peak, windows.block), reference.shape[1:]
    for part in windows.each(look, shape):
        totals.merge(part)
    return totals.summarise(ratio, sum(window.pixels for window in windows.over(shape)))


class _Totals:
    """Sums over the windows seen so far."""

    def __init__(self, reference: PlaneSource, fused: PlaneSource, peak: float, block: int) -> None:
        self.reference, self.fused, self.peak, self.block = reference, fused, peak, block
        self.pixels = PixelTotals()
        self.ssim = self.q2n = 0.0
        self.ssim_count = self.blocks = 0
        self.edges = torch.zeros(3, dtype=torch.float64)  # sums of xx, yy, xy of the edge magnitudes
        self.edges_differ = False

    def add(self, window: Window) -> None:
        wide = window.grown(REACH)
        core = window.inside(wide)
        shape = self.reference.shape[1:]
        valid = read_padded(self._valid, wide, shape)
        if not valid[core].any():
            return
        x, y = (read_padded(source.read, wide, shape).double() for source in (self.reference, self.fused))
        x, y = torch.where(valid, x, 0.0), torch.where(valid, y, 0.0)
        self.pixels.add(x[:, *core], y[:, *core], valid[core])
        self._add_ssim(x, y, valid)
        self._add_edges(x, y, valid, wide)
        self._add_q2n(window)

    def merge(self, part: _Totals) -> None:
        self.pixels.merge(part.pixels)
        self.ssim += part.ssim
        self.ssim_count += part.ssim_count
        self.q2n += part.q2n
        self.blocks += part.blocks
        self.edges += part.edges
        self.edges_differ |= part.edges_differ

    def summarise(self, ratio: float, pixels: int) -> ReferenceScores:
        bands = self.pixels.bands()
        if not self.blocks:
            raise InputError(f"nothing to compare: no block of {self.block} x {self.block} pixels is half valid")
        xx, yy, xy = self.edges.tolist()
        flat = 0.0 if self.edges_differ else 1.0
        metrics = {
            "Q2n": self.q2n / self.blocks,
            "SAM": self.pixels.sam(),
            "ERGAS": self.pixels.ergas(ratio),
            "PSNR": self.pixels.psnr(self.peak),
            "PSNR_global": self.pixels.psnr_global(self.peak),
            "SSIM": self.ssim / self.ssim_count if self.ssim_count else float("nan"),
            "SCC": float(xy / (xx * yy) ** 0.5) if xx * yy > 0 else flat,
        }
        return ReferenceScores(metrics, bands, self.peak, self.pixels.count / pixels, self.blocks)

    def _valid(self, window: Window) -> Tensor:
        return self.reference.valid(window) & self.fused.valid(window)

    def _add_ssim(self, x: Tensor, y: Tensor, valid: Tensor) -> None:
        size = 2 * REACH + 1
        if min(valid.shape) < size:
            return
        usable = box_sum((~valid).to(torch.float32), size) == 0
        field = ssim_field(x, y, self.peak).mean(dim=0)
        self.ssim += float(torch.where(usable, field, 0.0).sum())
        self.ssim_count += int(usable.sum())

    def _add_edges(self, x: Tensor, y: Tensor, valid: Tensor, wide: Window) -> None:
        """SCC: the ring of one pixel around the scene counts as 0, and its pixels are not compared."""
        _, height, width = self.reference.shape
        rows, cols = torch.arange(wide.row, wide.row_stop), torch.arange(wide.col, wide.col_stop)
        within = ((rows > 0) & (rows < height - 1))[:, None] & ((cols > 0) & (cols < width - 1))
        within = within.to(valid.device)
        part = (slice(REACH - 1, 1 - REACH), slice(REACH - 1, 1 - REACH))
        usable = (box_sum((within & ~valid)[part].to(torch.float32), 3) == 0) & within[REACH:-REACH, REACH:-REACH]
        first, second = (edge_magnitude(torch.where(within[part], image[:, *part], 0.0)) for image in (x, y))
        first, second = first[:, usable], second[:, usable]
        sums = ((first * first).sum(), (second * second).sum(), (first * second).sum())
        self.edges += torch.stack(sums).cpu()
        self.edges_differ |= not torch.equal(first, second)

    def _add_q2n(self, window: Window) -> None:
        """Blocks at the right and bottom border are filled up with mirrored pixels, as the toolbox does."""
        _, height, width = self.reference.shape
        rows = mirror(torch.arange(window.row, window.row + -(-window.height // self.block) * self.block), height)
        cols = mirror(torch.arange(window.col, window.col + -(-window.width // self.block) * self.block), width)
        blocks = Blocks.of(fetch(self._valid, rows, cols), self.block)
        if blocks.count:
            x, y = (fetch(source.read, rows, cols) for source in (self.reference, self.fused))
            self.q2n += float(blocks.q2n(x, y).sum())
            self.blocks += blocks.count
