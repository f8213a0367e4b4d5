"""`clippan assess`: how good fused images are, without a reference."""

from __future__ import annotations

from typing import Annotated

import typer

from clippan_cli import options as opt


def assess(
    fused: Annotated[list[str], typer.Argument(metavar="FUSED...", help="Fused rasters on the PAN grid.")],
    ms: opt.MsFiles = None,
    pan: opt.PanFile = None,
    min_qnr: Annotated[
        float | None, typer.Option("--min-qnr", metavar="X", help="Exit with code 8 if a QNR is below X.")
    ] = None,
    sensor: opt.SensorName = "auto",
    pan_band: opt.PanBand = None,
    assume_aligned: opt.AssumeAligned = False,
    allow_vrt: opt.AllowVrt = False,
    allow_remote: opt.AllowRemote = False,
    threads: opt.Threads = None,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = 0,
) -> None:
    """Measure fused images against the pair they were made from.

    D_lambda, D_s, QNR, D_lambda_K, HQNR and D_rho, by the definitions that the community's tables use.

    Example: clippan assess hrms.tif --ms ms.tif --pan pan.tif
    """
    from clippan_cli.commands.scene_arguments import scene_options
    from clippan_cli.console import Terminal
    from clippan_cli.tasks import assess as task
    from clippan_cli.tasks.compute import ComputeOptions

    terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
    scene = scene_options(
        [],
        ms,
        pan,
        pan_band=pan_band,
        sensor=sensor,
        coregister="off",
        assume_aligned=assume_aligned,
        allow_vrt=allow_vrt,
        allow_remote=allow_remote,
    )
    options = task.AssessOptions(compute=ComputeOptions(threads=threads), min_qnr=min_qnr)
    with terminal.running() as control:
        report = task.assess(scene, fused, options, control)
    if as_json:
        terminal.json(report.as_json())
    else:
        names = list(report.images[0].metrics)
        rows = [[image.path, *(f"{image.metrics[n]:.4f}" for n in names)] for image in report.images]
        terminal.table("no-reference quality", ["image", *names], rows)
        first = report.images[0]
        terminal.say(
            f"{first.convention} conventions, MTF of {first.sensor}, blocks of 32 pixels; QNR, HQNR: 1 is ideal"
        )
    report.check_gate()
