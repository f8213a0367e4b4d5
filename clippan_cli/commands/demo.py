"""`clippan demo`: a scene to try clippan on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clippan_cli import options as opt
from clippan_models.adaptation.options import DEFAULT_PRESET, PRESETS

_STEPS = PRESETS[DEFAULT_PRESET].steps


def demo(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write it.")] = Path("clippan-demo"),
    steps: Annotated[int, typer.Option("--steps", metavar="N", help="Optimiser steps of the network.")] = _STEPS,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo.")] = False,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = 0,
) -> None:
    """Make a georeferenced scene whose truth is known, sharpen it, and say how near the result is.

    Example: clippan demo
    """
    from clippan_cli.console import Terminal
    from clippan_cli.running.options import ComputeOptions
    from clippan_cli.tasks.demo import run_demo
    from clippan_models.adaptation.options import AdaptOptions

    terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
    with terminal.running() as control:
        result = run_demo(
            folder,
            overwrite=overwrite,
            adapt=AdaptOptions(steps=steps),
            compute=ComputeOptions(device=device, threads=threads),
            control=control,
        )
    if as_json:
        terminal.json(result.as_json())
        return
    rows = [[name, *(f"{v:.2f}" for v in scores.values())] for name, scores in result.scores.items()]
    terminal.table("against the truth", ["image", "PSNR dB", "SAM deg", "ERGAS"], rows)
    terminal.say(f"scene      {result.ms}  {result.pan}")
    terminal.say(f"result     {result.sharpened.output}")
    terminal.say(f"quicklook  {result.sharpened.quicklook}")
