"""`clippan sharpen`: a sharp multispectral image from an MS and a PAN raster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Unpack

import typer

from clippan_cli.commands.flags import command
from clippan_cli.commands.scene_arguments import Files, MsFiles, PanFiles, found_scene, scene_and_bands
from clippan_cli.console import Terminal
from clippan_cli.options.flags import OUTPUT
from clippan_cli.options.scene import path_or_none, read_options
from clippan_cli.options.sharpen import SharpenFlags, sharpen_options
from clippan_cli.writing.remote import output_name
from clippan_models.errors import UsageError

if TYPE_CHECKING:
    from clippan_cli.tasks.sharpen import SharpenResult

_OUTPUT_HELP = "The raster to write, here or at s3://, gs:// or az://."


@command
def sharpen(
    terminal: Terminal,
    files: Files = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The raster to write, here or at s3://, gs:// or az://.",
            rich_help_panel=OUTPUT.name,
        ),
    ] = None,
    ms: MsFiles = None,
    pan: PanFiles = None,
    **flags: Unpack[SharpenFlags],
) -> None:
    """Sharpen a multispectral image with its panchromatic image.

    The result lies on the PAN grid, cropped to the overlap, in the type of MS. By default a small network first learns
    on the scene itself, guided by a CLIP that was trained to recognise good pansharpened images. The method network
    works without CLIP, the classical methods without learning.

    Instead of MS and PAN, one product can be named as its provider delivers it: a folder, its main file, or a zip.

    Example: clippan sharpen ms.tif pan.tif -o hrms.tif
    """
    if output is None:
        raise UsageError("say where to write the result: -o FILE")
    named, bands = scene_and_bands(files, ms, pan)
    read = read_options({**flags, **bands})
    sharpening, report = sharpen_options(output, flags), path_or_none(flags["report"])
    from clippan_cli.tasks.sharpen_report import plan_with_addresses, sharpen_with_report

    with terminal.running() as control:
        pair = found_scene(named, read.pair.trust, control)
        if flags["dry_run"]:
            result, report = plan_with_addresses(pair, read, sharpening, control), None
        else:
            result = sharpen_with_report(pair, read, sharpening, report, control)
    _show(result, terminal)
    if report is not None and not terminal.quiet:
        terminal.say(f"report     {output_name(report)}")


def _show(result: SharpenResult, terminal: Terminal) -> None:
    if terminal.as_json:
        terminal.json(result.as_json())
        return
    if terminal.quiet:
        terminal.say(str(result.output) if result.output else "")
        return
    from clippan_models.metrics.catalogue import HEADLINE

    plan = result.plan
    if result.output is None:
        terminal.say(f"would need about {plan.memory_mb:.0f} MB of memory and {plan.disk_mb:.0f} MB of disk")
        return
    if result.adapted is not None:
        adapted = result.adapted
        terminal.say(
            f"adapted    {adapted.steps} steps in {adapted.seconds:.0f} s, best checkpoint at step {adapted.best_step}"
        )
    if result.quality is not None:
        first, *others = (f"{k} {v:.4f}" for k, v in result.quality.metrics.items() if k in HEADLINE)
        part = [] if result.quality.looked_at == 1 else [f"(from {result.quality.looked_at:.0%} of the scene)"]
        terminal.say(f"quality    {first}", *others, *part)
    terminal.say(f"time       {result.seconds['total']:.1f} s, of it sharpening {result.mpx_per_second:.2f} Mpx/s")
    terminal.say(f"result     {result.output}")
    if result.quicklook is not None:
        terminal.say(f"quicklook  {result.quicklook}")
    if result.saved_weights is not None:
        terminal.say(f"weights    {result.saved_weights}")
    if result.stac is not None:
        terminal.say(f"STAC item  {result.stac}")
