"""Draws the plots of docs/benchmarks.md from its tables, as SVG.

    python docs/plots.py            draw them
    python docs/plots.py --check    draw nothing; name the plots that are out of date, and exit with 1 if there are

They lie in docs/images. A plot shows one number for each row of a table, or several, as dots on one scale.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

DOCS = Path(__file__).resolve().parent
_WIDE, _NAMES, _ROW, _TOP, _BOTTOM = 560, 110, 24, 60, 34
_COLOURS = ("#9aa0a6", "#e07b39", "#3b6fb6", "#1a936f")  # told apart without red and green, on white and on black
_GREY = "#80868b"


@dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes:
        name: of the file.
        title: what is shown, with its unit.
        header: the first cell of the header of the table.
        series: names of the rows whose numbers are the dots; columns are the lines of the plot.
    """

    name: str
    title: str
    header: str
    series: tuple[str, ...]


_SERIES = ("exp", "gsa", "mtf-glp-hpm-r", "clippan")
PLOTS = (
    Plot("accuracy-psnr", "PSNR in dB against truth; right is better", "PSNR", _SERIES),
    Plot("accuracy-sam", "SAM in degrees against truth; left is better", "SAM", _SERIES),
)


def main() -> int:
    """Draw all plots, or check them; returns the exit code."""
    page = (DOCS / "benchmarks.md").read_text()
    check = "--check" in sys.argv[1:]
    stale = 0
    for plot in PLOTS:
        file, drawn = DOCS / "images" / f"{plot.name}.svg", draw(plot, page)
        if not file.exists() or file.read_text() != drawn:
            stale += 1
            print(f"{file.name} {'is out of date: run python docs/plots.py' if check else 'drawn'}")
            if not check:
                file.write_text(drawn)
    return int(check and stale > 0)


def draw(plot: Plot, page: str) -> str:
    """The plot of a table of a page, as SVG."""
    lines, dots = _numbers(plot, page)
    low, high = min(min(of) for of in dots.values()), max(max(of) for of in dots.values())
    step = next(each for each in (0.5, 1, 2, 5, 10, 20) if (high - low) / each <= 8)
    first, last = step * (low // step), step * -(-high // step)

    def across(value: float) -> float:
        return _NAMES + (value - first) / (last - first) * (_WIDE - _NAMES - 30)

    tall = _TOP + _ROW * len(lines) + _BOTTOM
    end = tall - _BOTTOM
    parts = [_text(0, 16, plot.title, weight="bold")]
    parts += [_legend(number, name) for number, name in enumerate(plot.series)]
    ticks = [first + step * number for number in range(round((last - first) / step) + 1)]
    parts += [f'<path d="M{across(tick):.1f} {_TOP - 8}V{end}" stroke="{_GREY}" opacity=".35"/>' for tick in ticks]
    parts += [_text(across(tick), end + 20, f"{tick:g}", anchor="middle") for tick in ticks]
    for row, line in enumerate(lines):
        y = _TOP + _ROW * (row + 0.5)
        parts.append(_text(_NAMES - 14, y + 4, line, anchor="end"))
        parts += [_dot(across(dots[name][row]), y, number) for number, name in enumerate(plot.series)]
    style = f"font: 13px system-ui, sans-serif; fill: {_GREY}"
    size = f'width="{_WIDE}" height="{tall}" viewBox="0 0 {_WIDE} {tall}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} style="{style}">'
    return "\n".join([head, f"<title>{escape(plot.title)}</title>", *parts, "</svg>\n"])


def _numbers(plot: Plot, page: str) -> tuple[list[str], dict[str, list[float]]]:
    """The columns of the table, and the numbers of each series in them."""
    table = re.search(rf"^\| {plot.header} \|(.*)\|\n\|[-|]+\n((?:\|.*\n)+)", page, re.MULTILINE)
    if table is None:
        raise SystemExit(f"docs/benchmarks.md has no table that begins with {plot.header}")
    rows = [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in table[2].splitlines()]
    numbers = {row[0]: list(map(float, row[1:])) for row in rows}
    return [name.strip() for name in table[1].split("|")], {name: numbers[name] for name in plot.series}


def _legend(number: int, name: str) -> str:
    x = 8 + 130 * number
    return _dot(x, 34, number) + _text(x + 12, 38, name)


def _dot(x: float, y: float, number: int) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:g}" r="5" fill="{_COLOURS[number]}" fill-opacity=".9"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:g}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'


if __name__ == "__main__":
    sys.exit(main())
