"""Tables of files: a CSV with named columns, whose cells name files relative to it or by their address."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clippan_cli.scene.files import is_address
from clippan_models.errors import InputError


@dataclass(frozen=True)
class FileRow:
    """A line of a table.

    Attributes:
        table: the CSV file.
        line: number of the line; the header is 1.
        cells: by column.
    """

    table: Path
    line: int
    cells: dict[str, str]

    def text(self, column: str) -> str:
        """What a cell says; empty where there is no such column."""
        return self.cells.get(column, "")

    def files(self, column: str) -> tuple[str, ...]:
        """The files that a cell names, with semicolons between them; none where there is no such column."""
        parts = [part.strip() for part in self.text(column).split(";") if part.strip()]
        return tuple(part if is_address(part) else str(self.table.parent / part) for part in parts)


def read_file_table(path: Path, needed: tuple[str, ...]) -> Iterator[FileRow]:
    """The lines of a table below its header, of which there is at least one; `-` is the standard input.

    Raises:
        InputError: it cannot be read, has none, or lacks a column that is needed.
    """
    try:
        if str(path) == "-":
            rows = list(csv.DictReader(sys.stdin))
        else:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV: {error}") from error
    missing = [column for column in needed if not rows or column not in rows[0]]
    if missing:
        raise InputError(f"{path} has no column {' and no column '.join(missing)}, or no line below its header")
    for line, row in enumerate(rows, start=2):
        yield FileRow(path, line, {column: (cell or "").strip() for column, cell in row.items() if column is not None})
