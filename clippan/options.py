"""The options of functions that no command has."""

from __future__ import annotations

from clippan_cli.options.compute import ComputeFlags
from clippan_cli.options.learning import MethodFlags, SaveWeightsFlag
from clippan_cli.options.scene import CoregisterFlag, SeedFlag, SensorFlag, StrictFlag
from clippan_cli.options.sharpen import LearningFlags


class ArrayFlags(
    MethodFlags,
    LearningFlags,
    SaveWeightsFlag,
    SeedFlag,
    SensorFlag,
    CoregisterFlag,
    StrictFlag,
    ComputeFlags,
    total=False,
):
    """The options of `sharpen_arrays`."""
