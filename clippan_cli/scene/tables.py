"""Tables of files: a CSV with named columns, whose cells name files relative to it or by their address."""

from __future__ import annotations

import csv
import io
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clippan_cli.scene.files import is_address
from clippan_models.errors import InputError
from clippan_models.outside import LARGEST_TEXT, read_text, too_large

MOST_ROWS = 200_000
"""Scenes in one table."""


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
        lines = filter(None, csv.reader(io.StringIO(_text(path), newline="")))
        header, rows = next(lines, []), list(itertools.islice(lines, MOST_ROWS + 1))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV: {error}") from error
    missing = [column for column in needed if not rows or column not in header]
    if missing:
        raise InputError(f"{path} has no column {' and no column '.join(missing)}, or no line below its header")
    if len(rows) > MOST_ROWS:
        raise InputError(f"{path} has more than {MOST_ROWS:,} lines; clippan reads no more: cut it into several files")
    for line, row in enumerate(rows, start=2):
        yield FileRow(path, line, {column: cell.strip() for column, cell in zip(header, row, strict=False)})


def _text(path: Path) -> str:
    if str(path) != "-":
        return read_text(path, "CSV")
    text = sys.stdin.read(LARGEST_TEXT + 1)
    if len(text) > LARGEST_TEXT:
        raise too_large(path, "CSV", LARGEST_TEXT)
    return text
