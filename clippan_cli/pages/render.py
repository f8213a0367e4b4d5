"""From typed content to a page: one HTML file that needs no other file and no network.

The templates escape everything that is inserted; their own text, the style sheet and the script are the only markup.
"""

from __future__ import annotations

import math
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from clippan_cli.pages.charts import draw
from clippan_cli.pages.content import AssessmentContent, BenchContent, ComparisonContent, IndexContent, TrainingContent
from clippan_cli.pages.layout import breakable, columns
from clippan_cli.pages.pictures import jpeg, png, viridis, viridis_gradient
from clippan_models.plain import plain

_LONGEST_TEXT = 5000  # characters


def render_assessment(content: AssessmentContent) -> str:
    """The page of one assessment."""
    return _render("assessment.html.jinja", content)


def render_training(content: TrainingContent) -> str:
    """The page of a training on many scenes: how good the weights are, how they were trained, and on which scenes."""
    return _render("training.html.jinja", content)


def render_index(content: IndexContent) -> str:
    """The page of many scenes: a table that can be sorted, with outliers and failures marked."""
    return _render("index.html.jinja", content)


def render_comparison(content: ComparisonContent) -> str:
    """The page that shows images of some places side by side."""
    return _render("comparison.html.jinja", content)


def render_bench(content: BenchContent) -> str:
    """The page of a suite: which method is how good on which scenes, and in which time."""
    return _render("bench.html.jinja", content)


def figure_text(value: float) -> str:
    """A number for people: four decimal places where it is small, fewer where it is large."""
    if value != value:
        return "n/a"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    size = abs(value)
    if size >= 1000 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.4f}" if size < 10 else f"{value:.2f}"


def _render(
    template: str, content: AssessmentContent | BenchContent | ComparisonContent | IndexContent | TrainingContent
) -> str:
    # The sections of a page add themselves to `links` while they are rendered.
    return _ENVIRONMENT.get_template(template).render(page=content, document=_bounded(plain(content.data)), links=[])


def _own_file(name: str) -> str:
    return files("clippan_cli.pages").joinpath("templates", name).read_text(encoding="utf-8")


def _short(value: Any) -> Any:
    """Six digits are enough for the coordinates of an SVG, and a name of megabytes is not read."""
    if type(value) is str and len(value) > _LONGEST_TEXT and not value.startswith("data:"):  # an address of pixels
        return f"{value[:_LONGEST_TEXT]}..."
    return f"{value:.6g}" if isinstance(value, float) else value


def _bounded(data: Any) -> Any:
    """Plain data without texts of megabytes."""
    if isinstance(data, dict):
        return {key: _bounded(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_bounded(value) for value in data]
    return data[:_LONGEST_TEXT] if isinstance(data, str) else data


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("clippan_cli.pages"),
        autoescape=True,
        extensions=["jinja2.ext.do"],
        finalize=_short,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    # `tojson` escapes what could end the script element
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    environment.filters |= {"figure": figure_text, "jpeg": jpeg, "png": png, "viridis": viridis, "exactly": repr}
    environment.filters |= {"breakable": lambda name: breakable(_short(name))}
    environment.globals |= {
        "own_file": _own_file,
        "draw": draw,
        "columns": columns,
        "viridis_gradient": viridis_gradient(),
    }
    return environment


_ENVIRONMENT = _environment()
