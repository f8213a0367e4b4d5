"""`clippan assess`: how good fused images are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Unpack

import typer

from clippan_cli.commands.flags import command
from clippan_cli.commands.scene_arguments import MsFiles, PanFiles, found_scene, scene_files
from clippan_cli.console import Terminal
from clippan_cli.options.assess import AssessCommandFlags, assess_options, report_files
from clippan_cli.options.flags import SCENE
from clippan_cli.options.scene import read_options
from clippan_cli.rasters.names import check_names
from clippan_models.errors import UsageError

if TYPE_CHECKING:
    from clippan_cli.quality.options import AssessOptions
    from clippan_cli.quality.result import AssessReport
    from clippan_cli.report.files import ReportFiles
    from clippan_cli.scene.files import ReadOptions


@command
def assess(
    terminal: Terminal,
    fused: Annotated[
        list[str],
        typer.Argument(
            metavar="FUSED...", help="Fused rasters on the PAN grid; or one folder or CSV file with many scenes."
        ),
    ],
    ms: MsFiles = None,
    pan: PanFiles = None,
    product: Annotated[
        Path | None,
        typer.Option(
            "--product",
            metavar="PRODUCT",
            help="The product that MS and PAN are of, instead of --ms and --pan: folder, file or zip.",
            rich_help_panel=SCENE.name,
        ),
    ] = None,
    **flags: Unpack[AssessCommandFlags],
) -> None:
    """Measure fused images against the pair that they were made from, and against a reference where there is one.

    The indices follow the definitions of published tables and leave out nodata. Interpolated MS and a classical method
    are measured beside the images, because a single number can mislead.

    Example: clippan assess hrms.tif --ms ms.tif --pan pan.tif --report hrms.html
    """
    from clippan_cli.scene.pairs import names_many_scenes

    many = names_many_scenes(fused)
    if many and (ms or pan or product or flags["reference"]):
        raise UsageError(f"{fused[0]} names many scenes, which bring their own MS, PAN and reference")
    # many scenes bring their own references, and a product may bring one
    options = assess_options(flags, fused[0] if many else flags["reference"] or product)
    read, files = read_options(flags), report_files(flags)
    if many:
        _assess_many(fused[0], read, options, files, terminal)
        return
    named = scene_files([str(product)] if product else None, ms, pan)
    check_names(fused)  # before torch is imported, which takes longer than to mistype
    with terminal.running() as control:
        pair = found_scene(named, read.pair.trust, control)
        if flags["reference"] is None:
            options = replace(options, reference=pair.reference)
        check_names(pair.names)
        with control.timed("start"):
            from clippan_cli.tasks import assess as task
        found = task.assess(pair, read, fused, options, control, files)
    if terminal.as_json:
        terminal.json(found.as_json())
    else:
        _show(found, terminal)
    found.check_gate()


def _assess_many(path: str, read: ReadOptions, options: AssessOptions, files: ReportFiles, terminal: Terminal) -> None:
    from clippan_cli.products.finding import find_scenes
    from clippan_cli.quality.many_scenes import in_short
    from clippan_cli.running.warnings import codes_of
    from clippan_cli.tasks.assess_index import assess_scenes
    from clippan_models.metrics.catalogue import HEADLINE

    with terminal.running() as control:
        entries = find_scenes(Path(path), read.pair.trust, control).pairs
        found = assess_scenes(entries, read, options, files, control)
    if terminal.as_json:
        terminal.json(found.as_json())
    else:
        rows = []
        for outcome in found.outcomes:
            if outcome.report is None:
                rows.append([outcome.entry.id, *[""] * len(HEADLINE), "failed", ""])
                continue
            given = [each for each in outcome.images if each[1].role == "given"]
            codes = ", ".join(codes_of(outcome.report.warnings))
            for label, image, outliers in given:
                name = outcome.entry.id if len(given) == 1 else f"{outcome.entry.id} {label}"
                rows.append([name, *(f"{image.metrics[n]:.4f}" for n in HEADLINE), in_short(outliers), codes])
        terminal.table("quality of many scenes", ["scene", *HEADLINE, "stands out in", "warnings"], rows)
        for outcome in found.failed:
            terminal.say(f"failed     {outcome.entry.id}: {outcome.error}")
        for written in files.names:
            terminal.say(f"written    {written}")
    found.check()


def _show(found: AssessReport, terminal: Terminal) -> None:
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
    if terminal.quiet:
        return
    first = found.images[0]
    part = "" if first.valid_share == 1 else f", {first.valid_share:.0%} of the pixels valid"
    terminal.say(
        f"{first.convention} conventions, MTF of {first.sensor}, blocks of 32 pixels{part}; ↑ more is better, "
        f"↓ less{', * best' if best else ''}"
    )
    for path in found.files:
        terminal.say(f"written    {path}")
