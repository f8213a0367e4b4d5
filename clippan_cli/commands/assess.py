"""`clippan assess`: how good fused images are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from clippan_cli import options as opt
from clippan_models.errors import UsageError

if TYPE_CHECKING:
    from clippan_cli.console import Terminal
    from clippan_cli.quality.result import AssessReport
    from clippan_cli.scene.files import ReadOptions
    from clippan_cli.tasks.assess import AssessOptions, ReportFiles

_COMPARE, _GATES, _PAGE = "Comparison", "Gates", "Report"


def assess(
    fused: Annotated[
        list[str],
        typer.Argument(
            metavar="FUSED...", help="Fused rasters on the PAN grid; or one folder or CSV file of many scenes."
        ),
    ],
    ms: opt.MsFiles = None,
    pan: opt.PanFile = None,
    reference: Annotated[
        str | None,
        typer.Option("--reference", metavar="FILE", help="The truth on the PAN grid.", rich_help_panel=_COMPARE),
    ] = None,
    qnr: Annotated[
        str,
        typer.Option(
            "--qnr", metavar="toolbox|paper", help="Whose definition of D_lambda and D_s.", rich_help_panel=_COMPARE
        ),
    ] = "toolbox",
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines/--no-baselines",
            help="Compare with EXP, the MS merely interpolated, and with GSA.",
            rich_help_panel=_COMPARE,
        ),
    ] = True,
    wald: Annotated[
        str | None,
        typer.Option(
            "--wald",
            metavar="METHOD,...",
            help="Also sharpen the degraded pair by these methods, and score them against MS.",
            rich_help_panel=_COMPARE,
        ),
    ] = None,
    peak: Annotated[
        float | None,
        typer.Option(
            "--peak", metavar="DN", help="Largest possible value, for PSNR and SSIM.", rich_help_panel=_COMPARE
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE.html", help="Write a page to look at.", rich_help_panel=_PAGE),
    ] = None,
    maps: Annotated[
        Path | None,
        typer.Option("--maps", metavar="DIR", help="Write the local maps as GeoTIFFs.", rich_help_panel=_PAGE),
    ] = None,
    points: Annotated[
        Path | None,
        typer.Option("--points", metavar="FILE.geojson", help="Show spectra at these points.", rich_help_panel=_PAGE),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the numbers as CSV.", rich_help_panel=_PAGE)
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing files.", rich_help_panel=_PAGE)
    ] = False,
    min_qnr: Annotated[
        float | None,
        typer.Option("--min-qnr", metavar="X", help="Exit with code 8 if a QNR is below X.", rich_help_panel=_GATES),
    ] = None,
    minimum: Annotated[
        list[str] | None,
        typer.Option(
            "--min", metavar="METRIC=X", help="Exit with code 8 if it is below X; repeat.", rich_help_panel=_GATES
        ),
    ] = None,
    maximum: Annotated[
        list[str] | None,
        typer.Option(
            "--max", metavar="METRIC=X", help="Exit with code 8 if it is above X; repeat.", rich_help_panel=_GATES
        ),
    ] = None,
    sensor: opt.SensorName = "auto",
    pan_band: opt.PanBand = None,
    assume_aligned: opt.AssumeAligned = False,
    allow_vrt: opt.AllowVrt = False,
    allow_remote: opt.AllowRemote = False,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = 0,
) -> None:
    """Measure fused images against the pair they were made from, and against the truth where there is one.

    By the definitions that the community's tables use, streamed and without nodata; side by side with the MS merely
    interpolated and a classical method, since one number alone misleads.

    Example: clippan assess hrms.tif --ms ms.tif --pan pan.tif --report hrms.html
    """
    from clippan_cli.commands.scene_arguments import one_of, read_options, scene_files
    from clippan_cli.console import Terminal
    from clippan_cli.running.options import ComputeOptions
    from clippan_cli.scene.pairs import names_many_scenes
    from clippan_cli.tasks import assess as task

    terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
    gates = [task.Gate.parse(text, at_least=True) for text in minimum or []]
    gates += [task.Gate.parse(text, at_least=False) for text in maximum or []]
    if min_qnr is not None:
        gates.append(task.Gate("QNR", min_qnr, at_least=True))
    many = names_many_scenes(fused)
    if many and (ms or pan or reference):
        raise UsageError(f"{fused[0]} names many scenes, which bring their own MS, PAN and reference")
    read = read_options(
        pan_band=pan_band,
        sensor=sensor,
        coregister="auto",
        assume_aligned=assume_aligned,
        allow_vrt=allow_vrt,
        allow_remote=allow_remote,
    )
    options = task.AssessOptions(
        compute=ComputeOptions(device=device, threads=threads),
        convention=cast(Literal["toolbox", "paper"], one_of("--qnr", qnr, ("toolbox", "paper"))),
        reference=fused[0] if many else reference,  # of many scenes, each brings its own
        peak=peak,
        baselines=baselines,
        wald=tuple(wald.replace(",", " ").split()) if wald else (),
        gates=tuple(gates),
    )
    files = task.ReportFiles(page=report, maps=maps, csv=csv, points=points, overwrite=overwrite)
    if many:
        _assess_many(fused[0], read, options, files, terminal)
        return
    with terminal.running() as control:
        found = task.assess(scene_files([], ms, pan), read, fused, options, control, files)
    if as_json:
        terminal.json(found.as_json())
    else:
        _show(found, terminal, quiet=quiet)
    found.check_gate()


def _assess_many(path: str, read: ReadOptions, options: AssessOptions, files: ReportFiles, terminal: Terminal) -> None:
    from clippan_cli.scene.pairs import find_pairs
    from clippan_cli.tasks.assess_index import assess_scenes
    from clippan_models.metrics.catalogue import HEADLINE

    with terminal.running() as control:
        entries = find_pairs(Path(path), read.pair.trust, control).pairs
        found = assess_scenes(entries, read, options, files, control)
    if terminal.as_json:
        terminal.json(found.as_json())
    else:
        rows = []
        for outcome in found.outcomes:
            image = outcome.report.images[0] if outcome.report else None
            values = [f"{image.metrics[n]:.4f}" for n in HEADLINE] if image else [""] * len(HEADLINE)
            remark = "failed" if image is None else outcome.stands_out_in
            rows.append([outcome.entry.id, *values, remark])
        terminal.table("quality of many scenes", ["scene", *HEADLINE, "stands out in"], rows)
        for outcome in found.failed:
            terminal.say(f"failed     {outcome.entry.id}: {outcome.error}")
        for written in files.names:
            terminal.say(f"written    {written}")
    found.check()


def _show(found: AssessReport, terminal: Terminal, *, quiet: bool) -> None:
    from clippan_cli.quality.result import short_names
    from clippan_models.metrics.catalogue import INDICES

    best = found.best() if len(found.images) > 1 else {}
    rows = []
    for name in found.names:
        cells = []
        for place, image in enumerate(found.images):
            mark = "*" if best.get(name) == place else " "
            cells.append(f"{image.metrics[name]:.4f}{mark}" if name in image.metrics else "")
        rows.append([f"{name} {'↑' if INDICES[name].higher_is_better else '↓'}", *cells])
    terminal.table("quality", ["index", *short_names([image.path for image in found.images])], rows)
    if found.wald:
        names = list(found.wald[0].metrics)
        wald_rows = [[score.method, *(f"{score.metrics[n]:.4f}" for n in names)] for score in found.wald]
        terminal.table("Wald's protocol: the degraded pair, sharpened, against MS", ["method", *names], wald_rows)
    if quiet:
        return
    first = found.images[0]
    part = "" if first.valid_share == 1 else f", {first.valid_share:.0%} of the pixels valid"
    terminal.say(
        f"{first.convention} conventions, MTF of {first.sensor}, blocks of 32 pixels{part}; ↑ more is better, "
        f"↓ less{', * best' if best else ''}"
    )
    for warning in (*found.warnings, *(f"{i.path}: {w}" for i in found.given for w in i.warnings)):
        terminal.say(f"beware     {warning}")
    for path in found.files:
        terminal.say(f"written    {path}")
