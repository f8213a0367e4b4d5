"""Figures of a suite: the mean and the deviation of each method, which is best, and differences between two methods."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clippan_cli.bench.runs import Kind, Record, Run
from clippan_models.metrics.catalogue import INDICES

RESAMPLES, CONFIDENCE = 10_000, 0.95
_SEED = 0


@dataclass(frozen=True)
class Row:
    """The figures of one run.

    Attributes:
        scene: its name.
        method: its name in the tables.
        seed: None where nothing is drawn at random.
        kind: of the table.
        metrics: every index by name; None where it is no finite number; empty where the run failed.
        seconds: of the method, or None.
        warnings: codes of what is doubtful.
        error: why it failed; empty where it did not.
        packages: of others that had a part in the image, with their versions.
    """

    scene: str
    method: str
    seed: int | None
    kind: Kind
    metrics: Mapping[str, float | None]
    seconds: float | None
    warnings: tuple[str, ...] = ()
    error: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)


def row_of(run: Run, record: Record) -> Row:
    """The figures of a run by its record."""
    named = run.scene.name, run.method, run.seed, run.kind
    return Row(*named, record.metrics, record.seconds, record.warnings, record.error, record.packages)


@dataclass(frozen=True)
class Cell:
    """The mean of a method, its standard deviation (N - 1), and its place among the methods: 1, 2, or none."""

    mean: float
    deviation: float | None
    place: int | None = None


@dataclass(frozen=True)
class Line:
    """A method in a table.

    Attributes:
        method: its name.
        cells: one for each index; None where it was not measured.
        seconds: mean of the runs, or None.
        scenes: of which it has figures.
    """

    method: str
    cells: tuple[Cell | None, ...]
    seconds: float | None
    scenes: int


@dataclass(frozen=True)
class Table:
    """All methods on the scenes of one kind.

    Attributes:
        kind: with truth, or without.
        indices: names of the columns.
        lines: the methods, in the order of the suite.
        scenes: how many there are.
        aligned: images were moved to where the truth lies before they were compared with it.
    """

    kind: Kind
    indices: tuple[str, ...]
    lines: tuple[Line, ...]
    scenes: int
    aligned: bool = False


@dataclass(frozen=True)
class Difference:
    """How a method differs from the first one, scene by scene.

    Attributes:
        kind: of the scenes.
        method: that is compared.
        against: the first one.
        index: what is compared.
        scenes: that both have.
        mean: of the method minus the first one.
        low: of the confidence interval; None with fewer than two scenes.
        high: of the same.
    """

    kind: Kind
    method: str
    against: str
    index: str
    scenes: int
    mean: float
    low: float | None
    high: float | None


def table_of(kind: Kind, rows: Sequence[Row], names: Sequence[str]) -> Table | None:
    """The table of one kind; None where there is no scene of it, or no index for it."""
    rows = [row for row in rows if row.kind == kind]
    indices = tuple(name for name in names if (INDICES[name].family == "reference") == (kind == "with truth"))
    if not rows or not indices:
        return None
    methods = tuple(dict.fromkeys(row.method for row in rows))
    count = len({row.scene for row in rows})
    lines = [_line([row for row in rows if row.method == method], method, indices) for method in methods]
    columns = [
        _placed(name, [line.cells[at] if line.scenes == count else None for line in lines])
        for at, name in enumerate(indices)
    ]
    placed = [
        Line(
            line.method,
            tuple(columns[at][number] or cell for at, cell in enumerate(line.cells)),
            line.seconds,
            line.scenes,
        )
        for number, line in enumerate(lines)
    ]
    return Table(kind, indices, tuple(placed), count)


def scene_means(rows: Sequence[Row], method: str, index: str) -> dict[str, float]:
    """The mean over the seeds of each scene, by its name; scenes without a figure are left out."""
    values: dict[str, list[float]] = {}
    for row in rows:
        value = row.metrics.get(index)
        if row.method == method and value is not None:
            values.setdefault(row.scene, []).append(value)
    return {scene: statistics.fmean(found) for scene, found in values.items()}


def differences(kind: Kind, rows: Sequence[Row], names: Sequence[str]) -> tuple[Difference, ...]:
    """Each method against the first one, with the confidence interval of the mean over the scenes."""
    table = table_of(kind, rows, names)
    if table is None:
        return ()
    rows = [row for row in rows if row.kind == kind]
    first, *others = [line.method for line in table.lines]
    found = []
    for method in others:
        for index in table.indices:
            one, other = (scene_means(rows, name, index) for name in (method, first))
            common = [scene for scene in one if scene in other]
            if common:
                paired = np.array([one[scene] - other[scene] for scene in common])
                low, high = bootstrap_mean(paired) if len(common) > 1 else (None, None)
                found.append(Difference(kind, method, first, index, len(common), float(paired.mean()), low, high))
    return tuple(found)


def bootstrap_mean(values: NDArray[np.float64]) -> tuple[float, float]:
    """The confidence interval of a mean: percentiles of samples drawn with replacement, which are always the same."""
    random = np.random.default_rng(_SEED)
    means = values[random.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def number(index: str, value: float) -> str:
    """A figure as tables have it: four decimal places, or two where it has a unit."""
    return f"{value:.{2 if INDICES[index].unit else 4}f}"


def _line(rows: Sequence[Row], method: str, indices: Sequence[str]) -> Line:
    seconds = [row.seconds for row in rows if row.seconds is not None and not row.error]
    return Line(
        method,
        tuple(_cell(rows, method, index) for index in indices),
        statistics.fmean(seconds) if seconds else None,
        len({row.scene for row in rows if row.metrics}),
    )


def _cell(rows: Sequence[Row], method: str, index: str) -> Cell | None:
    """The mean over the scenes, and the deviation over them; with one scene, over its seeds."""
    means = list(scene_means(rows, method, index).values())
    if not means:
        return None
    spread = means if len(means) > 1 else [v for row in rows if (v := row.metrics.get(index)) is not None]
    return Cell(statistics.fmean(means), statistics.stdev(spread) if len(spread) > 1 else None)


def _placed(index: str, cells: Sequence[Cell | None]) -> list[Cell | None]:
    """The cells with the best and the second marked; figures that read alike have one place."""
    read = {float(number(index, cell.mean)) for cell in cells if cell is not None}
    best = sorted(read, reverse=INDICES[index].higher_is_better)[:2]
    places = {value: place for place, value in enumerate(best, start=1)}
    return [cell and Cell(cell.mean, cell.deviation, places.get(float(number(index, cell.mean)))) for cell in cells]
