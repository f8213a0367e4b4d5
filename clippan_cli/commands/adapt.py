"""`clippan adapt`: learn from an archive of one sensor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clippan_cli import options as opt
from clippan_models.errors import UsageError

if TYPE_CHECKING:
    from clippan_cli.console import Terminal
    from clippan_cli.tasks.adapt import ArchiveResult
    from clippan_cli.training.validation import Validation

_OUTPUT, _LEARNING, _BATCH, _VALIDATION, _COMPUTE = "Output", "Learning", "Batch", "Validation", "Compute"
_STEPS = 1000


def adapt(
    archive: Annotated[
        Path,
        typer.Argument(
            metavar="ARCHIVE", help="A folder with rasters, a CSV file with ms,pan[,id], or the JSON of STAC."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE.safetensors", help="The weights to write.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print the pairs, and why other files are left out, and stop.", rich_help_panel=_BATCH
        ),
    ] = False,
    pairs_out: opt.PairsOut = None,
    steps: Annotated[
        int, typer.Option("--steps", metavar="N", help="Optimiser steps, of all scenes together.")
    ] = _STEPS,
    time_limit: opt.TimeLimit = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training that was broken off.", rich_help_panel=_LEARNING)
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Go on although files or options have changed.", rich_help_panel=_LEARNING),
    ] = False,
    snapshot_minutes: Annotated[
        float,
        typer.Option(
            "--snapshot-minutes",
            metavar="N",
            help="How often to save what is needed to go on.",
            rich_help_panel=_LEARNING,
        ),
    ] = 10.0,
    scenes_per_step: Annotated[
        int | None,
        typer.Option(
            "--scenes-per-step",
            metavar="N",
            help="Scenes that each step takes patches from; as many as there are processes, if not given.",
            rich_help_panel=_LEARNING,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE.html",
            help="Write a page on what was learned and how good it is.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option("--licence", metavar="TEXT", help="What the model card says of it.", rich_help_panel=_OUTPUT),
    ] = None,
    validation: Annotated[
        bool,
        typer.Option(
            "--validation/--no-validation",
            help="Measure the weights beside classical methods on scenes held back, at most 8.",
            rich_help_panel=_VALIDATION,
        ),
    ] = True,
    compare_scratch: Annotated[
        int,
        typer.Option(
            "--compare-scratch",
            metavar="N",
            help="Also measure networks that learn on each of these scenes alone: N steps, twice a scene; 0: not.",
            rich_help_panel=_VALIDATION,
        ),
    ] = 0,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            "--tensorboard",
            metavar="DIR",
            help="Log the loss of each step, and each validation, for TensorBoard.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
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
    overwrite: opt.Overwrite = False,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            help="Processes that read ahead; 0: none; if not given, as many as threads, at most 4, or none for one.",
            rich_help_panel=_COMPUTE,
        ),
    ] = None,
    ram: opt.Ram = 2048,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = 0,
) -> None:
    """Learn from an archive of one sensor: weights that sharpen its scenes without learning on each.

    Pairs are found as `clippan batch` does. Every fifth scene is held back, and chooses the best step. A training that
    is stopped goes on with --resume.

    Example: clippan adapt archive/ -o sensor.safetensors
    """
    from clippan_cli.commands.adaptation_arguments import adapt_options, chosen_backbone, guidance_options
    from clippan_cli.commands.batch import check_free, show_pairs
    from clippan_cli.commands.scene_arguments import read_options
    from clippan_cli.console import Terminal
    from clippan_cli.rasters.source import Trust
    from clippan_cli.report.files import write_text
    from clippan_cli.report.training import check_adapt_report, write_adapt_report
    from clippan_cli.running.distributed import is_first
    from clippan_cli.running.options import ComputeOptions
    from clippan_cli.scene.pairs import find_pairs
    from clippan_cli.tasks.adapt import ArchiveOptions, adapt_archive
    from clippan_cli.training.validation import ValidationOptions
    from clippan_models.adaptation.options import DEFAULT_BACKBONE, Preset
    from clippan_models.store.card import NO_LICENCE

    if output is None and not dry_run:
        raise UsageError("say where to write the weights: -o FILE.safetensors")
    if not snapshot_minutes > 0:
        raise UsageError(f"--snapshot-minutes {snapshot_minutes:g}: more than 0")
    if compare_scratch and not validation:
        raise UsageError("--compare-scratch is a part of the validation; leave out --no-validation")
    speaks = is_first()  # of several processes that torchrun has started
    terminal = Terminal(quiet=quiet or not speaks, verbose=verbose, as_json=as_json)
    read = read_options(
        pan_band=pan_band,
        sensor=sensor,
        coregister=coregister,
        assume_aligned=assume_aligned,
        allow_vrt=allow_vrt,
        allow_remote=allow_remote,
        seed=seed,
    )
    learning = adapt_options(
        preset=Preset(_STEPS, DEFAULT_BACKBONE),
        steps=steps,
        time_limit=time_limit,
        seed=seed,
        loss=loss,
        backbone=chosen_backbone(backbone, weights),
        teacher=teacher,
        projection=projection,
    )
    guidance = guidance_options(
        clip=clip, prompts=prompts, prompt=prompt, stem=stem, steps=stage1_steps, terms=stage1_loss
    )
    options = ArchiveOptions(
        output=output or Path("sensor.safetensors"),
        overwrite=overwrite,
        compute=ComputeOptions(device=device, threads=threads, ram_mb=ram),
        adapt=learning,
        guidance=guidance,
        weights=weights,
        snapshot_seconds=60 * snapshot_minutes,
        resume=resume,
        force=force,
        licence=licence or NO_LICENCE,
        scenes_per_step=scenes_per_step,
        validation=ValidationOptions(scratch_steps=compare_scratch) if validation else None,
        tensorboard=tensorboard,
        workers=workers,
    )
    with terminal.running() as control:
        table = find_pairs(archive, Trust(vrt=allow_vrt, remote=allow_remote), control)
        if pairs_out is not None and speaks:
            check_free(pairs_out, overwrite)
            write_text(pairs_out, table.as_csv())
        if report is not None:
            check_adapt_report(report, archive, table, options)
        found = None if dry_run else adapt_archive(table, read, options, control)
    if not speaks:
        return
    if found is None:
        show_pairs(table, terminal)
        return
    _show(found, terminal)
    if report is not None:
        with terminal.running() as control:
            write_adapt_report(report, archive, table, found, options, control)
        if not quiet:
            terminal.say(f"report     {report}")


def _show(found: ArchiveResult, terminal: Terminal) -> None:
    if terminal.as_json:
        terminal.json(found.as_json())
        return
    if terminal.quiet:
        terminal.say(str(found.output))
        return
    adapted = found.adapted
    rows = [[name, f"{before:.4f}", f"{after:.4f}"] for name, (before, after) in found.losses.items()]
    terminal.table("loss of scenes held back", ["scene", "before", "after"], rows)
    if found.validation is not None:
        _show_validation(found.validation, terminal)
    for item in found.left_out:
        terminal.say(f"left out   {item.path}: {item.reason}")
    terminal.say(f"scenes     {len(found.learned_from)} learned from, {found.patches} patches of all")
    terminal.say(
        f"adapted    {adapted.steps} steps in {adapted.seconds:.0f} s, best checkpoint at step {adapted.best_step}"
    )
    terminal.say(f"result     {found.output}")


def _show_validation(found: Validation, terminal: Terminal) -> None:
    from clippan_cli.training.validation import ALL
    from clippan_models.metrics.catalogue import INDICES

    best = found.best
    rows = [
        [one.method, *(f"{one.metrics[n]:.4f}{'*' if best.get(n) == one.method else ' '}" for n in ALL)]
        for one in found.mean
    ]
    heads = [f"{name} {'↑' if INDICES[name].higher_is_better else '↓'}" for name in ALL]
    if rows:
        terminal.table("quality, mean: on the left of the scenes, on the right by Wald's protocol", ["", *heads], rows)
    terminal.say(f"measured   {found.measured}; * best; learned: without a step on the scene")
    for item in found.left_out:
        terminal.say(f"unmeasured {item.path}: {item.reason}")
