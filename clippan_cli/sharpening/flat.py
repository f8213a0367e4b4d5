"""Bands of a result that are constant although those of MS are not, as a network with damaged weights makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clippan_cli.rasters.source import Mask, Values
from clippan_cli.rasters.tiles import TileArrays
from clippan_models.contracts import Sampling

_NOTICEABLE = 2.5  # whole numbers; smaller differences can be lost when a result is rounded
_NOTICEABLE_SHARE = 1e-3  # the same of floating-point values, of the largest one
_FEW = 0.01  # of the MS samples; a single one can be moved out of the scene with its band


@dataclass
class _Band:
    """What was seen of a band so far: the one value of the result, and how many MS samples differ from the first."""

    value: float | None = None
    first: float | None = None
    samples: int = 0
    differing: int = 0


class FlatBands:
    """Watches the tiles of a result, each band until it varies."""

    def __init__(self, bands: Sequence[int], sampling: Sampling) -> None:
        """Watch these bands of MS, in the order of the result."""
        self._sampling = sampling
        self._watched = {place: (band, _Band()) for place, band in enumerate(bands)}

    def add(self, arrays: TileArrays, pixels: NDArray[Any], valid: Mask) -> None:
        """See a tile: what was read, and the pixels of its core that are written, `[C, h, w]`."""
        for place, (band, seen) in list(self._watched.items()):
            shown = pixels[place][valid[place]]
            if shown.size == 0:
                continue
            seen.value = float(shown[0]) if seen.value is None else seen.value
            if (shown != seen.value).any():
                del self._watched[place]
                continue
            samples = _ms_under(arrays, band, valid[place], self._sampling)
            if samples.size:
                seen.first = float(samples[0]) if seen.first is None else seen.first
                whole = np.issubdtype(pixels.dtype, np.integer)
                least = _NOTICEABLE if whole else _NOTICEABLE_SHARE * float(np.abs(samples).max())
                seen.samples += samples.size
                seen.differing += int((np.abs(samples - seen.first) > least).sum())

    def found(self) -> list[int]:
        """The bands that were constant in all tiles although MS is not, by their number in MS, from 1."""
        return [band + 1 for band, seen in self._watched.values() if seen.differing > _FEW * seen.samples]


def _ms_under(arrays: TileArrays, band: int, valid: Mask, sampling: Sampling) -> Values:
    """The MS samples of a band whose centre lies on a valid pixel of the core, in one dimension."""
    window, core = arrays.ms_window, arrays.core
    rows = _places(window.row, window.row_stop, sampling.phase_y[band], sampling.ratio_y) - core.row
    cols = _places(window.col, window.col_stop, sampling.phase_x[band], sampling.ratio_x) - core.col
    inside = (rows >= 0) & (rows < core.height), (cols >= 0) & (cols < core.width)
    shown = valid[np.ix_(rows[inside[0]], cols[inside[1]])]
    return np.asarray(arrays.ms[band][np.ix_(*inside)][shown])


def _places(start: int, stop: int, phase: float, ratio: float) -> NDArray[np.int64]:
    """The PAN pixels, along one axis, in which MS samples have their centre."""
    return np.asarray(np.rint(phase + ratio * np.arange(start, stop)), np.int64)
