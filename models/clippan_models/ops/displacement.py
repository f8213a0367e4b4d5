"""By how many MS pixels MS lies off PAN: a coarse search, for what the finer estimate is to begin with.

For each displacement by whole MS pixels, PAN at the scale of MS is regressed on the bands, both less their local means,
so that one band that follows PAN suffices. As MS stays where it is and PAN moves, all displacements take a few FFTs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clippan_models.contracts import Observation, Tile
from clippan_models.ops.regression import highpass
from clippan_models.ops.views import fit_halo, project_to_ms

REACH = 17
"""MS pixels that displacements are looked for, along each axis; one that is believed has neighbours that fit less."""

CLEAR = 0.4
"""Share of PAN's detail that the bands must explain at a displacement for it to be believed.

In real pairs of 7 sensors it is .77 to .98, and .55 and more in parts of 48 x 48 MS pixels; with PAN of another place
.09 at most, .29 in parts of 40 x 40 and more MS pixels.
"""

_STANDS_OUT = 1.5  # times what any displacement further away than the peak is wide explains; repeated structures do not
_PEAK = 3  # MS pixels from the best displacement to the end of its peak
_FEWEST = 1024  # MS pixels that must be compared, as fewer agree by chance
_LEAST_OVERLAP = 0.5  # of the pixels, likewise
_MOST_BANDS = 32  # that are looked at, spread over all; any that follows PAN suffices
_BRIGHT = 8.0  # times the median detail: what is beyond, a ship or a dead pixel, counts no more than this


@dataclass(frozen=True)
class Displacement:
    """How far MS lies from where its georeferencing puts it.

    Attributes:
        rows: MS pixels further down.
        cols: MS pixels further to the right.
        before: share of PAN's detail that the bands explain where the georeferencing puts them, 0 .. 1.
        after: the same at this displacement.
        reach: MS pixels of the largest that could be believed; fewer in a small scene.
        clear: the best displacement is beyond doubt.
    """

    rows: float = 0.0
    cols: float = 0.0
    before: float = 0.0
    after: float = 0.0
    reach: int = 0
    clear: bool = False

    @property
    def whole(self) -> tuple[int, int]:
        """Whole MS pixels down and to the right."""
        return round(self.rows), round(self.cols)

    def exceeds(self, pixels: float) -> bool:
        """Whether it is beyond doubt and larger than so many MS pixels along an axis."""
        return self.clear and max(abs(self.rows), abs(self.cols)) > pixels


class DisplacementSearch:
    """Looks for the displacement of a scene, tile by tile."""

    def __init__(self, nominal: Observation) -> None:
        """Take what georeferencing and sensor say."""
        self._nominal = nominal
        last, bands, lags = nominal.sampling.bands - 1, min(nominal.sampling.bands, _MOST_BANDS), 2 * REACH + 1
        self._bands = [round(band) for band in np.linspace(0, last, bands)]
        self._shared = torch.zeros(bands, lags, lags, dtype=torch.float64)
        self._power = torch.zeros(lags, lags, dtype=torch.float64)
        self._count = torch.zeros(lags, lags, dtype=torch.float64)
        self._gram = torch.zeros(bands, bands, dtype=torch.float64)

    @property
    def halo(self) -> int:
        """PAN pixels around a tile that all displacements need."""
        sampling = self._nominal.sampling
        return fit_halo(self._nominal) + math.ceil(REACH * max(sampling.ratio_y, sampling.ratio_x))

    def add(self, tile: Tile) -> None:
        """Take a tile into account."""
        gain = (float(np.mean(self._nominal.ms_gain)),)
        place = self._nominal.sampling.select([0])
        low, share = project_to_ms(tile.pan, tile.pan_valid, tile.pan_window, tile.ms_window, place, gain)
        seen, valid = share[0] > 0.95, tile.ms_valid[self._bands].all(0)
        counted = valid & self._core(tile)
        pan = _detail(low[0], seen)
        bands = torch.stack([_detail(band, valid) for band in tile.ms[self._bands]]) * counted
        ones = counted.double()[None]
        self._shared += _lagged(bands, pan[None])
        self._power += _lagged(ones, pan[None] ** 2)[0]
        self._count += _lagged(ones, seen.double()[None])[0]
        self._gram += torch.einsum("ihw,jhw->ij", bands, bands)

    def found(self) -> Displacement:
        """The displacement at which the bands explain most of PAN's detail."""
        most = float(self._count.max())
        looked = self._count.round() >= max(_FEWEST, _LEAST_OVERLAP * most)
        if not looked.any():
            return Displacement()
        explained = self._explained() * looked
        row, col = divmod(int(explained.argmax()), explained.shape[1])
        around = looked[max(0, row - 1) : row + 2, max(0, col - 1) : col + 2]
        within = bool(around.sum() == 9)
        after = float(explained[row, col])
        elsewhere = explained.clone()
        elsewhere[max(0, row - _PEAK) : row + _PEAK + 1, max(0, col - _PEAK) : col + _PEAK + 1] = 0
        return Displacement(
            rows=row - REACH + (_vertex(explained[row - 1 : row + 2, col]) if within else 0.0),
            cols=col - REACH + (_vertex(explained[row, col - 1 : col + 2]) if within else 0.0),
            before=float(explained[REACH, REACH]),
            after=after,
            reach=min(int(looked[:, REACH].sum()), int(looked[REACH].sum())) // 2 - 1,
            clear=within and after >= max(CLEAR, _STANDS_OUT * float(elsewhere.max())),
        )

    def _explained(self) -> Tensor:
        """Share of PAN's detail that the bands explain at each displacement."""
        power = self._gram.diagonal()
        gram = self._gram + torch.diag(torch.where(power > 0, 1e-6 * power, 1.0))
        shared = self._shared.flatten(1)
        covered = (shared * torch.linalg.solve(gram, shared)).sum(0).reshape(self._power.shape)
        # the bands were summed over all pixels, of which PAN covers fewer at some displacements
        covered = covered * self._count.max() / self._count.clamp(min=1)
        least = max(1e-9 * float(self._power.max()), 1e-30)
        found: Tensor = (covered / self._power.clamp(min=least)).clamp(0, 1)
        return found

    def _core(self, tile: Tile) -> Tensor:
        """The MS samples within the core of a tile, `[h, w]` bool."""
        s, core, window = self._nominal.sampling, tile.core, tile.ms_window
        down = s.phase_y[0] + s.ratio_y * torch.arange(window.row, window.row_stop)
        right = s.phase_x[0] + s.ratio_x * torch.arange(window.col, window.col_stop)
        rows = (down >= core.row) & (down < core.row_stop)
        return rows[:, None] & (right >= core.col) & (right < core.col_stop)


def _detail(image: Tensor, valid: Tensor) -> Tensor:
    """What is finer than the neighbourhood, less of what is much brighter or darker than usual."""
    detail = highpass(image.double(), valid)
    limit = _BRIGHT * float(detail[valid].abs().median()) if valid.any() else 0.0
    return detail.clamp(-limit, limit) if limit > 0 else detail


def _lagged(images: Tensor, others: Tensor) -> Tensor:
    """Sums over pixels of `images` times `others` moved by up to `REACH`: `[k, h, w] -> [k, lags, lags]`."""
    spectrum = torch.fft.rfft2(images).conj() * torch.fft.rfft2(others)
    sums = torch.fft.irfft2(spectrum, s=images.shape[-2:])
    lags = torch.arange(-REACH, REACH + 1)
    found: Tensor = sums[:, (lags % sums.shape[1])[:, None], lags % sums.shape[2]]
    return found


def _vertex(three: Tensor) -> float:
    """Where the parabola through three values has its peak, from the middle one; -.5 .. .5."""
    before, here, after = (float(value) for value in three)
    bend = before - 2 * here + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0
