"""R-Q2n, R-SAM and R-ERGAS: whether the MTF-degraded fused image is MS (Scarpa & Ciotola 2022, arXiv 2108.06144).

The fused image is blurred by the sensor's MTF, sampled where the MS samples lie, and compared with MS. Where they lie
is the phase: which of the r x r PAN pixels of an MS pixel. It is estimated per band, as the one at which the blurred
PAN correlates best with the band, and a report must state it: a wrong phase costs more than most methods differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clippan_models.contracts import Window
from clippan_models.errors import InputError
from clippan_models.measuring.blocks import Blocks
from clippan_models.measuring.pixel_totals import BandErrors, PixelTotals
from clippan_models.measuring.planes import PlaneSource, SeenWindow
from clippan_models.metrics.d_rho import box_sum, correlation_field

Phase = tuple[int, int]
"""Row and column, within the r x r PAN pixels of an MS pixel, of its sample."""

_TELLING = 0.3  # mean local correlation below which a band says nothing about its position
_HALF = 2  # half width of the windows in which PAN and MS are correlated, MS pixels


@dataclass(frozen=True)
class ReprojectedScores:
    """How close a fused scene, MTF-degraded, is to MS.

    Attributes:
        metrics: the indices R_Q2n, R_SAM and R_ERGAS; see `metrics.catalogue`.
        bands: the errors of each band, DN.
        blocks: blocks of Q2n that counted.
    """

    metrics: dict[str, float]
    bands: tuple[BandErrors, ...]
    blocks: int


class ReprojectedTotals:
    """Sums over the MS pixels seen so far."""

    def __init__(self, block: int = 32) -> None:
        """Begin with nothing; Q2n in blocks of so many MS pixels."""
        self.block = block
        self.pixels = PixelTotals()
        self._q2n, self._blocks = 0.0, 0

    def add(self, ms: Tensor, degraded: Tensor, valid: Tensor) -> None:
        """Take a window of the MS grid into account, `[C, h, w]` and `[h, w]`, that starts on a whole block.

        Blocks at the border of the scene use the pixels there are, and count where these are half a block at least.
        """
        self.pixels.add(ms, degraded, valid)
        blocks = Blocks.of(valid, self.block)
        if blocks.count:
            self._q2n += float(blocks.q2n(ms, degraded).sum())
            self._blocks += blocks.count

    def summarise(self, ratio: float) -> ReprojectedScores:
        """The scores; Q2n is NaN where the scene has not half a block of MS pixels, ERGAS where a band has mean 0.

        Raises:
            InputError: no pixel was valid.
        """
        metrics = {
            "R_Q2n": self._q2n / self._blocks if self._blocks else float("nan"),
            "R_SAM": self.pixels.sam(),
            "R_ERGAS": self.pixels.ergas(ratio),
        }
        return ReprojectedScores(metrics, self.pixels.bands(), self._blocks)


class Reprojection:
    """Compares the windows of `no_reference.score` with MS, where the MS grid divides the PAN grid."""

    def __init__(self, ms: PlaneSource, ratio: int, phases: Sequence[Phase], block: int = 32) -> None:
        """Compare with MS at these phases, one per band."""
        self.ms, self.ratio, self.phases = ms, ratio, tuple(phases)
        self.totals = ReprojectedTotals(block)

    def add(self, seen: SeenWindow) -> None:
        """Look at one window, which must start on whole blocks of MS pixels.

        Raises:
            ValueError: it does not.
        """
        unit = self.ratio * self.totals.block
        if seen.window.row % unit or seen.window.col % unit:
            raise ValueError(f"windows must start at multiples of {unit} PAN pixels, not at {seen.window}")
        below = Window(
            seen.window.row // self.ratio,
            seen.window.col // self.ratio,
            seen.window.height // self.ratio,
            seen.window.width // self.ratio,
        )
        ms, valid = self.ms.read(below).double(), self.ms.valid(below)
        planes = []
        for band, (row, col) in enumerate(self.phases):
            planes.append(seen.fused_mtf[band, row :: self.ratio, col :: self.ratio])
            valid = valid & seen.valid[row :: self.ratio, col :: self.ratio]
        self.totals.add(ms, torch.stack(planes).to(ms), valid)

    def summarise(self) -> ReprojectedScores:
        """The scores of all windows seen."""
        return self.totals.summarise(self.ratio)


def estimate_phases(pieces: Iterable[tuple[Tensor, Tensor, Tensor]], ratio: int) -> tuple[tuple[Phase, float], ...]:
    """The phase of each band, and the largest mean local correlation with PAN.

    A band that hardly follows PAN, as near infrared over vegetation may, says nothing about its position; it takes that
    of the band that correlates best.

    Args:
        pieces: of the scene: MS `[C, h, w]`; PAN blurred by the MTF of MS, `[1, r h, r w]`; which MS pixels are valid
            in both, `[h, w]` bool.
        ratio: r.

    Raises:
        InputError: nothing is valid.
    """
    total: Tensor | float = 0.0
    count = 0
    for ms, pan, valid in pieces:
        if min(valid.shape) < 4 * _HALF:
            continue
        usable = box_sum((~valid).to(torch.float32), 4 * _HALF - 1) == 0
        inside = torch.ones_like(valid)
        shifted = [
            correlation_field(ms, pan[:, row::ratio, col::ratio], inside, _HALF)[:, usable].sum(dim=1)
            for row in range(ratio)
            for col in range(ratio)
        ]
        total = total + torch.stack(shifted).cpu()
        count += int(usable.sum())
    if not count:
        raise InputError("the phase of MS cannot be estimated: no pixel has a valid neighbourhood")
    best, where = (torch.as_tensor(total) / count).max(dim=0)
    surest = int(where[int(best.argmax())])
    found = []
    for position, correlation in zip(where.tolist(), best.tolist(), strict=True):
        chosen = int(position) if correlation >= _TELLING else surest
        found.append(((chosen // ratio, chosen % ratio), float(correlation)))
    return tuple(found)
