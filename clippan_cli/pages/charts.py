"""The geometry of charts: from values to positions on an SVG, which `templates/charts.html.jinja` writes out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clippan_cli.pages.content import Chart, Density, Figure, Line, Vectors
from clippan_cli.pages.pictures import png, viridis

_WIDTH, _HEIGHT, _SQUARE_HEIGHT = 460, 280, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 22, 12, 44
_DECADES = 7  # of a logarithmic axis, from the largest value down

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#b2a400")
"""Okabe and Ito's colours, which people with any kind of colour vision tell apart."""

_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "1 2", "12 4", "6 2 1 2 1 2")
"""A pattern for each colour: the lines differ in black and white prints too."""

_SHAPES = ("circle", "square", "diamond")
"""Of dots: once all colours are taken, they come again in the next shape."""


@dataclass(frozen=True)
class Tick:
    """A grid line at `at` and its text; with `exponent`, the text is a base."""

    at: float
    text: str
    exponent: str = ""


class Axes:
    """The box of a chart, its ticks, and where values lie on the SVG."""

    left, right, top = _LEFT, _WIDTH - _RIGHT, _TOP

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        log_y: bool = False,
        height: int = _HEIGHT,
        x_names: Sequence[tuple[float, str]] = (),
    ) -> None:
        self.bottom, self.log_y, self._x = height - _BOTTOM, log_y, _widened(x)
        self._y = _widened((math.log10(y[0]), math.log10(y[1])) if log_y else y)
        named = x_names or [(value, _tick_text(value)) for value in _round_values(*self._x)]
        self.x_ticks = [Tick(self.px(value), name) for value, name in named]
        if log_y:
            self.y_ticks = [Tick(self.py(10**value), "10", f"{value:g}") for value in _round_values(*self._y)]
        else:
            self.y_ticks = [Tick(self.py(value), _tick_text(value)) for value in _round_values(*self._y)]

    def px(self, value: float) -> float:
        """The horizontal position of a value."""
        share = (value - self._x[0]) / (self._x[1] - self._x[0])
        return round(self.left + share * (self.right - self.left), 2)

    def py(self, value: float) -> float:
        """The vertical position of a value; outside the box it stays near the border."""
        at = math.log10(max(value, 1e-300)) if self.log_y else value
        share = min(max((at - self._y[0]) / (self._y[1] - self._y[0]), -0.02), 1.02)
        return round(self.bottom - share * (self.bottom - self.top), 2)


@dataclass(frozen=True)
class Stroke:
    """A line: its points in the notation of SVG, and its style; or dots, and their shape."""

    label: str
    points: str
    colour: str
    dash: str
    shape: str


@dataclass(frozen=True)
class Drawing:
    """A figure in the units of its SVG.

    Attributes:
        figure: what is drawn.
        width: of the SVG.
        height: of the SVG.
        axes: None where there are none.
        marks: named vertical lines.
        strokes: lines.
        pixels: address of a picture that fills the box of the axes, or None.
        arrows: (x, y) of tail and head.
        unit: length of an arrow of one pixel.
    """

    figure: Figure
    width: float
    height: float
    axes: Axes | None = None
    marks: tuple[Tick, ...] = ()
    strokes: tuple[Stroke, ...] = ()
    pixels: str | None = None
    arrows: tuple[tuple[float, float, float, float], ...] = ()
    unit: float = 0.0


def draw(figure: Figure) -> Drawing | None:
    """Lay out a figure; None where nothing in it can be drawn."""
    match figure:
        case Chart():
            return _draw_lines(figure)
        case Density():
            return _draw_density(figure)
        case Vectors():
            return _draw_vectors(figure)


def _draw_lines(chart: Chart) -> Drawing | None:
    xs = [v for line in chart.lines for v in line.x if math.isfinite(v)]
    ys = [v for line in chart.lines for v in line.y if math.isfinite(v) and (v > 0 or not chart.log_y)]
    if not xs or not ys:
        return None
    low = min(0.0, *ys) if chart.from_zero else min(ys)
    if chart.log_y:
        low = max(min(ys), max(ys) / 10**_DECADES)
    margin = 0.06 * (max(xs) - min(xs)) if chart.x_ticks else 0.0
    x = (min(xs) - margin, max(xs) + margin)
    axes = Axes(x, (low, max(ys)), log_y=chart.log_y, x_names=chart.x_ticks)
    marks = tuple(Tick(axes.px(at), name) for at, name in chart.marks)
    strokes = tuple(_stroke(line, number, axes, steps=chart.steps) for number, line in enumerate(chart.lines))
    return Drawing(chart, _WIDTH, _HEIGHT, axes, marks, strokes)


def _stroke(line: Line, number: int, axes: Axes, *, steps: bool) -> Stroke:
    points = []
    last = None
    for x, y in zip(line.x, line.y, strict=True):
        if not math.isfinite(y) or (axes.log_y and y <= 0):
            continue
        at = (axes.px(x), axes.py(y))
        if steps and last is not None:
            points.append(f"{at[0]:g},{last:g}")
        points.append(f"{at[0]:g},{at[1]:g}")
        last = at[1]
    again, style = divmod(number, len(_COLOURS))
    shape = _SHAPES[again % len(_SHAPES)]
    return Stroke(line.label, " ".join(points), _COLOURS[style], _DASHES[style], shape)


def _draw_density(density: Density) -> Drawing:
    axes = Axes(density.x_range, density.y_range, height=_SQUARE_HEIGHT)
    counts = np.log1p(density.counts)
    colours = viridis(np.where(density.counts > 0, counts, np.nan), 0.0, float(counts.max()) or 1.0)[::-1]
    return Drawing(density, _WIDTH, _SQUARE_HEIGHT, axes, pixels=png(colours))


def _draw_vectors(vectors: Vectors) -> Drawing:
    columns, rows = vectors.size
    scale = _WIDTH / columns
    unit = vectors.scale * scale
    arrows = tuple(
        (column * scale, row * scale, column * scale + right * unit, row * scale + down * unit)
        for column, row, right, down in vectors.places
    )
    return Drawing(vectors, _WIDTH, max(120, round(_WIDTH * rows / columns)), arrows=arrows, unit=unit)


def _widened(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _round_values(low: float, high: float) -> list[float]:
    """About five round numbers from `low` to `high`."""
    step = 10 ** math.floor(math.log10((high - low) / 4))
    for factor in (1, 2, 5, 10):
        if (high - low) / (step * factor) <= 6:
            step *= factor
            break
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _tick_text(value: float) -> str:
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        return f"{value:.0e}".replace("e+0", "e").replace("e-0", "e-")
    return f"{value:.4g}"
