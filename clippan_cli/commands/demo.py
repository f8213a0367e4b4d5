"""`clippan demo`: a scene to try clippan on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Unpack

import typer

from clippan_cli.commands.flags import command
from clippan_cli.console import Terminal
from clippan_cli.options.compute import DeviceFlags, compute_options
from clippan_models.adaptation.options import AdaptOptions


@command
def demo(
    terminal: Terminal,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write the demo.")] = Path("clippan-demo"),
    steps: Annotated[
        int, typer.Option("--steps", metavar="N", help="Optimiser steps of the network.")
    ] = AdaptOptions.steps,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo.")] = False,
    **flags: Unpack[DeviceFlags],
) -> None:
    """Make a georeferenced scene whose truth is known, sharpen it, and compare the result with the truth.

    Example: clippan demo
    """
    from clippan_cli.tasks.demo import run_demo

    with terminal.running() as control:
        result = run_demo(
            folder,
            overwrite=overwrite,
            adapt=AdaptOptions(steps=steps),
            compute=compute_options(flags),
            control=control,
        )
    if terminal.as_json:
        terminal.json(result.as_json())
        return
    rows = [[name, *(f"{v:.2f}" for v in scores.values())] for name, scores in result.scores.items()]
    terminal.table("against the truth", ["image", "PSNR dB", "SAM deg", "ERGAS"], rows)
    terminal.say(f"scene      {result.ms}  {result.pan}")
    terminal.say(f"result     {result.sharpened.output}")
    terminal.say(f"quicklook  {result.sharpened.quicklook}")
