"""`clippan bench`: compare methods on the scenes of a suite."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Unpack

import typer

from clippan_cli.commands.flags import command
from clippan_cli.console import Terminal
from clippan_cli.options.bench import BenchFlags
from clippan_cli.options.compute import compute_options
from clippan_cli.options.flags import OUTPUT
from clippan_cli.options.scene import path_or_none
from clippan_models.errors import UsageError

if TYPE_CHECKING:
    from clippan_cli.bench.result import BenchResult


@command
def bench(
    terminal: Terminal,
    suite: Annotated[Path, typer.Argument(metavar="SUITE.toml", help="Scenes, methods and indices to compare.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="The folder for images, figures, tables and the page.",
            rich_help_panel=OUTPUT.name,
        ),
    ] = None,
    **flags: Unpack[BenchFlags],
) -> None:
    """Compare methods: run each on every scene of a suite, and write tables as JSON, CSV, Markdown, LaTeX and HTML.

    A suite that was interrupted continues; a run is made again only if its inputs, its options or the version have
    changed. A run that fails does not stop the others.

    Example: clippan bench suites/leaderboard.toml -o bench/
    """
    if output is None:
        raise UsageError("say where to write the results: -o DIR")
    compute_options(flags)  # refuses what is out of range before torch is imported
    results = path_or_none(flags["results"])
    with terminal.running() as control:
        with control.timed("start"):
            from clippan_cli.bench.task import bench as run

        found = run(
            suite,
            output,
            results,
            retry_failed=flags["retry_failed"],
            scheduler=flags["scheduler"],
            compute=flags,
            control=control,
        )
    _show(found, terminal)
    found.check()


def _show(found: BenchResult, terminal: Terminal) -> None:
    if terminal.as_json:
        terminal.json(found.as_json() | {"seconds": found.seconds()})
        return
    from clippan_cli.bench.tables import number
    from clippan_cli.bench.texts import named

    for table in found.tables:
        rows = []
        for line in table.lines:
            cells = [
                "" if cell is None else number(name, cell.mean) + ("*" if cell.place == 1 else " ")
                for name, cell in zip(table.indices, line.cells, strict=True)
            ]
            rows.append([named(line, table), *cells, "" if line.seconds is None else f"{line.seconds:.1f}"])
        terminal.table(f"{found.title}, {table.kind}", ["method", *table.indices, "seconds"], rows)
    for row in found.failed:
        terminal.say(f"failed     {row.method} on {row.scene}: {row.error}")
    if not terminal.quiet:
        terminal.say(f"written    {found.folder}")
