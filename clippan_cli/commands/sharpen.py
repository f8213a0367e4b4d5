"""`clippan sharpen`: a sharp multispectral image from an MS and a PAN raster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from clippan_cli import options as opt
from clippan_models.adaptation.options import DEFAULT_PRESET, find_preset
from clippan_models.errors import UsageError

if TYPE_CHECKING:
    from clippan_cli.console import Terminal
    from clippan_cli.tasks.sharpen import SharpenResult

_OUTPUT = "Output"


def sharpen(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="MS PAN", help="The multispectral and the panchromatic raster.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The raster to write.", rich_help_panel=_OUTPUT),
    ] = None,
    ms: opt.MsFiles = None,
    pan: opt.PanFile = None,
    bands: Annotated[
        str | None,
        typer.Option(
            "-b", "--bands", metavar="N,N,...", help="MS bands to write, in this order.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    method: opt.Method = "clippan",
    preset: opt.PresetName = DEFAULT_PRESET,
    steps: opt.Steps = None,
    time_limit: opt.TimeLimit = None,
    clip: opt.Clip = "auto",
    prompt: opt.Prompt = None,
    prompts: opt.PromptSet = "wald",
    stem: opt.Stem = "conv",
    stage1_steps: opt.Stage1Steps = None,
    stage1_loss: opt.Stage1Loss = "inter,intra,fusion",
    loss: opt.Loss = None,
    backbone: opt.Backbone = None,
    teacher: opt.Teacher = "none",
    projection: opt.Projection = True,
    weights: opt.Weights = None,
    save_weights: opt.SaveWeights = None,
    seed: opt.Seed = 0,
    sensor: opt.SensorName = "auto",
    coregister: opt.CoregisterMode = "auto",
    pan_band: opt.PanBand = None,
    assume_aligned: opt.AssumeAligned = False,
    allow_vrt: opt.AllowVrt = False,
    allow_remote: opt.AllowRemote = False,
    extent: opt.Extent = "intersection",
    bbox: opt.BoundingBox = None,
    bbox_crs: opt.BoundingBoxCrs = None,
    aoi: opt.AreaOfInterest = None,
    driver: opt.Driver = "cog",
    compress: opt.Compress = "deflate",
    creation: opt.CreationOptions = None,
    overwrite: opt.Overwrite = False,
    quicklook: Annotated[
        Path | None,
        typer.Option("--quicklook", metavar="FILE.png", help="Draw PAN, MS and result.", rich_help_panel=_OUTPUT),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="FILE.html", help="Write a page on the quality of the result.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    quality: opt.MeasureQuality = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and stop.", rich_help_panel=_OUTPUT)
    ] = False,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    ram: opt.Ram = 2048,
    tile: opt.TileSide = None,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = 0,
) -> None:
    """Sharpen a multispectral image with its panchromatic one.

    The result lies on the PAN grid, cropped to the overlap, in the type of MS. By default a small network adapts to
    the scene itself first, guided by a CLIP that knows what a good pansharpened image is. The method network does
    without that guide, the classical methods without adaptation.

    Example: clippan sharpen ms.tif pan.tif -o hrms.tif
    """
    from clippan_cli.commands.adaptation_arguments import (
        adapt_options,
        chosen_backbone,
        guidance_options,
    )
    from clippan_cli.commands.report_arguments import check_report, write_report
    from clippan_cli.commands.scene_arguments import read_options, scene_files
    from clippan_cli.console import Terminal
    from clippan_cli.running.options import ComputeOptions
    from clippan_cli.sharpening.options import SharpenOptions
    from clippan_cli.tasks import sharpen as task
    from clippan_cli.writing.options import Driver, OutputOptions

    if output is None:
        raise UsageError("say where to write the result: -o FILE")
    budget = find_preset(preset)
    terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
    pair = scene_files(files or [], ms, pan)
    read = read_options(
        pan_band=pan_band,
        sensor=sensor,
        coregister=coregister,
        assume_aligned=assume_aligned,
        allow_vrt=allow_vrt,
        allow_remote=allow_remote,
        extent=extent,
        bbox=bbox,
        bbox_crs=bbox_crs,
        aoi=aoi,
        seed=seed,
    )
    sharpening = SharpenOptions(
        output=output,
        method=method,
        bands=_band_list(bands),
        encoding=OutputOptions(
            driver=cast(Driver, driver),
            compress=compress,
            creation_options=parse_creation_options(creation or []),
            overwrite=overwrite,
        ),
        compute=ComputeOptions(device=device, threads=threads, ram_mb=ram, tile=tile),
        adapt=adapt_options(
            preset=budget,
            steps=steps,
            time_limit=time_limit,
            seed=seed,
            loss=loss,
            backbone=chosen_backbone(backbone, weights),
            teacher=teacher,
            projection=projection,
        ),
        guidance=guidance_options(
            clip=clip, prompts=prompts, prompt=prompt, stem=stem, steps=stage1_steps, terms=stage1_loss
        ),
        weights=weights,
        save_weights=save_weights,
        quicklook=quicklook,
        assess=quality,
    )
    page = check_report(report, output, pair, sharpening, overwrite=overwrite) if report and not dry_run else None
    with terminal.running() as control:
        result = (task.plan_sharpen if dry_run else task.sharpen)(pair, read, sharpening, control)
        if page is not None:
            write_report(page, pair, read, sharpening, control)
    _show(result, terminal, quiet=quiet)
    if page is not None and not quiet:
        terminal.say(f"report     {report}")


def _show(result: SharpenResult, terminal: Terminal, *, quiet: bool) -> None:
    if terminal.as_json:
        terminal.json(result.as_json())
        return
    if quiet:
        terminal.say(str(result.output) if result.output else "")
        return
    from clippan_models.metrics.catalogue import HEADLINE

    provenance, plan = result.provenance, result.plan
    terminal.say(f"sensor     {provenance['SENSOR']} ({provenance['SENSOR_REASON']})")
    terminal.say(f"MTF gains  {provenance['MTF_GAINS']} from {provenance['MTF_GAINS_FROM']}")
    shifts = "  ".join(f"{y:+.2f},{x:+.2f}" for y, x in result.shifts)
    terminal.say(f"shifts     {shifts}  (PAN px down,right per band)")
    terminal.say(
        f"grid       {plan.width}x{plan.height}, {plan.bands} bands of {plan.dtype}; "
        f"{plan.tiles} tile{'s' * (plan.tiles > 1)} of {plan.tile}, halo {plan.halo}"
    )
    if result.output is None:
        terminal.say(
            f"would need about {plan.memory_mb:.0f} MB of memory, {plan.disk_mb:.0f} MB of disk, {plan.seconds:.0f} s"
        )
        return
    if "CLIP_FROM" in provenance:
        terminal.say(f"CLIP       {provenance['CLIP']} ({provenance['CLIP_FROM']}): {provenance['PROMPT_HRMS']}")
    if result.adapted is not None:
        adapted = result.adapted
        terminal.say(
            f"adapted    {adapted.steps} steps in {adapted.seconds:.0f} s, best checkpoint at step {adapted.best_step}"
        )
    if result.quality is not None:
        metrics = "  ".join(f"{k} {v:.4f}" for k, v in result.quality.metrics.items() if k in HEADLINE)
        part = "" if result.quality.looked_at == 1 else f" (from {result.quality.looked_at:.0%} of the scene)"
        terminal.say(f"quality    {metrics}{part}")
    terminal.say(f"time       {result.seconds['total']:.1f} s, of it sharpening {result.mpx_per_second:.2f} Mpx/s")
    terminal.say(f"result     {result.output}")
    if result.quicklook is not None:
        terminal.say(f"quicklook  {result.quicklook}")
    if result.saved_weights is not None:
        terminal.say(f"weights    {result.saved_weights}")


def _band_list(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise UsageError(f"--bands {text}: band numbers with commas between, e.g. 3,2,1") from error


def parse_creation_options(pairs: list[str]) -> tuple[tuple[str, str], ...]:
    """Keys and values of KEY=VALUE.

    Raises:
        UsageError: one has no key or no value.
    """
    parsed = []
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--co {pair}: KEY=VALUE is needed")
        parsed.append((key, value))
    return tuple(parsed)
