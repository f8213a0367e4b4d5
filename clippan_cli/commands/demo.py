"""`clippan demo`: scenes to try clippan on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Unpack

import typer

from clippan_cli.commands.flags import command
from clippan_cli.console import Terminal
from clippan_cli.options.compute import DeviceFlags, compute_options
from clippan_models.adaptation.options import AdaptOptions
from clippan_models.errors import UsageError

if TYPE_CHECKING:  # needs torch
    from clippan_cli.tasks.demo import DemoResult
    from clippan_cli.tasks.demo_places import DemoPlaces


@command
def demo(
    terminal: Terminal,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write the demo.")] = Path("clippan-demo"),
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Make a synthetic scene instead of the two real places.")
    ] = False,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            metavar="N",
            help=f"Optimiser steps of the network. If not given: 0, or {AdaptOptions.steps} with --synthetic.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo.")] = False,
    **flags: Unpack[DeviceFlags],
) -> None:
    """Sharpen two real places, and show the results beside those of other methods and, for one, the truth.

    Example: clippan demo
    """
    found: DemoResult | DemoPlaces
    compute = compute_options(flags)
    if steps is not None and steps < 0:
        raise UsageError(f"{steps}: must be 0 or more", "steps")
    with terminal.running() as control:
        if synthetic:
            from clippan_cli.tasks.demo import run_demo

            adapt = AdaptOptions(steps=AdaptOptions.steps if steps is None else steps)
            found = run_demo(folder, overwrite=overwrite, adapt=adapt, compute=compute, control=control)
        else:
            from clippan_cli.tasks.demo_places import run_demo_places

            found = run_demo_places(folder, steps=steps or 0, overwrite=overwrite, compute=compute, control=control)
    if terminal.as_json:
        terminal.json(found.as_json())
    else:
        _say(terminal, found)


def _say(terminal: Terminal, found: DemoResult | DemoPlaces) -> None:
    from clippan_cli.tasks.demo import DemoResult

    if isinstance(found, DemoResult):
        _say_scores(terminal, "against the truth", found.scores)
        terminal.say(f"scene      {found.ms}  {found.pan}")
        terminal.say(f"result     {found.sharpened.output}")
        terminal.say(f"quicklook  {found.sharpened.quicklook}")
        return
    for name, place in found.places.items():
        if place.scores:
            _say_scores(terminal, f"{name}, against the truth", place.scores)
    for name, place in found.places.items():
        terminal.say(f"{name:9}  {place.ms}  {place.pan}  {place.images['clippan']}")
    terminal.say(f"picture    {found.picture}")
    terminal.say(f"page       {found.page}")


def _say_scores(terminal: Terminal, title: str, scores: Mapping[str, Mapping[str, float]]) -> None:
    rows = [[name, *(f"{value:.2f}" for value in figures.values())] for name, figures in scores.items()]
    terminal.table(title, ["image", "PSNR dB", "SAM deg", "ERGAS"], rows)
