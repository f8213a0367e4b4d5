"""What to make of a scene: the options of `sharpen`, and those of them that many scenes can share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypedDict

from clippan_cli.options.compute import ComputeFlags, compute_options
from clippan_cli.options.flags import OUTPUT, OptionalPath, filled
from clippan_cli.options.guidance import GuidanceFlags, guidance_options
from clippan_cli.options.learning import (
    MethodFlags,
    NetworkFlags,
    SaveWeightsFlag,
    adapt_options,
    pan_weights,
    resampling_kernel,
)
from clippan_cli.options.output import (
    EncodingFlags,
    PixelFlags,
    QualityFlag,
    QuicklookFlag,
    StacFlag,
    band_choices,
    encoding_options,
)
from clippan_cli.options.scene import ReadFlags, RegionFlags, SeedFlag, path_or_none
from clippan_cli.sharpening.options import SharpenOptions


class LearningFlags(GuidanceFlags, NetworkFlags, total=False):
    """Of every verb that learns."""


class _ReportFlag(TypedDict, total=False):
    report: Annotated[OptionalPath, OUTPUT.flag(None, "FILE.html", "Write a page on the quality of the result.")]


class _DryRunFlag(TypedDict, total=False):
    dry_run: Annotated[bool, OUTPUT.flag(False, None, "Print the plan and stop.")]


class SharpenFlags(
    PixelFlags,
    MethodFlags,
    LearningFlags,
    SaveWeightsFlag,
    SeedFlag,
    ReadFlags,
    RegionFlags,
    EncodingFlags,
    QuicklookFlag,
    StacFlag,
    _ReportFlag,
    QualityFlag,
    _DryRunFlag,
    ComputeFlags,
    total=False,
):
    """The options of `sharpen`."""


def sharpen_options(output: Path, given: Mapping[str, Any]) -> SharpenOptions:
    """What to make of a scene.

    Args:
        output: the raster to write.
        given: of the options of `sharpen` those that differ from the defaults, or more.

    Raises:
        UsageError: a value that is not possible.
        WeightsError: the weights to start from cannot be read.
    """
    options = filled(SharpenFlags, given)
    return SharpenOptions(
        output=output,
        method=options["method"],
        bands=band_choices(options["bands"]),
        encoding=encoding_options(given),
        compute=compute_options(given),
        adapt=adapt_options(given),
        guidance=guidance_options(given),
        weights=path_or_none(options["weights"]),
        resampling=resampling_kernel(given),
        weights_pan=pan_weights(given),
        save_weights=path_or_none(options["save_weights"]),
        quicklook=path_or_none(options["quicklook"]),
        assess=options["quality"],
        stac=output.with_suffix(".json") if options["stac"] else None,
    )
