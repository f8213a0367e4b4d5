"""Tables of a suite as Markdown and as LaTeX: the best figure of each index bold, the second underlined."""

from __future__ import annotations

import re
from collections.abc import Callable

from clippan_cli.bench.tables import Cell, Line, Table, number
from clippan_models.metrics.catalogue import INDICES

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",  # the usual fonts of LaTeX have other letters in these places
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # at the beginning of a row, it and the star would belong to the end of the row before
    "*": "{*}",
    "λ": r"$\lambda$",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|])")


def markdown_table(table: Table, title: str) -> str:
    """A table in Markdown under a heading."""
    heads = ["method", *(f"{_markdown(name)} {_arrow(name, '↑', '↓')}" for name in table.indices), "seconds"]
    rows = [_row(line, table, _markdown, "±", _marked_markdown) for line in table.lines]
    body = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return (
        f"## {_markdown(title)}, {table.kind}\n\n{caption(table)}\n\n"
        f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|\n{body}\n"
    )


def latex_table(table: Table, title: str) -> str:
    """A table in LaTeX, for the package booktabs."""
    heads = [
        "Method",
        *(f"{latex_text(name)} ${_arrow(name, chr(92) + 'uparrow', chr(92) + 'downarrow')}$" for name in table.indices),
        "Seconds",
    ]
    rows = [_row(line, table, latex_text, r"$\pm$", _marked_latex) for line in table.lines]
    body = "\n".join(f"{' & '.join(row)} \\\\" for row in rows)
    return (
        "% \\usepackage{booktabs}\n"
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{latex_text(title)}, {table.kind}. {latex_text(caption(table))}}}\n"
        f"\\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}\n\\toprule\n"
        f"{' & '.join(heads)} \\\\\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
    )


def caption(table: Table) -> str:
    """What the figures are."""
    aligned = " Images were moved to where the truth lies, by less than a pixel." if table.aligned else ""
    if table.scenes > 1:
        return (
            f"Mean and standard deviation over {table.scenes} scenes; of each scene, the mean over the seeds.{aligned}"
        )
    return f"One scene; mean and standard deviation over the seeds.{aligned}"


def latex_text(text: str) -> str:
    """A text with what LaTeX would take for a command escaped."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def named(line: Line, table: Table) -> str:
    """The name of a method, and on how many scenes it was measured where that is not all."""
    return line.method if line.scenes == table.scenes else f"{line.method} ({line.scenes} of {table.scenes} scenes)"


def _row(
    line: Line, table: Table, text: Callable[[str], str], plus_minus: str, marked: Callable[[str, int | None], str]
) -> list[str]:
    cells = [
        "--" if cell is None else marked(_figure(name, cell, plus_minus), cell.place)
        for name, cell in zip(table.indices, line.cells, strict=True)
    ]
    return [text(named(line, table)), *cells, "--" if line.seconds is None else f"{line.seconds:.1f}"]


def _figure(name: str, cell: Cell, plus_minus: str) -> str:
    spread = "" if cell.deviation is None else f" {plus_minus} {number(name, cell.deviation)}"
    return number(name, cell.mean) + spread


def _marked_markdown(text: str, place: int | None) -> str:
    return {1: f"**{text}**", 2: f"<u>{text}</u>"}.get(place or 0, text)


def _marked_latex(text: str, place: int | None) -> str:
    return {1: f"\\textbf{{{text}}}", 2: f"\\underline{{{text}}}"}.get(place or 0, text)


def _arrow(name: str, up: str, down: str) -> str:
    return up if INDICES[name].higher_is_better else down


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)
