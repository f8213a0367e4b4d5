"""The page of one assessment: one HTML file that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from clippan_cli.pages.charts import density_chart, line_chart, scale_bar, vector_chart
from clippan_cli.pages.content import Content, Crop, Facts, Map, Row, Section, Table, Verdict, View
from clippan_cli.pages.html import Markup, data_script, figure_text, join, raw, tag
from clippan_cli.pages.pictures import jpeg, png, viridis
from clippan_models.metrics.catalogue import INDICES

_FAMILIES = {
    "none": "Without a reference",
    "reprojected": "Seen as MS was, against MS (consistency)",
    "reference": "Against the reference",
}


Part = tuple[str, str, Markup | None]
"""A part of a page: its key, its heading, and what it shows; it is left out where that is nothing."""


def render(content: Content) -> str:
    """The page as text.

    Everything that comes from outside, names of files first of all, is escaped.
    """
    return paged(content.title, _sections(content), "clippan assess", content.data)


def _sections(content: Content) -> list[Part]:
    return [
        ("verdict", "Verdict", verdict_box(content.verdict, content.warnings)),
        ("table", "Side by side", _table(content)),
        ("look", "Look", _look(content) if content.crops else None),
        ("maps", "Where it is good and bad", _maps(content) if content.maps else None),
        ("bands", "Band by band", _bands(content)),
        *numbered(content.sections),
        ("definitions", "Definitions", _definitions(content)),
        ("provenance", "Provenance", facts_table(content.provenance)),
    ]


def numbered(sections: Sequence[Section]) -> list[Part]:
    """Sections as parts of a page."""
    return [(f"part{n}", section.title, _section(section)) for n, section in enumerate(sections)]


def paged(title: str, sections: Sequence[Part], made_by: str, data: dict[str, Any]) -> str:
    """A whole page with links to its parts.

    Args:
        title: of the page.
        sections: the first, the verdict, goes without its heading.
        made_by: the command.
        data: the JSON document that the page carries.
    """
    shown = [(key, heading, body) for key, heading, body in sections if body is not None]
    links = [tag("a", heading, href=f"#{key}") for key, heading, _ in shown]
    theme = tag("button", "light / dark", id="theme", type="button")
    body = join(
        tag("header", tag("h1", title), tag("nav", links, theme, aria_label="Sections")),
        tag("main", [tag("section", _heading(key, heading), part, id=key) for key, heading, part in shown]),
        tag("footer", tag("p", f"Made by {made_by}. Everything on this page is in this one file.")),
        data_script("data", data),
    )
    return document(title, body)


def document(title: str, body: Markup) -> str:
    """A whole document around the body of a page, with our style sheet and script within."""
    here = files("clippan_cli.pages")
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", raw(here.joinpath("page.css").read_text(encoding="utf-8"))),
    )
    script = tag("script", raw(here.joinpath("page.js").read_text(encoding="utf-8")))
    return f"<!doctype html>\n{tag('html', head, tag('body', body, script), lang='en')}\n"


def _heading(key: str, title: str) -> Markup | None:
    return None if key == "verdict" else tag("h2", title)


def verdict_box(verdict: Verdict, warnings: Sequence[str]) -> Markup:
    """The verdict with its numbers, and where they mislead."""
    tiles = [
        tag("div", tag("span", tile.name), tag("b", figure_text(tile.value)), tag("span", tile.note), class_="tile")
        for tile in verdict.tiles
    ]
    gates = [
        tag("p", f"{'kept' if kept else 'broken'}: {text}", class_="gate" if kept else "gate broken")
        for text, kept in verdict.gates
    ]
    box = tag(
        "div",
        tag("p", verdict.headline),
        [tag("p", sentence) for sentence in verdict.sentences],
        tag("div", tiles, class_="tiles"),
        class_="verdict",
    )
    return join(box, gates, [tag("p", warning, class_="note") for warning in warnings])


def _table(content: Content) -> Markup:
    heads = [
        tag("th", name, tag("small", "baseline" if role == "baseline" else "assessed"), scope="col")
        for name, role in zip(content.images, content.roles, strict=True)
    ]
    body: list[Markup] = []
    for family, title in _FAMILIES.items():
        rows = [row for row in content.rows if INDICES[row.name].family == family]
        if rows:
            body.append(tag("tr", tag("th", title, colspan=len(heads) + 2, scope="rowgroup"), class_="group"))
            body += [_row(row, content) for row in rows]
    head = tag("tr", tag("th", "index", scope="col"), heads, tag("th", "what it asks", scope="col", class_="asks"))
    table = tag("table", tag("thead", head), tag("tbody", body), id="indices")
    text = tag("p", "↑ more is better, ↓ less is better; ✓ marks the best value of each line.", class_="muted")
    parts = [text, tag("div", table, class_="wide")]
    if content.wald is not None:
        parts += [
            tag("h3", "At reduced resolution, by Wald's protocol"),
            tag(
                "p",
                "The pair was degraded by its ratio, with Gaussians of the sensor's gains, and sharpened again; MS "
                "itself is then the truth.",
            ),
            _figures(content.wald),
        ]
    return join(parts)


def _row(row: Row, content: Content) -> Markup:
    cells = [
        tag(
            "td",
            f"{figure_text(value)}{row.unit if value == value else ''}",
            class_="best" if row.best == place else None,
            data_index=row.name,
            data_image=content.images[place],
            data_value=repr(value),
        )
        for place, value in enumerate(row.values)
    ]
    name = tag("th", f"{row.name} {'↑' if row.higher else '↓'}", scope="row")
    return tag("tr", name, cells, tag("td", row.asks, class_="asks"))


def _look(content: Content) -> Markup:
    overview = None if content.overview is None else _overview(content.overview, content.crops)
    intro = tag("p", content.stretch, class_="muted")
    viewer = tag("div", tag("h3", "Compare under a slider"), id="viewer", class_="viewer", hidden=True)
    crops = [_crop(number, crop) for number, crop in enumerate(content.crops, start=1)]
    return join(
        intro, tag("div", viewer, overview, class_="pair"), tag("div", crops, id="crops", class_="colour-natural")
    )


def _overview(view: View, crops: Sequence[Crop]) -> Markup:
    caption = tag("figcaption", "The whole scene, and where the places below lie.")
    image = tag("img", src=jpeg(view.pixels), alt=f"{view.label}: the whole scene with numbered squares at the places")
    return tag("figure", tag("div", image, class_="overview"), caption)


def _crop(number: int, crop: Crop) -> Markup:
    figures = []
    for view in crop.views:
        alt = f"{crop.title}, {crop.place}: {view.label}"
        common = {"data_label": view.label, "width": view.pixels.shape[1], "height": view.pixels.shape[0]}
        plain = view.false_colour is None
        images = [tag("img", src=jpeg(view.pixels), alt=alt, class_=None if plain else "natural", **common)]
        if view.false_colour is not None:
            images.append(
                tag("img", src=jpeg(view.false_colour), alt=f"{alt}, false colours", class_="false", **common)
            )
        figures.append(tag("figure", images, tag("figcaption", view.label)))
    heading = tag("h3", f"{number}  {crop.title}")
    why = tag("p", f"{crop.why}; {crop.place}", class_="why")
    title = f"{number}  {crop.title}"
    return tag("div", heading, why, tag("div", figures, class_="views"), class_="crop", data_title=title)


def _maps(content: Content) -> Markup:
    parts: list[Markup] = [
        tag(
            "p",
            "Each index within its block alone. Indices take the difference after averaging over the scene, these maps "
            "before: they say where, the table says how much. Hatched: nothing valid.",
            class_="muted",
        )
    ]
    for index in dict.fromkeys(one.index for one in content.maps):
        mine = [one for one in content.maps if one.index == index]
        first = mine[0]
        side = "yellow is better" if first.higher else "dark is better"
        text = f"{INDICES[index].asks} One value for {first.cell} x {first.cell} PAN pixels; {side}."
        parts += [
            tag("h3", index),
            tag("p", text, class_="muted"),
            scale_bar(index, first.low, first.high),
            tag("div", [_map(one) for one in mine], class_="maps"),
        ]
    return join(parts)


def _map(one: Map) -> Markup:
    known = one.values[one.values == one.values]
    span = "nothing known"
    if known.size:
        low, high, mean = (f"{0 if abs(v) < 1e-6 else v:.3g}" for v in (known.min(), known.max(), known.mean()))
        span = f"from {low} to {high}, mean {mean}"
    alt = f"Map of {one.index} of {one.image}: {span}"
    picture = tag("img", src=png(viridis(one.values, one.low, one.high)), alt=alt)
    return tag("figure", picture, tag("figcaption", f"{one.image}: {span}"))


def _bands(content: Content) -> Markup:
    intro = tag(
        "p",
        "Bias, RMSE and correlation compare the image, seen as MS was, with MS; DN. At limits: pixels at the least or "
        "largest value that the product can hold.",
        class_="muted",
    )
    return join(intro, _folded(content.bands))


def _folded(tables: Sequence[tuple[str, Table]]) -> list[Markup]:
    """Tables to be opened one by one; the first one is open."""
    return [
        tag("details", tag("summary", title), _figures(table), open=number == 0)
        for number, (title, table) in enumerate(tables)
    ]


def _section(section: Section) -> Markup:
    charts = [
        *map(line_chart, section.charts),
        *map(density_chart, section.densities),
        *map(vector_chart, section.vectors),
    ]
    return join(
        [tag("p", text) for text in section.text],
        _figures(section.table) if section.table is not None else None,
        _folded(section.folded),
        tag("div", charts, class_="charts") if charts else None,
    )


def _definitions(content: Content) -> Markup:
    text = tag("p", "Values of other programs can be compared with these only where every line agrees.")
    return join(text, facts_table(content.definitions))


def facts_table(facts: Facts) -> Markup:
    """What each is about, and what it is."""
    rows = [tag("tr", tag("td", name), tag("td", text, class_="text")) for name, text in facts]
    return tag("div", tag("table", tag("tbody", rows), class_="facts"), class_="wide")


def _figures(table: Table) -> Markup:
    head = tag("tr", [tag("th", name, scope="col") for name in table.columns])
    best = table.best or (None,) * (len(table.columns) - 1)

    def cells(number: int, values: Sequence[float]) -> list[Markup]:
        marks = ["best" if place == number else None for place in best]
        pairs = zip(values, marks, strict=True)
        return [tag("td", figure_text(v), data_value=repr(v), class_=mark) for v, mark in pairs]

    rows = [tag("tr", tag("td", name), cells(n, values)) for n, (name, values) in enumerate(table.rows)]
    kind = None if table.best else "plain"  # where nothing is marked, no room is left for the mark
    return tag("div", tag("table", tag("thead", head), tag("tbody", rows), class_=kind), class_="wide")
