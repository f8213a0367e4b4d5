"""How to assess, what to write, and which bounds to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, get_args

from clippan_cli.options.compute import DeviceFlags, compute_options
from clippan_cli.options.flags import OptionalPath, Panel, filled
from clippan_cli.options.scene import FileFlags, MsBandsFlag, NodataFlags, SensorFlag, StrictFlag, one_of, path_or_none
from clippan_cli.quality.options import AssessOptions, Convention
from clippan_cli.quality.result import Gate

if TYPE_CHECKING:
    from clippan_cli.report.files import ReportFiles

_COMPARISON, _REPORT, _GATES = map(Panel, ("Comparison", "Report", "Gates"))


class ReferenceFlag(TypedDict, total=False):
    """Where the truth is known."""

    reference: Annotated[
        str | Path | None, _COMPARISON.flag(AssessOptions.reference, "FILE", "The truth on the PAN grid.")
    ]


class _ComparisonFlags(TypedDict, total=False):
    qnr: Annotated[
        Convention,
        _COMPARISON.flag(
            AssessOptions.convention, "toolbox|paper", "Definition of D_lambda and D_s to use.", any_case=True
        ),
    ]
    baselines: Annotated[
        bool, _COMPARISON.flag(True, None, "Compare with EXP, which only interpolates MS, and with GSA.")
    ]
    wald: Annotated[
        str | Sequence[str] | None,
        _COMPARISON.flag(None, "METHOD,...", "Also assess these methods by Wald's protocol.", any_case=True),
    ]
    align: Annotated[
        bool,
        _COMPARISON.flag(
            False, None, "Move the image by less than a pixel to where the reference lies before comparing."
        ),
    ]
    peak: Annotated[
        float | None, _COMPARISON.flag(AssessOptions.peak, "DN", "Largest possible value, for PSNR and SSIM.")
    ]


class _ReportFlags(TypedDict, total=False):
    report: Annotated[OptionalPath, _REPORT.flag(None, "FILE.html", "Write an HTML page with images, maps and charts.")]
    maps: Annotated[OptionalPath, _REPORT.flag(None, "DIR", "Write the local maps as GeoTIFFs.")]
    points: Annotated[OptionalPath, _REPORT.flag(None, "FILE.geojson", "Show spectra at these points.")]
    csv: Annotated[OptionalPath, _REPORT.flag(None, "FILE", "Write the numbers as CSV.")]
    overwrite: Annotated[bool, _REPORT.flag(False, None, "Replace existing files.")]


class GateFlags(TypedDict, total=False):
    """For scripts; in Python, look at the numbers."""

    min_qnr: Annotated[float | None, _GATES.flag(None, "X", "Exit with code 8 if a QNR is below X.")]
    min: Annotated[
        list[str] | None, _GATES.flag(None, "METRIC=X", "Exit with code 8 if this index is below X; can be repeated.")
    ]
    max: Annotated[
        list[str] | None, _GATES.flag(None, "METRIC=X", "Exit with code 8 if this index is above X; can be repeated.")
    ]


class _SceneFlags(SensorFlag, MsBandsFlag, FileFlags, NodataFlags, StrictFlag, DeviceFlags, total=False):
    """Of the scene."""


class AssessFlags(_ComparisonFlags, _ReportFlags, _SceneFlags, total=False):
    """The options of `assess` in Python."""


class AssessCommandFlags(ReferenceFlag, _ComparisonFlags, _ReportFlags, GateFlags, _SceneFlags, total=False):
    """The options of the command `assess`."""


def assess_options(given: Mapping[str, Any], reference: str | Path | None) -> AssessOptions:
    """How to assess.

    Args:
        given: of the options of the command those that differ from the defaults.
        reference: the truth, where it is known.

    Raises:
        UsageError: a value that is not possible, or a bound that needs a reference.
    """
    options = filled(AssessCommandFlags, given)
    one_of("qnr", options["qnr"], get_args(Convention))
    wald = options["wald"] or ()
    return AssessOptions(
        compute=compute_options(given),
        convention=options["qnr"],
        reference=None if reference is None else str(reference),
        peak=options["peak"],
        align=options["align"],
        baselines=options["baselines"],
        wald=tuple(wald.replace(",", " ").split() if isinstance(wald, str) else wald),
        gates=gates(given),
    )


def gates(given: Mapping[str, Any]) -> tuple[Gate, ...]:
    """The bounds that every image must keep.

    Raises:
        UsageError: a bound that cannot be understood.
    """
    options = filled(GateFlags, given)
    found = [Gate.parse(text, at_least=True) for text in options["min"] or []]
    found += [Gate.parse(text, at_least=False) for text in options["max"] or []]
    least = options["min_qnr"]
    return (*found, *([] if least is None else [Gate("QNR", least, at_least=True)]))


def report_files(given: Mapping[str, Any]) -> ReportFiles:
    """What to write besides the numbers."""
    from clippan_cli.report.files import ReportFiles  # which can write rasters, and loads what that takes

    options = filled(_ReportFlags, given)
    page, maps, csv, points = (path_or_none(options[name]) for name in ("report", "maps", "csv", "points"))
    return ReportFiles(page, maps, csv, points, overwrite=options["overwrite"])
