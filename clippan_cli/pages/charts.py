"""Charts as SVG: lines, densities and displacements, readable in light, dark and on paper."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from clippan_cli.pages.content import Chart, Density, Line, Vectors
from clippan_cli.pages.html import Markup, join, tag
from clippan_cli.pages.pictures import LINE_COLOURS, LINE_DASHES, png, viridis, viridis_stops

_WIDTH, _HEIGHT = 460, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 22, 12, 44
_DECADES = 7  # of a logarithmic axis, from the largest value down


class _Axes:
    """From values to places on the sheet."""

    def __init__(
        self, x: tuple[float, float], y: tuple[float, float], log_y: bool = False, size: tuple[int, int] | None = None
    ) -> None:
        self.width, self.height = size or (_WIDTH, _HEIGHT)
        self.x, self.log_y = _opened(x), log_y
        self.y = _opened((math.log10(y[0]), math.log10(y[1])) if log_y else y)

    def px(self, value: float) -> float:
        share = (value - self.x[0]) / (self.x[1] - self.x[0])
        return round(_LEFT + share * (self.width - _LEFT - _RIGHT), 2)

    def py(self, value: float) -> float:
        at = math.log10(max(value, 1e-300)) if self.log_y else value
        share = min(max((at - self.y[0]) / (self.y[1] - self.y[0]), -0.02), 1.02)
        return round(self.height - _BOTTOM - share * (self.height - _TOP - _BOTTOM), 2)

    def draw(self, x_label: str, y_label: str, x_ticks: Sequence[tuple[float, str]] = ()) -> list[Markup]:
        parts = []
        bottom, right = self.height - _BOTTOM, self.width - _RIGHT
        for value, name in x_ticks or [(v, _tick(v)) for v in _round_values(*self.x)]:
            at = self.px(value)
            parts.append(tag("line", x1=at, x2=at, y1=_TOP, y2=bottom, class_="grid"))
            parts.append(tag("text", name, x=at, y=bottom + 16, text_anchor="middle"))
        for value in _round_values(*self.y):
            at = self.py(10**value if self.log_y else value)
            shown = join("10", tag("tspan", f"{value:g}", dy=-5, font_size=9)) if self.log_y else _tick(value)
            parts.append(tag("line", x1=_LEFT, x2=right, y1=at, y2=at, class_="grid"))
            parts.append(tag("text", shown, x=_LEFT - 6, y=at + 4, text_anchor="end"))
        parts.append(
            tag("text", x_label, x=(_LEFT + right) / 2, y=self.height - 8, text_anchor="middle", class_="axis")
        )
        middle = (_TOP + bottom) / 2
        turn = f"rotate(-90 14 {middle:g})"
        parts.append(tag("text", y_label, x=14, y=middle, text_anchor="middle", transform=turn, class_="axis"))
        return parts


def line_chart(chart: Chart) -> Markup:
    """A chart of lines with its legend."""
    xs = [v for line in chart.lines for v in line.x if math.isfinite(v)]
    ys = [v for line in chart.lines for v in line.y if math.isfinite(v) and (v > 0 or not chart.log_y)]
    if not xs or not ys:
        return tag("p", "nothing to draw", class_="muted")
    low = min(0.0, *ys) if chart.from_zero else min(ys)
    if chart.log_y:
        low = max(min(ys), max(ys) / 10**_DECADES)
    margin = 0.06 * (max(xs) - min(xs)) if chart.x_ticks else 0.0
    axes = _Axes((min(xs) - margin, max(xs) + margin), (low, max(ys)), chart.log_y)
    parts = axes.draw(chart.x_label, chart.y_label, chart.x_ticks)
    for at, name in chart.marks:
        place = axes.px(at)
        parts.append(tag("line", x1=place, x2=place, y1=_TOP, y2=_HEIGHT - _BOTTOM, class_="mark"))
        side, anchor = (-4, "end") if place > _WIDTH / 2 else (4, "start")
        parts.append(tag("text", name, x=place + side, y=_TOP + 12, text_anchor=anchor, class_="axis"))
    for number, line in enumerate(chart.lines):
        parts.append(_polyline(line, number, axes, steps=chart.steps))
    legend = tag("div", [_legend(line.label, number) for number, line in enumerate(chart.lines)], class_="legend")
    return _figure(chart.title, chart.alt, _svg(chart.alt, parts), legend)


def density_chart(chart: Density) -> Markup:
    """A picture of how often two values meet."""
    axes = _Axes(chart.x_range, chart.y_range, size=(_WIDTH, 340))
    counts = np.log1p(chart.counts)
    colours = viridis(np.where(chart.counts > 0, counts, np.nan), 0.0, float(counts.max()) or 1.0)[::-1]
    left, top = axes.px(chart.x_range[0]), axes.py(chart.y_range[1])
    box = {"width": axes.px(chart.x_range[1]) - left, "height": axes.py(chart.y_range[0]) - top}
    picture = tag("image", x=left, y=top, preserveAspectRatio="none", href=png(colours), class_="pixels", **box)
    parts = [picture, *axes.draw(chart.x_label, chart.y_label)]
    return _figure(chart.title, chart.alt, _svg(chart.alt, parts, 340), tag("p", chart.note, class_="muted"))


def vector_chart(chart: Vectors) -> Markup:
    """Displacements as arrows at their places."""
    cols, rows = chart.size
    height = max(120, round(_WIDTH * rows / cols))
    scale = _WIDTH / cols
    parts = [tag("rect", x=0.5, y=0.5, width=_WIDTH - 1, height=height - 1, class_="frame")]
    for col, row, right, down in chart.places:
        x, y = col * scale, row * scale
        dx, dy = right * chart.scale * scale, down * chart.scale * scale
        parts.append(tag("line", x1=x, y1=y, x2=x + dx, y2=y + dy, class_="arrow"))
        parts.append(tag("circle", cx=x + dx, cy=y + dy, r=3, class_="head"))
    length = chart.scale * scale
    parts.append(tag("line", x1=12, x2=12 + length, y1=height - 14, y2=height - 14, class_="arrow"))
    parts.append(tag("text", "1 pixel", x=12, y=height - 20, class_="axis"))
    return _figure(chart.title, chart.alt, _svg(chart.alt, parts, height))


def scale_bar(name: str, low: float, high: float) -> Markup:
    """The colours of a map and the values they stand for."""
    stops = ", ".join(f"{colour} {100 * share:.0f}%" for share, colour in viridis_stops())
    bar = tag("span", class_="bar", style=f"background: linear-gradient(to right, {stops})")
    return tag("div", tag("span", f"{name} {low:.3g}"), bar, tag("span", f"{high:.3g}"), class_="scale")


def _polyline(line: Line, number: int, axes: _Axes, *, steps: bool) -> Markup:
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
    colour, dash = LINE_COLOURS[number % len(LINE_COLOURS)], LINE_DASHES[number % len(LINE_DASHES)]
    return tag("polyline", points=" ".join(points), stroke=colour, stroke_dasharray=dash or None, class_="line")


def _legend(label: str, number: int) -> Markup:
    colour, dash = LINE_COLOURS[number % len(LINE_COLOURS)], LINE_DASHES[number % len(LINE_DASHES)]
    stroke = tag("line", x1=0, x2=28, y1=5, y2=5, stroke=colour, stroke_dasharray=dash or None, class_="line")
    return tag("span", tag("svg", stroke, width=28, height=10, aria_hidden="true"), label, class_="key")


def _svg(alt: str, parts: Sequence[Markup], height: int = _HEIGHT) -> Markup:
    return tag("svg", tag("title", alt), parts, viewBox=f"0 0 {_WIDTH} {height}", role="img", aria_label=alt)


def _figure(title: str, alt: str, *parts: Markup) -> Markup:
    return tag("figure", tag("figcaption", title), *parts, class_="chart")


def _opened(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _round_values(low: float, high: float) -> list[float]:
    """About five round numbers between two."""
    step = 10 ** math.floor(math.log10((high - low) / 4))
    for factor in (1, 2, 5, 10):
        if (high - low) / (step * factor) <= 6:
            step *= factor
            break
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _tick(value: float) -> str:
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        return f"{value:.0e}".replace("e+0", "e").replace("e-0", "e-")
    return f"{value:.4g}"
