"""What makes a pair doubtful before its pixels are looked at; free of torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from clippan_cli.rasters.grids import same_crs
from clippan_cli.rasters.pair import Pair
from clippan_cli.rasters.source import RasterSource
from clippan_cli.running.warnings import GENERIC_SENSOR, RATIOS_DIFFER, RunWarning
from clippan_models.sensors.guess import GENERIC

_RATIOS_DIFFER = 0.01  # the two ratios of real products differ by less than .001, unless a geotransform was rounded


def sensor_doubts(sensor: str, chosen: bool, reason: str) -> Iterator[RunWarning]:
    """Whether the sensor is known; one that the user has chosen is."""
    if sensor == GENERIC and not chosen:
        yield GENERIC_SENSOR.says(f"the sensor is not known ({reason})")


def grid_doubts(pair: Pair) -> Iterator[RunWarning]:
    """Whether the grids can be those of one product; grids of different CRS need not be alike along both axes."""
    down, right = pair.sampling.ratio_y, pair.sampling.ratio_x
    if abs(math.log(down / right)) > _RATIOS_DIFFER and same_crs(pair.ms.grid.crs, pair.pan.grid.crs):
        yield RATIOS_DIFFER.says(
            f"the pixels of {names_of(pair.ms)} are {down:.4g} times as high as those of "
            f"{names_of(pair.pan)}, but {right:.4g} times as wide"
        )


def names_of(source: RasterSource) -> str:
    """The names of the files without their folders: warnings are kept in the tags of outputs, which go to others."""
    return ", ".join(Path(name).name for name in source.names)
