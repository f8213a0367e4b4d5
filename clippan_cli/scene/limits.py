"""Which values of a scene are learned from, decided once from windows all over it.

One wild pixel moves a mean by more than all others together, so nothing is learned from samples far outside of the
range of their band. Ranges are wide: 8 times the distance between the lowest and the highest hundredth, beyond both.
Measured on whole scenes, roofs, glint and snow lie up to 6.1 such distances beyond (PAN over forest), mostly 3 and
less. Nor is anything learned from saturated samples, which say only "at least this much".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clippan_cli.rasters.limits import ImageLimits, Limits
from clippan_cli.rasters.pair import Pair
from clippan_cli.rasters.source import Mask, RasterSource, Values
from clippan_cli.rasters.tiles import TileArrays
from clippan_cli.running.warnings import OUTLIERS, RunWarning
from clippan_models.contracts import Window

_TAIL, _FEWEST, _LARGEST_TAIL = 0.01, 32, 0.05  # share, and number, of the samples at an end that do not tell the range
_REACH = 8  # times the range, how far values may lie beyond it
_PLATEAU = 2e-4  # share of samples at the very highest above which it is a saturation level, not a bright pixel
_MOST = 0.5  # share above which it is what the image shows
_PILE = 4  # times as many at the highest as at the levels below: else the image has few levels
_LEVELS = 32  # below, that are looked at
_MOST_BANDS = 128  # of more, saturation shows in every second sample as well, in every third, and so on


def find_limits(tiles: Sequence[TileArrays]) -> Limits:
    """The limits of a scene, from windows of it that were read with all their values."""
    return Limits(
        _limits_of([(t.ms, t.ms_valid) for t in tiles]),
        _limits_of([(t.pan, t.pan_valid) for t in tiles]),
    )


def _limits_of(pieces: Sequence[tuple[Values, Mask]]) -> ImageLimits:
    ranges, inside, bands = [], [], len(pieces[0][0])
    for b in range(bands):  # one by one, as all bands of many take much memory
        band = np.concatenate([values[b][valid[b]] for values, valid in pieces])
        low, high = _range_of(band)
        ranges.append((low, high))
        inside.append(band[(band >= low) & (band <= high)][:: 1 + bands // _MOST_BANDS])
    lowest, highest = zip(*ranges, strict=True)
    return ImageLimits(lowest, highest, saturation_of(np.concatenate(inside)))


def _range_of(values: Values) -> tuple[float, float]:
    """The range of plausible values; infinite where nearly all are alike."""
    if values.size:
        tail = min(max(_TAIL, _FEWEST / values.size), _LARGEST_TAIL)
        low, high = (float(end) for end in np.quantile(values, [tail, 1 - tail]))
        if high > low:
            return low - _REACH * (high - low), high + _REACH * (high - low)
    return -math.inf, math.inf


def saturation_of(values: Values) -> float:
    """The highest value, where samples pile up at it; infinite where they do not."""
    if not values.size:
        return math.inf
    top = values.max()
    at_top, below = int((values == top).sum()), values[values < top]
    if not below.size or not _PLATEAU < at_top / values.size < _MOST:
        return math.inf
    _, counts = np.unique(below[below >= np.quantile(below, 0.99, method="lower")], return_counts=True)
    return float(top) if at_top >= _PILE * counts[-_LEVELS:].mean() else math.inf


@dataclass
class _Seen:
    """Outliers of an image that were seen: their place in the image, of which each counts once, and their value."""

    places: list[NDArray[np.int64]] = field(default_factory=list)
    values: list[Values] = field(default_factory=list)

    def add(self, outliers: Mask, values: Values, window: Window, shape: tuple[int, int]) -> None:
        if outliers.any():
            band, row, col = np.nonzero(outliers)
            self.places.append(np.ravel_multi_index((band, row + window.row, col + window.col), (len(values), *shape)))
            self.values.append(values[outliers])


class Outliers:
    """The outliers of a pair, as its windows come by."""

    def __init__(self, pair: Pair) -> None:
        """Begin with none."""
        self._pair = pair
        self._seen = _Seen(), _Seen()

    @property
    def images(self) -> tuple[bool, bool]:
        """Whether MS and PAN have any."""
        return bool(self._seen[0].places), bool(self._seen[1].places)

    def add(self, tile: TileArrays) -> None:
        """Look at one more window, read within the limits."""
        if tile.left_out is not None:
            pair, (ms, pan) = self._pair, self._seen
            ms.add(tile.left_out[0], tile.ms, tile.ms_window, (pair.ms.height, pair.ms.width))
            pan.add(tile.left_out[1], tile.pan, tile.pan_window, (pair.pan.height, pair.pan.width))

    def doubts(self, limits: Limits, known: tuple[bool, bool] = (False, False)) -> Iterator[RunWarning]:
        """What to tell of them, but for images whose outliers are known."""
        images = ((self._pair.ms, limits.ms), (self._pair.pan, limits.pan))
        for (source, bounds), seen, told in zip(images, self._seen, known, strict=True):
            if seen.places and not told:
                yield OUTLIERS.says(_described(source, bounds, seen))


def _described(source: RasterSource, limits: ImageLimits, seen: _Seen) -> str:
    places, first = np.unique(np.concatenate(seen.places), return_index=True)
    values = np.concatenate(seen.values)[first]
    band, row, col = np.unravel_index(places, (source.count, source.height, source.width))
    numbers = [str(b + 1) for b in np.unique(band)]
    lowest, highest = np.array(limits.lowest)[band], np.array(limits.highest)[band]
    worst = int(np.argmax(np.maximum(values - highest, lowest - values)))
    high = values[worst] > highest[worst]
    bound = f"at most {highest[worst]:.4g}" if high else f"at least {lowest[worst]:.4g}"
    return (
        f"{len(places)} value{'s' * (len(places) > 1)} of {', '.join(Path(name).name for name in source.names)}, "
        f"band{'s' * (len(numbers) > 1)} {', '.join(numbers)}, lie{'s' * (len(places) == 1)} far outside the range of "
        f"the rest: {values[worst]:g} at column {col[worst]}, row {row[worst]} of band {band[worst] + 1}, where "
        f"{bound} is plausible"
    )
