"""What makes a pair doubtful: facts of its files, its values and its estimate, told as warnings.

The threshold of `pair-mismatch` is that below which nothing is estimated from a pair, `MIN_PAN_R2` = .8. Measured, the
bands of real pairs explain .94 (urban, PAN beyond the bands) to 1.00 of PAN's low-pass, of seven sensors and ratios 2
and 4; those of another place .00 to .08; and those of the same place .00 to .51 where MS lies 1.5 to 8 MS pixels off,
as no larger shift than one is looked for. The local squared correlation of the best band is .83 and more in real pairs,
.68 in noise-like scenes, and .08 at most in pairs that do not match.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from clippan_cli.rasters.limits import Limits
from clippan_cli.rasters.pair import Pair, same_crs
from clippan_cli.rasters.source import Mask, RasterSource, Values
from clippan_cli.rasters.tiles import TileArrays
from clippan_cli.running.warnings import (
    BLUR_AT_LIMIT,
    GENERIC_SENSOR,
    PAIR_MISMATCH,
    RATIOS_DIFFER,
    SATURATED,
    SHIFT_AT_LIMIT,
    SMALL_VALUES,
    UNDECLARED_FILL,
    RunWarning,
)
from clippan_models.contracts import MIN_PAN_R2, Observation, Window
from clippan_models.observation import MAX_SHIFT_MS, MIN_LOCAL_R2, Registration
from clippan_models.ops.regression import SAMPLES_PER_WEIGHT
from clippan_models.sensors.guess import GENERIC

LEAST_LARGE = 16.0
"""Where no value reaches this, indices that round to whole numbers tell nothing."""

_RATIOS_DIFFER = 0.01  # the two ratios of real products differ by less than .001, unless a geotransform was rounded
_MANY_AT_TOP = 1e-3  # share of the values at the very highest; .0005 at most in the real pairs looked at
_FILL_BLOCK = 8  # MS pixels a side: shadow and water are rarely the very same value over so many, in all bands
_BORDER_SIDE = 64  # MS pixels a side of the windows at the border, where fill lies in most products


def sensor_doubts(sensor: str, chosen: bool, reason: str) -> Iterator[RunWarning]:
    """Whether the sensor is known; one that the user has chosen is."""
    if sensor == GENERIC and not chosen:
        yield GENERIC_SENSOR.says(
            f"the MTF of the sensor is not known, as {reason}; D_lambda_K, HQNR, RQNR and the R indices depend on it"
        )


def grid_doubts(pair: Pair) -> Iterator[RunWarning]:
    """Whether the grids can be those of one product; grids of different CRS need not be alike along both axes."""
    down, right = pair.sampling.ratio_y, pair.sampling.ratio_x
    if abs(math.log(down / right)) > _RATIOS_DIFFER and same_crs(pair.ms.grid.crs, pair.pan.grid.crs):
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
        yield from _fill_doubts(source, pieces, float(values.min()), block)
        saturated = float((values >= bounds.saturation).mean())
        if saturated > _MANY_AT_TOP:
            yield SATURATED.says(
                f"{saturated:.1%} of the values looked at of {_file(source)} are the highest, {bounds.saturation:g}"
            )
        highest = float(values[values <= max(bounds.highest)].max())
        if source.dtype.startswith("float") and highest < LEAST_LARGE:
            yield SMALL_VALUES.says(f"no value of {_file(source)} reaches {LEAST_LARGE:g} (highest {highest:.3g})")


def _fill_doubts(
    source: RasterSource, pieces: Sequence[tuple[Values, Mask]], lowest: float, block: int
) -> Iterator[RunWarning]:
    from scipy.ndimage import binary_erosion  # takes a while to import

    alike = [(valid & (values == lowest)).all(0) for values, valid in pieces]
    share = sum(int(a.sum()) for a in alike) / sum(int(valid.all(0).sum()) for _, valid in pieces)
    if share < 1 and any(binary_erosion(a, np.ones((block, block))).any() for a in alike if a.any()):
        yield UNDECLARED_FILL.says(
            f"{share:.1%} of the pixels looked at of {_file(source)} are {lowest:g}, the lowest value, in whole blocks"
            f"{' and all bands' * (source.count > 1)}, and {_declared(source)}"
        )


def _declared(source: RasterSource) -> str:
    values = sorted({f"{value:g}" for value in source.nodata if value is not None})
    return f"its nodata value is {', '.join(values)}" if values else "it declares no nodata value"


def estimate_doubts(
    scene_pixels: float, observation: Observation, found: Registration, sought: bool
) -> Iterator[RunWarning]:
    """Whether the two images belong together, and whether what was estimated can be believed.

    Args:
        scene_pixels: MS pixels of the scene.
        observation: the model that was estimated.
        found: the shifts and how they were found.
        sought: shifts were looked for.
    """
    sampling = observation.sampling
    limit = MAX_SHIFT_MS * sampling.ratio
    if scene_pixels < SAMPLES_PER_WEIGHT * (sampling.bands + 1):
        return
    within = f", at the best shift of up to {limit:.3g} PAN pixels" if sought else ""
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
    if any(found.shift_at_limit):
        yield SHIFT_AT_LIMIT.says(
            f"the shift of {_bands(found.shift_at_limit)} against PAN ran into its limit of {limit:.3g} PAN pixels, "
            "one MS pixel"
        )
    if any(found.gain_at_limit):
        gains = sorted({f"{g:.3f}" for g, at in zip(observation.ms_gain, found.gain_at_limit, strict=True) if at})
        yield BLUR_AT_LIMIT.says(
            f"the estimated MTF gain of {_bands(found.gain_at_limit)} ran into its limit of {' and '.join(gains)}"
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
