"""`clippan adapt`: learn from an archive of one sensor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Unpack

import typer

from clippan_cli.commands.flags import command
from clippan_cli.commands.pairs import ARCHIVE_HELP, found_pairs, show_pairs
from clippan_cli.console import Terminal
from clippan_cli.options.adapt import AdaptCommandFlags, archive_options
from clippan_cli.options.flags import OUTPUT
from clippan_cli.options.scene import path_or_none, read_options
from clippan_models.errors import UsageError

if TYPE_CHECKING:
    from clippan_cli.training.result import ArchiveResult, Validation


@command
def adapt(
    terminal: Terminal,
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help=ARCHIVE_HELP)],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE.safetensors", help="The weights to write.", rich_help_panel=OUTPUT.name
        ),
    ] = None,
    **flags: Unpack[AdaptCommandFlags],
) -> None:
    """Train weights on an archive of one sensor, which then sharpen its scenes without learning on each of them.

    Pairs are found as in `clippan batch`. Every fifth scene is held out for validation, which chooses the best
    step. An interrupted training continues with --resume.

    Example: clippan adapt archive/ -o sensor.safetensors
    """
    from clippan_cli.running.control import Control
    from clippan_cli.running.distributed import is_first

    if output is None and not flags["dry_run"]:
        raise UsageError("say where to write the weights: -o FILE.safetensors")
    read, options = read_options(flags), archive_options(output or Path("sensor.safetensors"), flags)
    report, speaks = path_or_none(flags["report"]), is_first()  # of several processes that torchrun has started
    terminal.quiet = terminal.quiet or not speaks
    with terminal.running() as control:
        if not speaks:
            control.on_warning = Control().on_warning
        table = found_pairs(archive, flags, control, write=speaks)
        if report is not None:
            from clippan_cli.training.page import check_adapt_report

            check_adapt_report(report, archive, table, options)
        found = None
        if not flags["dry_run"]:
            with control.timed("start"):
                from clippan_cli.tasks.adapt import adapt_archive

            found = adapt_archive(table, read, options, control)
    if not speaks:
        return
    if found is None:
        show_pairs(table, terminal)
        return
    _show(found, terminal)
    if report is not None:
        from clippan_cli.training.page import write_adapt_report

        with terminal.running() as control:
            write_adapt_report(report, archive, table, found, options, control)
        if not terminal.quiet:
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
    terminal.table("loss of held-out scenes", ["scene", "before", "after"], rows)
    if found.validation is not None:
        _show_validation(found.validation, terminal)
    for item in found.left_out:
        terminal.say(f"left out   {item.path}: {item.reason}")
    terminal.say(f"scenes     {len(found.learned_from)} learned from, {found.patches} patches in total")
    terminal.say(
        f"adapted    {adapted.steps} steps in {adapted.seconds:.0f} s, best checkpoint at step {adapted.best_step}"
    )
    terminal.say(f"result     {found.output}")


def _show_validation(found: Validation, terminal: Terminal) -> None:
    from clippan_cli.training.result import ALL
    from clippan_models.metrics.catalogue import INDICES

    best = found.best
    rows = [
        [one.method, *(f"{one.metrics[n]:.4f}{'*' if best.get(n) == one.method else ' '}" for n in ALL)]
        for one in found.mean
    ]
    heads = [f"{name} {'↑' if INDICES[name].higher_is_better else '↓'}" for name in ALL]
    if rows:
        terminal.table("mean quality: full resolution on the left, Wald's protocol on the right", ["", *heads], rows)
    terminal.say(f"measured   {found.measured}; * best; learned: the new weights, without a step on the scene")
    for item in found.left_out:
        terminal.say(f"unmeasured {item.path}: {item.reason}")
