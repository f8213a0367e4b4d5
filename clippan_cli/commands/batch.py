"""`clippan batch`: sharpen many pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Unpack

import typer

from clippan_cli.commands.flags import command
from clippan_cli.commands.pairs import ARCHIVE_HELP, found_pairs, show_pairs
from clippan_cli.console import Terminal
from clippan_cli.options.batch import BatchCommandFlags, batch_options, batch_sharpening
from clippan_cli.options.flags import OUTPUT
from clippan_cli.options.scene import path_or_none, read_options
from clippan_models.errors import UsageError

if TYPE_CHECKING:
    from clippan_cli.tasks.batch import BatchResult


@command
def batch(
    terminal: Terminal,
    pairs: Annotated[Path, typer.Argument(metavar="PAIRS", help=ARCHIVE_HELP)],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="The folder for the results.", rich_help_panel=OUTPUT.name),
    ] = None,
    **flags: Unpack[BatchCommandFlags],
) -> None:
    """Sharpen many pairs, each as `clippan sharpen` does with the same options.

    In a folder and its subfolders, MS and PAN are paired by bands, pixel size, location, time and name. A finished
    scene is not processed again unless its inputs, the options or the version have changed. A scene that fails does not
    stop the others.

    Example: clippan batch archive/ -o sharp/
    """
    if output is None and not flags["dry_run"]:
        raise UsageError("say where to write the results: -o DIR")
    folder, report = output or Path(), path_or_none(flags["report"])
    options, read, sharpening = batch_options(folder, flags), read_options(flags), batch_sharpening(folder, flags)
    with terminal.running() as control:
        table = found_pairs(pairs, flags, control)
        found = None
        if not flags["dry_run"]:
            with control.timed("start"):
                from clippan_cli.tasks.batch_report import batch_with_report

            found = batch_with_report(table, read, sharpening, options, report, control)
    if found is None:
        show_pairs(table, terminal)
        return
    _show(found, terminal)
    if report is not None and not terminal.quiet:
        terminal.say(f"report     {report}")
    found.check()


def _show(found: BatchResult, terminal: Terminal) -> None:
    if terminal.as_json:
        terminal.json(found.as_json())
        return
    from clippan_cli.running.warnings import codes_of
    from clippan_models.metrics.catalogue import HEADLINE

    rows = []
    for scene in found.scenes:
        values = [
            f"{(scene.record.quality or {})[n]:.4f}" if n in (scene.record.quality or {}) else "" for n in HEADLINE
        ]
        codes = ", ".join(codes_of(scene.record.warnings))
        rows.append([scene.pair.id, scene.outcome, f"{scene.record.seconds:.1f}", *values, codes])
    terminal.table("batch", ["scene", "outcome", "seconds", *HEADLINE, "warnings"], rows)
    for scene in found.failed:
        terminal.say(f"failed     {scene.pair.id}: {scene.record.error}")
    for item in found.unpaired:
        terminal.say(f"half       {item.path}: {item.reason}")
    if terminal.quiet:
        return
    for item in (item for item in found.table.left_out if item not in found.unpaired):
        terminal.say(f"left out   {item.path}: {item.reason}")
