"""The page of a suite: its tables, charts of them, and the runs that failed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from clippan_cli.bench.result import BenchResult
from clippan_cli.bench.tables import CONFIDENCE, RESAMPLES, Difference, Row, Table, scene_means
from clippan_cli.bench.texts import caption, named
from clippan_cli.pages import content
from clippan_cli.pages.content import BenchContent, Chart, ErrorMaps, Line, Section
from clippan_cli.pages.render import render_bench
from clippan_cli.report.files import write_text
from clippan_models.metrics.catalogue import INDICES, best_of

_MOST_NAMES = 5  # scenes that fit under an axis by name


def write_page(path: Path, found: BenchResult, error_maps: Sequence[ErrorMaps] = ()) -> None:
    """Write the page.

    Args:
        path: of the page.
        found: the figures.
        error_maps: to be shown with them.

    Raises:
        OutputError: it cannot be written.
    """
    sections = [section for table in found.tables for section in _sections(table, found)]
    page = BenchContent(
        title=found.title,
        sections=tuple(sections),
        error_maps=tuple(error_maps),
        failed=tuple((f"{row.method} on {row.scene}", row.error) for row in found.failed),
        data=found.as_json(),
    )
    write_text(path, render_bench(page))


def _sections(table: Table, found: BenchResult) -> list[Section]:
    rows = [row for row in found.rows if row.kind == table.kind]
    of_kind = [each for each in found.differences if each.kind == table.kind]
    sections = [
        Section(f"Scenes {table.kind}", (caption(table), _ARROWS), table=_shown(table)),
        Section("Quality against time", (_TIME,), tuple(_against_time(table, at) for at in range(len(table.indices)))),
        Section("Scene by scene", _scene_text(rows), tuple(_by_scene(table, rows, name) for name in table.indices)),
    ]
    if of_kind:
        charts = [_intervals(table, of_kind, name) for name in table.indices]
        folded = tuple((name, _differences([d for d in of_kind if d.index == name])) for name in table.indices)
        text = (
            f"The mean difference to {of_kind[0].against} over the scenes that both have, with its "
            f"{CONFIDENCE:.0%} confidence interval: percentiles of {RESAMPLES} bootstrap samples of the scenes.",
        )
        drawn = tuple(chart for chart in charts if chart is not None)
        sections.append(Section(f"Differences to {of_kind[0].against}", text, drawn, folded=folded))
    return sections


_ARROWS = "↑ higher is better, ↓ lower is better; ✓ marks the best mean of the methods that have all scenes."
_TIME = "The mean of each method against the mean time of its runs, on a logarithmic axis."


def _head(name: str) -> str:
    return f"{name} {'↑' if INDICES[name].higher_is_better else '↓'}"


def _shown(table: Table) -> content.Table:
    nan = math.nan
    rows = tuple(
        (
            named(line, table),
            (*(cell.mean if cell else nan for cell in line.cells), nan if line.seconds is None else line.seconds),
        )
        for line in table.lines
    )
    best = []
    for at, name in enumerate(table.indices):
        complete = [line.cells[at] if line.scenes == table.scenes else None for line in table.lines]
        best.append(best_of(name, [cell.mean if cell else nan for cell in complete]))
    return content.Table(("method", *map(_head, table.indices), "seconds"), rows, (*best, None))


def _against_time(table: Table, at: int) -> Chart:
    name = table.indices[at]
    lines = [
        Line(line.method, (math.log10(line.seconds),), (cell.mean,))
        for line in table.lines
        if line.seconds and (cell := line.cells[at]) is not None
    ]
    seconds = [10 ** line.x[0] for line in lines]
    ticks = _decades(min(seconds), max(seconds)) if seconds else ()
    alt = "; ".join(f"{line.label} {line.y[0]:.4g} in {10 ** line.x[0]:.3g} s" for line in lines)
    title = f"{_head(name)} against seconds"
    return Chart(title, f"{title}: {alt}", "seconds", name, tuple(lines), from_zero=False, x_ticks=ticks, dots=True)


def _decades(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Ticks of a logarithmic axis: 1, 2 and 5 of each decade within reach of the values."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    values = [factor * 10.0**power for power in range(first, last + 1) for factor in (1, 2, 5)]
    return tuple((math.log10(v), f"{v:g}") for v in values if low * 0.99 <= v <= high * 1.01)


def _scene_text(rows: Sequence[Row]) -> tuple[str, ...]:
    scenes = list(dict.fromkeys(row.scene for row in rows))
    if len(scenes) <= _MOST_NAMES:
        return ("Each dot is the mean over the seeds.",)
    listed = ", ".join(f"{number} {name}" for number, name in enumerate(scenes, start=1))
    return ("Each dot is the mean over the seeds.", f"Scenes: {listed}.")


def _by_scene(table: Table, rows: Sequence[Row], name: str) -> Chart:
    scenes = list(dict.fromkeys(row.scene for row in rows))
    at = {scene: float(number) for number, scene in enumerate(scenes, start=1)}
    lines = []
    for line in table.lines:
        means = scene_means(rows, line.method, name)
        lines.append(Line(line.method, tuple(at[scene] for scene in means), tuple(means.values())))
    ticks = tuple((x, scene) for scene, x in at.items()) if len(scenes) <= _MOST_NAMES else ()
    title = f"{_head(name)} by scene"
    return Chart(title, title, "scene", name, tuple(lines), from_zero=False, x_ticks=ticks, dots=True)


def _intervals(table: Table, found: Sequence[Difference], name: str) -> Chart | None:
    """A vertical bar from the lower to the upper end of each interval, and a line at no difference."""
    shown = [d for d in found if d.index == name and d.low is not None and d.high is not None]
    if not shown:
        return None
    bars = [
        Line(d.method, (float(x),) * 3, (d.low or 0.0, d.mean, d.high or 0.0)) for x, d in enumerate(shown, start=1)
    ]
    none = Line("no difference", (0.5, len(shown) + 0.5), (0.0, 0.0))
    ticks = tuple((float(x), d.method) for x, d in enumerate(shown, start=1)) if len(shown) <= _MOST_NAMES else ()
    alt = "; ".join(f"{d.method} {d.mean:.4g}, {d.low:.4g} to {d.high:.4g}" for d in shown)
    title = f"{_head(name)}, difference to {shown[0].against}"
    return Chart(title, f"{title}: {alt}", "method", name, (*bars, none), from_zero=False, x_ticks=ticks)


def _differences(found: Sequence[Difference]) -> content.Table:
    def known(value: float | None) -> float:
        return math.nan if value is None else value

    rows = tuple((d.method, (d.mean, known(d.low), known(d.high), float(d.scenes))) for d in found)
    return content.Table(("method", "mean difference", "from", "to", "scenes"), rows)
