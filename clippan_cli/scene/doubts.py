"""What makes a pair doubtful: facts of its files, its values and its estimate, told as warnings.

The threshold of `pair-mismatch` is that below which nothing is estimated from a pair, `MIN_PAN_R2` = .8. Measured, the
bands of real pairs explain .94 (urban, PAN beyond the bands) to 1.00 of PAN's low-pass, of seven sensors and ratios 2
and 4, also where MS lies up to 16 MS pixels off; those of another place .00 to .08; and those of the same place .00 to
.29 where MS lies further off than is looked for. The local squared correlation of the best band is .83 and more in real
pairs, .68 in noise-like scenes, and .08 at most in pairs that do not match.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clippan_cli.rasters.grids import same_crs
from clippan_cli.rasters.limits import Limits
from clippan_cli.rasters.nodata import text_of
from clippan_cli.rasters.pair import Pair
from clippan_cli.rasters.source import Mask, RasterSource, Values
from clippan_cli.rasters.tiles import TileArrays
from clippan_cli.running.warnings import (
    BLUR_AT_LIMIT,
    GENERIC_SENSOR,
    LARGE_SHIFT,
    PAIR_MISMATCH,
    RATIOS_DIFFER,
    ROUNDED_CORNERS,
    SATURATED,
    SHIFT_AT_LIMIT,
    SHIFT_VARIES,
    SMALL_VALUES,
    UNDECLARED_FILL,
    RunWarning,
)
from clippan_models.contracts import MIN_PAN_R2, Observation, Sampling, Window
from clippan_models.sensors.guess import GENERIC

if TYPE_CHECKING:  # what is doubtful about files is told before torch is there
    from clippan_models.observation import Registration
    from clippan_models.ops.displacement import Displacement

LEAST_LARGE = 16.0
"""Where no value reaches this, indices that round to whole numbers tell nothing."""

_RATIOS_DIFFER = 0.01  # the two ratios of real products differ by less than .001, unless a geotransform was rounded
_MANY_AT_TOP = 1e-3  # share of the values at the very highest; .0005 at most in the real pairs looked at
_FILL_BLOCK = 8  # MS pixels a side: shadow and water are rarely the very same value over so many, in all bands
_LIKE_OTHERS = 0.75  # of the usual distance from the highest value; .41 at most in real scenes cut at their 85 or 95 %
_MANY_FAR = 1e-3  # share of the samples; fewer are wild pixels
_DRIFT = 0.5  # PAN pixels; .27 at most in real pairs that fit, 1.1 and 2.0 in two that are scaled or cut
_BORDER_SIDE = 64  # MS pixels a side of the windows at the border, where fill lies in most products


def sensor_doubts(sensor: str, chosen: bool, reason: str) -> Iterator[RunWarning]:
    """Whether the sensor is known; one that the user has chosen is."""
    if sensor == GENERIC and not chosen:
        yield GENERIC_SENSOR.says(f"the sensor is not known ({reason})")


def grid_doubts(pair: Pair) -> Iterator[RunWarning]:
    """Whether the grids are known, and can be those of one product; in different CRS, the axes need not be alike."""
    down, right = pair.sampling.ratio_y, pair.sampling.ratio_x
    if pair.rounding is not None:
        yield ROUNDED_CORNERS.says(
            f"{replace(pair.rounding, name=Path(pair.rounding.name).name)}, and MS and PAN are related by them alone"
        )
    elif abs(math.log(down / right)) > _RATIOS_DIFFER and same_crs(pair.ms.grid.crs, pair.pan.grid.crs):
        yield RATIOS_DIFFER.says(
            f"the pixels of {_file(pair.ms)} are {down:.4g} times as high as those of {_file(pair.pan)}, but "
            f"{right:.4g} times as wide"
        )


def border_windows(window: Window, ratio: float) -> Iterator[Window]:
    """Windows in the corners of a scene and in the middle of its sides."""
    height, width = (min(round(_BORDER_SIDE * ratio), length) for length in (window.height, window.width))
    for down in (0.0, 0.5, 1.0):
        for right in (0.0, 0.5, 1.0):
            if (down, right) != (0.5, 0.5):
                row = window.row + round(down * (window.height - height))
                yield Window(row, window.col + round(right * (window.width - width)), height, width)


def value_doubts(pair: Pair, tiles: Sequence[TileArrays], limits: Limits) -> Iterator[RunWarning]:
    """What is strange about the values of a pair.

    Args:
        pair: the pair.
        tiles: of the scene, some of them from its border, where fill lies in most products.
        limits: of the values that are learned from.
    """
    images = (
        (pair.ms, [(t.ms, t.ms_valid) for t in tiles], limits.ms, _FILL_BLOCK),
        (pair.pan, [(t.pan, t.pan_valid) for t in tiles], limits.pan, round(_FILL_BLOCK * pair.sampling.ratio)),
    )
    for source, pieces, bounds, block in images:
        values = np.concatenate([piece[valid] for piece, valid in pieces])
        if not values.size:
            continue
        fill = dict(_fill_doubts(source, pieces, values, block))
        yield from fill.values()
        saturated = float((values >= bounds.saturation).mean())
        if saturated > _MANY_AT_TOP and bounds.saturation not in fill:
            yield SATURATED.says(
                f"{saturated:.1%} of the values looked at of {_file(source)} are the highest, {bounds.saturation:g}"
            )
        highest = float(values[values <= max(bounds.highest)].max())
        if source.dtype.startswith("float") and highest < LEAST_LARGE:
            yield SMALL_VALUES.says(f"no value of {_file(source)} reaches {LEAST_LARGE:g} (highest {highest:.3g})")


def _fill_doubts(
    source: RasterSource, pieces: Sequence[tuple[Values, Mask]], values: Values, block: int
) -> Iterator[tuple[float, RunWarning]]:
    """The lowest and the highest value, if they seem to stand for no data though neither file nor user says so."""
    lowest, highest = float(values.min()), float(values.max())
    if lowest == highest or source.rule.said == "none":
        return
    for value, end, beyond in ((lowest, "lowest", "below"), (highest, "highest", "above")):
        alike = [(valid & (piece == value)).all(0) for piece, valid in pieces]
        if _far_from_others(values, value):
            share, where = float((values == value).mean()), f"far {beyond} all others"
        elif _is_area(pieces, alike, value, block, of_saturation=value == highest):
            share = sum(int(a.sum()) for a in alike) / sum(int(valid.all(0).sum()) for _, valid in pieces)
            where = f"the {end} value, in whole blocks{' and all bands' * (source.count > 1)}"
        else:
            continue
        yield (
            value,
            UNDECLARED_FILL.says(
                f"{share:.1%} of the pixels looked at of {_file(source)} are {text_of(value)}, {where}, and "
                f"{_declared(source)}"
            ),
        )


def _far_from_others(values: Values, value: float) -> bool:
    """Whether many samples have a value that is further from the others than these are from each other."""
    others = values[values != value]
    lowest, highest = float(others.min()), float(others.max())
    gap = max(lowest - value, value - highest)
    return gap > highest - lowest > 0 and others.size < (1 - _MANY_FAR) * values.size


def _is_area(
    pieces: Sequence[tuple[Values, Mask]], alike: Sequence[Mask], value: float, block: int, *, of_saturation: bool
) -> bool:
    """Whether pixels of a value fill whole blocks; where they may be saturated, with others beside that are not bright.

    What saturates has bright pixels around it; fill ends anywhere in the image.
    """
    areas = [_in_blocks(a, block) for a in alike]
    if not any(area.any() for area in areas):
        return False
    if not of_saturation:
        return True
    others = np.concatenate([piece[valid & (piece < value)] for piece, valid in pieces])
    ring = np.concatenate(
        [piece[_beside(area, valid)] for (piece, valid), area in zip(pieces, areas, strict=True)],
    )
    return ring.size > 0 and bool(value - np.median(ring) > _LIKE_OTHERS * (value - np.median(others)))


def _in_blocks(alike: Mask, block: int) -> Mask:
    """The connected areas that hold a whole block."""
    if np.count_nonzero(alike) < block * block:
        return np.zeros_like(alike)
    from scipy.ndimage import binary_erosion, binary_propagation  # takes a while to import

    return np.asarray(binary_propagation(binary_erosion(alike, np.ones((block, block))), mask=alike))


def _beside(area: Mask, valid: Mask) -> Mask:
    """The valid samples next to an area, `[C, h, w]`."""
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(area) & ~area & valid.all(0) & valid)


def _declared(source: RasterSource) -> str:
    values = sorted({text_of(value) for value in source.nodata if value is not None})
    return f"its nodata value is {', '.join(values)}" if values else "it declares no nodata value"


def estimate_doubts(
    scene_pixels: float, observation: Observation, found: Registration, sought: Displacement | None, drift: float
) -> Iterator[RunWarning]:
    """Whether the two images belong together, and whether what was estimated can be believed.

    Args:
        scene_pixels: MS pixels of the scene.
        observation: the model that was estimated.
        found: the shifts and how they were found.
        sought: what the coarse search for a shift found; None: shifts were not looked for.
        drift: how much the shift varies over the scene, PAN pixels.
    """
    from clippan_models.observation import MIN_LOCAL_R2
    from clippan_models.ops.regression import SAMPLES_PER_WEIGHT

    sampling = observation.sampling
    if scene_pixels < SAMPLES_PER_WEIGHT * (sampling.bands + 1):
        return
    within = f", at the best shift of up to {max(sought.reach, 1)} MS pixels" if sought else ""
    if observation.pan_r2 < MIN_PAN_R2:
        yield PAIR_MISMATCH.says(
            f"MS and PAN do not match: the bands explain {observation.pan_r2:.0%} of PAN's low-pass{within}; in "
            "matching pairs it is 90 % and more"
        )
    elif sought and max(found.correlation) < MIN_LOCAL_R2:
        yield PAIR_MISMATCH.says(
            f"MS and PAN do not match: no band has detail in common with PAN{within} (local squared correlation "
            f"{max(found.correlation):.2f}; in matching pairs it is .6 and more)"
        )
    yield from _shift_doubts(sampling, found, sought if observation.pan_r2 >= MIN_PAN_R2 else None)
    if drift > _DRIFT:
        yield SHIFT_VARIES.says(
            f"the shift of MS against PAN varies by {drift:.2f} PAN pixels from corner to corner of the scene, as if "
            "one of them were rotated or scaled; clippan corrects the mean only"
        )
    if any(found.gain_at_limit):
        gains = sorted({f"{g:.3f}" for g, at in zip(observation.ms_gain, found.gain_at_limit, strict=True) if at})
        yield BLUR_AT_LIMIT.says(
            f"the estimated MTF gain of {_bands(found.gain_at_limit)} ran into its limit of {' and '.join(gains)}"
        )


def _shift_doubts(sampling: Sampling, found: Registration, sought: Displacement | None) -> Iterator[RunWarning]:
    """Whether MS lies far from where its georeferencing puts it, and whether a band may lie further off than found.

    Args:
        sampling: of the pair.
        found: the shifts.
        sought: what the coarse search found; None: no shift is known.
    """
    from clippan_models.observation import MAX_SHIFT_MS

    down, right = (max(shifts, key=abs) for shifts in (found.shift_y, found.shift_x))
    if sought and max(abs(down) / sampling.ratio_y, abs(right) / sampling.ratio_x) > MAX_SHIFT_MS:
        evidence = ""
        if sought.clear:
            evidence = f": the bands explain {sought.before:.0%} of PAN's detail before, {sought.after:.0%} after"
        yield LARGE_SHIFT.says(
            f"MS lies {abs(down):.1f} PAN pixels {'down' if down > 0 else 'up'} and {abs(right):.1f} "
            f"{'right' if right > 0 else 'left'} of where its georeferencing puts it, which is corrected{evidence}"
        )
    if any(found.shift_at_limit):
        yield SHIFT_AT_LIMIT.says(
            f"the shift of {_bands(found.shift_at_limit)} against PAN ran into its limit of "
            f"{MAX_SHIFT_MS * sampling.ratio:.3g} PAN pixels, one MS pixel, beyond any whole ones that all bands share"
        )


def _bands(which: Sequence[bool]) -> str:
    """The bands that are meant, in words."""
    if len(which) > 1 and all(which):
        return "all bands"
    numbers = [str(band) for band, meant in enumerate(which, start=1) if meant]
    return f"band{'s' * (len(numbers) > 1)} {', '.join(numbers)}"


def _file(source: RasterSource) -> str:
    """The names of the files without their folders: warnings are kept in the tags of outputs, which go to others."""
    return ", ".join(Path(name).name for name in source.names)
