"""Tables as CSV, whose cells no spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import Any

_FORMULA = re.compile(r"[=+\-@\t\uff1d\uff0b\uff0d\uff20]")
"""How cells begin that a spreadsheet would compute, in full width, too."""
_LINE_BREAKS = re.compile(r"[\r\n]+")


def table_text(rows: Iterable[Iterable[Any]]) -> str:
    """Rows as CSV of a line each; an apostrophe goes before what looks like a formula and is no number."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([_harmless(_LINE_BREAKS.sub(" ", str(cell))) for cell in row] for row in rows)
    return out.getvalue()


def _harmless(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) and not _is_number(cell) else cell


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
