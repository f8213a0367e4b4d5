"""The page of many scenes: one line each, sortable, with what stands out and what failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from clippan_cli.pages.content import Pixels
from clippan_cli.pages.html import Markup, data_script, figure_text, join, tag
from clippan_cli.pages.page import document
from clippan_cli.pages.pictures import jpeg
from clippan_models.metrics.catalogue import INDICES


@dataclass(frozen=True)
class IndexLine:
    """One image of one scene.

    Attributes:
        scene: name of the scene.
        image: name of the image, empty where the scene failed.
        baseline: whether it is one.
        link: where the page of the scene is, relative to this one, or None.
        values: indices by name.
        outliers: names of those that stand out among the scenes.
        error: why it failed, or None.
        thumbnail: the image, small, or None.
    """

    scene: str
    image: str
    baseline: bool
    link: str | None
    values: dict[str, float]
    outliers: tuple[str, ...] = ()
    error: str | None = None
    thumbnail: Pixels | None = None


@dataclass(frozen=True)
class IndexContent:
    """Everything on the page of many scenes.

    Attributes:
        title: of the page.
        lines: one per image and scene.
        names: the indices shown.
        summary: rows of (image, index -> (mean, standard deviation), scenes).
        notes: sentences above the table.
        data: the JSON document that the page carries.
    """

    title: str
    lines: tuple[IndexLine, ...]
    names: tuple[str, ...]
    summary: tuple[tuple[str, dict[str, tuple[float, float]], int], ...]
    notes: tuple[str, ...]
    data: dict[str, Any] = field(default_factory=dict)


def render_index(content: IndexContent) -> str:
    """The page as text; everything from outside is escaped."""
    theme = tag("nav", tag("button", "light / dark", id="theme", type="button"), aria_label="Page")
    body = join(
        tag("header", tag("h1", content.title), theme),
        tag(
            "main",
            [tag("p", note) for note in content.notes],
            tag("h2", "Mean over the scenes") if content.summary else None,
            _summary(content) if content.summary else None,
            tag("h2", "Scenes"),
            _hint(),
            _scenes(content),
        ),
        tag("footer", tag("p", "Made by clippan assess.")),
        data_script("data", content.data),
    )
    return document(content.title, body)


def _hint() -> Markup:
    return tag(
        "p",
        "A click on a heading sorts. Lines in amber stand out in the indices named; lines in red failed.",
        class_="muted",
    )


def _summary(content: IndexContent) -> Markup:
    head = tag("tr", tag("th", "image"), tag("th", "scenes"), [tag("th", _named(n)) for n in content.names])
    rows = []
    for image, values, scenes in content.summary:
        cells = [
            tag("td", f"{figure_text(values[n][0])} ± {figure_text(values[n][1])}" if n in values else "")
            for n in content.names
        ]
        rows.append(tag("tr", tag("td", image), tag("td", str(scenes)), cells))
    return tag("div", tag("table", tag("thead", head), tag("tbody", rows), class_="plain"), class_="wide")


def _scenes(content: IndexContent) -> Markup:
    def heading(text: str) -> Markup:
        return tag("th", text, scope="col", class_="sortable")

    names = [heading(_named(name)) for name in content.names]
    head = tag("tr", tag("th", ""), heading("scene"), heading("image"), heading("remarks"), names)
    rows = [_line(line, content.names) for line in content.lines]
    return tag("div", tag("table", tag("thead", head), tag("tbody", rows), class_="plain", id="scenes"), class_="wide")


def _line(line: IndexLine, names: tuple[str, ...]) -> Markup:
    picture = None
    if line.thumbnail is not None:
        alt = f"{line.image} of the scene {line.scene}"
        picture = tag("img", src=jpeg(line.thumbnail, 80), alt=alt, class_="thumb")
    name = tag("a", line.scene, href=line.link) if line.link else line.scene
    cells = [
        tag(
            "td",
            figure_text(line.values[n]) if n in line.values else "",
            data_value=repr(line.values[n]) if n in line.values else "",
            data_index=n,
            data_scene=line.scene,
            data_image=line.image,
        )
        for n in names
    ]
    remark = line.error or (f"stands out in {some_of(line.outliers)}" if line.outliers else "")
    kind = "failed" if line.error else "outlier" if line.outliers else None
    image = f"{line.image} (baseline)" if line.baseline else line.image
    texts = (tag("td", name, class_="text"), tag("td", image, class_="text"), tag("td", remark, class_="remark"))
    return tag("tr", tag("td", picture), texts, cells, class_=kind)


def some_of(names: tuple[str, ...], most: int = 4) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _named(name: str) -> str:
    return f"{name} {'↑' if INDICES[name].higher_is_better else '↓'}"
