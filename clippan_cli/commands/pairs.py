"""The pairs of an archive: looked for, written as a table, printed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clippan_cli.options.batch import PairsFlags
from clippan_cli.options.flags import filled
from clippan_cli.options.output import OverwriteFlag
from clippan_cli.options.scene import path_or_none, trust

if TYPE_CHECKING:
    from clippan_cli.console import Terminal
    from clippan_cli.running.control import Control
    from clippan_cli.scene.files import PairTable

ARCHIVE_HELP = "A folder with rasters, a CSV file with ms,pan[,id] (- for standard input), or a STAC JSON file."


def found_pairs(archive: Path, flags: Mapping[str, Any], control: Control, *, write: bool = True) -> PairTable:
    """The pairs of an archive, also written as a table where that is asked for.

    Raises:
        InputError: there is no pair.
        OutputError: the table cannot be written.
    """
    from clippan_cli.products.finding import find_scenes
    from clippan_cli.report.files import write_text
    from clippan_cli.writing.path import check_output_path

    table = find_scenes(archive, trust(flags), control)
    path = path_or_none(filled(PairsFlags, flags)["pairs_out"])
    if path is not None and write:
        check_output_path(path, [], filled(OverwriteFlag, flags)["overwrite"])
        write_text(path, table.as_csv())
    return table


def show_pairs(table: PairTable, terminal: Terminal) -> None:
    """Print the pairs, and the files that are left out with the reason."""
    if terminal.as_json:
        terminal.json(table.as_json())
        return
    for pair in table.pairs:
        terminal.say(f"{pair.id}: {', '.join(pair.ms)} + {', '.join(pair.pans)} ({pair.reason})")
    for item in table.left_out:
        terminal.say(f"left out   {item.path}: {item.reason}")
    terminal.say(f"{len(table.pairs)} pairs, {len(table.left_out)} files left out")
