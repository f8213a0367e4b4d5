"""`clippan batch`: sharpen many pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clippan_cli import options as opt
from clippan_models.adaptation.options import DEFAULT_PRESET, find_preset
from clippan_models.errors import UsageError

if TYPE_CHECKING:
    from clippan_cli.console import Terminal
    from clippan_cli.scene.files import PairTable
    from clippan_cli.tasks.batch import BatchResult

_BATCH, _OUTPUT = "Batch", "Output"


def batch(
    pairs: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS", help="A folder with rasters, a CSV file with ms,pan[,id], or the JSON of STAC."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="The folder for the results.", rich_help_panel=_OUTPUT),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print the pairs, and why other files are left out, and stop.", rich_help_panel=_BATCH
        ),
    ] = False,
    pairs_out: opt.PairsOut = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            help="Scenes at once, each in a process; 1 if not given.",
            rich_help_panel=_BATCH,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="tcp://HOST:PORT",
            help="Sharpen on the workers of a Dask cluster, one scene at a time on each.",
            rich_help_panel=_BATCH,
        ),
    ] = None,
    shard: Annotated[
        str,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="Only every N-th scene, from the I-th: one run for each of N machines.",
            rich_help_panel=_BATCH,
        ),
    ] = "1/1",
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Try again what has failed before.", rich_help_panel=_BATCH),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE.html",
            help="Write a page on the quality of all results, sortable.",
            rich_help_panel=_OUTPUT,
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
    seed: opt.Seed = 0,
    sensor: opt.SensorName = "auto",
    coregister: opt.CoregisterMode = "auto",
    pan_band: opt.PanBand = None,
    assume_aligned: opt.AssumeAligned = False,
    allow_vrt: opt.AllowVrt = False,
    allow_remote: opt.AllowRemote = False,
    extent: opt.Extent = "intersection",
    driver: opt.Driver = "cog",
    compress: opt.Compress = "deflate",
    creation: opt.CreationOptions = None,
    overwrite: opt.Overwrite = False,
    quality: opt.MeasureQuality = True,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    ram: opt.Ram = 2048,
    tile: opt.TileSide = None,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = 0,
) -> None:
    """Sharpen many pairs, each as `clippan sharpen` does with the same options.

    In a folder and those below, MS and PAN find each other by bands, pixel size, place, time and name. A scene that is
    finished is not made again, unless its inputs, the options or the version have changed. A scene that fails costs no
    other.

    Example: clippan batch archive/ -o sharp/
    """
    from typing import cast

    from clippan_cli.commands.adaptation_arguments import (
        adapt_options,
        chosen_backbone,
        guidance_options,
    )
    from clippan_cli.commands.scene_arguments import read_options
    from clippan_cli.commands.sharpen import parse_creation_options
    from clippan_cli.console import Terminal
    from clippan_cli.rasters.source import Trust
    from clippan_cli.report.files import ReportFiles, write_text
    from clippan_cli.running.options import ComputeOptions
    from clippan_cli.scene.pairs import find_pairs
    from clippan_cli.sharpening.options import SharpenOptions
    from clippan_cli.tasks.assess_index import assess_batch
    from clippan_cli.tasks.batch import BatchOptions, run_batch
    from clippan_cli.writing import options as out

    if output is None and not dry_run:
        raise UsageError("say where to write the results: -o DIR")
    if workers is not None and scheduler is not None:
        raise UsageError("--workers is for this machine and --scheduler for a cluster: give one of them")
    folder = output or Path()
    options = BatchOptions(folder, 1 if workers is None else workers, scheduler, parse_shard(shard), retry_failed)
    terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
    read = read_options(
        pan_band=pan_band,
        sensor=sensor,
        coregister=coregister,
        assume_aligned=assume_aligned,
        allow_vrt=allow_vrt,
        allow_remote=allow_remote,
        extent=extent,
        seed=seed,
    )
    sharpening = SharpenOptions(
        output=folder,
        method=method,
        encoding=out.OutputOptions(
            driver=cast(out.Driver, driver),
            compress=compress,
            creation_options=parse_creation_options(creation or []),
            overwrite=overwrite,
        ),
        compute=ComputeOptions(device=device, threads=threads, ram_mb=ram, tile=tile),
        adapt=adapt_options(
            preset=find_preset(preset),
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
        assess=quality,
    )
    with terminal.running() as control:
        table = find_pairs(pairs, Trust(vrt=allow_vrt, remote=allow_remote), control)
        if pairs_out is not None:
            check_free(pairs_out, overwrite)
            write_text(pairs_out, table.as_csv())
        files = ReportFiles(page=report, overwrite=overwrite)
        if report is not None and not dry_run:
            files.check([])
        found = None if dry_run else run_batch(table, read, sharpening, options, control)
        if found is not None and report is not None:
            assess_batch(found, read, sharpening.compute, files, control)
    if found is None:
        show_pairs(table, terminal)
        return
    _show(found, terminal)
    if report is not None and not quiet:
        terminal.say(f"report     {report}")
    found.check()


def parse_shard(text: str) -> tuple[int, int]:
    """The two numbers of I/N.

    Raises:
        UsageError: they are no such numbers.
    """
    number, _, count = text.partition("/")
    try:
        return int(number), int(count)
    except ValueError as error:
        raise UsageError(f"--shard {text}: I/N is needed, e.g. 1/4") from error


def check_free(path: Path, overwrite: bool) -> None:
    """Refuse to write a table of pairs over anything, unless asked to.

    Raises:
        OutputError: see `check_output_path`.
    """
    from clippan_cli.writing.path import check_output_path

    check_output_path(path, [], overwrite)


def show_pairs(table: PairTable, terminal: Terminal) -> None:
    """Print the pairs, and the files that are left out with the reason."""
    if terminal.as_json:
        terminal.json(table.as_json())
        return
    for pair in table.pairs:
        terminal.say(f"{pair.id}: {', '.join(pair.ms)} + {pair.pan} ({pair.reason})")
    for item in table.left_out:
        terminal.say(f"left out   {item.path}: {item.reason}")
    terminal.say(f"{len(table.pairs)} pairs, {len(table.left_out)} files left out")


def _show(found: BatchResult, terminal: Terminal) -> None:
    if terminal.as_json:
        terminal.json(found.as_json())
        return
    from clippan_models.metrics.catalogue import HEADLINE

    rows = []
    for scene in found.scenes:
        values = [
            f"{(scene.record.quality or {})[n]:.4f}" if n in (scene.record.quality or {}) else "" for n in HEADLINE
        ]
        rows.append([scene.pair.id, scene.outcome, f"{scene.record.seconds:.1f}", *values])
    terminal.table("batch", ["scene", "outcome", "seconds", *HEADLINE], rows)
    for scene in found.failed:
        terminal.say(f"failed     {scene.pair.id}: {scene.record.error}")
    if terminal.quiet:
        return
    for item in found.table.left_out:
        terminal.say(f"left out   {item.path}: {item.reason}")
