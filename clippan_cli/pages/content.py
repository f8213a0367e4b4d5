"""What the page of an assessment shows, as plain data: numbers, texts and small arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""A picture, `[h, w, 3]` or `[h, w, 4]`, 8 bits."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tile:
    """One number of the verdict, with what it means."""

    name: str
    value: float
    note: str


@dataclass(frozen=True)
class Verdict:
    """The first thing to read.

    Attributes:
        headline: one sentence.
        sentences: what supports it.
        tiles: a few numbers.
        gates: bounds and whether they hold, in words; with True where they do.
    """

    headline: str
    sentences: tuple[str, ...]
    tiles: tuple[Tile, ...]
    gates: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True)
class Row:
    """One index of all images.

    Attributes:
        name: of the index.
        asks: its question.
        unit: of the values.
        ideal: the best value there is.
        higher: whether more is better.
        values: one per image; NaN where it was not measured.
        best: which image has the best one, or None.
    """

    name: str
    asks: str
    unit: str
    ideal: float
    higher: bool
    values: tuple[float, ...]
    best: int | None


@dataclass(frozen=True)
class Table:
    """Figures with a heading for each column; the first column is text.

    Attributes:
        columns: headings, that of the text first.
        rows: text and figures.
        best: for each column of figures the number of the row with the best one, or None; empty where none is marked.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float, ...]], ...]
    best: tuple[int | None, ...] = ()


@dataclass(frozen=True)
class View:
    """One picture of a crop: PAN, MS, or a fused image."""

    label: str
    pixels: Pixels
    false_colour: Pixels | None = None


@dataclass(frozen=True)
class Crop:
    """One place, seen in every image.

    Attributes:
        title: what it shows: edges, water ...
        why: how it was chosen.
        place: where it is, in words.
        views: the same ground in each image.
    """

    title: str
    why: str
    place: str
    views: tuple[View, ...]


@dataclass(frozen=True)
class Map:
    """Local values of one index of one image.

    Attributes:
        index: name of the index.
        image: name of the image.
        values: `[rows, columns]`, NaN where unknown.
        low: value of the lower end of the scale.
        high: value of its upper end.
        cell: PAN pixels a side of one value.
        higher: whether more is better.
    """

    index: str
    image: str
    values: Floats
    low: float
    high: float
    cell: int
    higher: bool


@dataclass(frozen=True)
class Line:
    """One line of a chart."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Chart:
    """A chart of lines.

    Attributes:
        title: what it shows.
        alt: what is to be seen, in words.
        x_label: of the axis, with its unit.
        y_label: the same.
        lines: drawn in this order.
        marks: vertical lines with their names.
        steps: draw stairs.
        log_y: logarithmic values.
        from_zero: the axis of values shows zero; without, small changes of large values can be seen.
        x_ticks: (position, name) where numbers are not wanted.
    """

    title: str
    alt: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    marks: tuple[tuple[float, str], ...] = ()
    steps: bool = False
    log_y: bool = False
    from_zero: bool = True
    x_ticks: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Density:
    """How often two values meet.

    Attributes:
        title: what it shows.
        alt: in words.
        x_label: of the axis.
        y_label: the same.
        counts: `[y, x]`, y upwards.
        x_range: of the columns.
        y_range: of the rows.
        note: what was fitted.
    """

    title: str
    alt: str
    x_label: str
    y_label: str
    counts: Floats
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    note: str


@dataclass(frozen=True)
class Vectors:
    """Displacements at places of the scene.

    Attributes:
        title: what against what.
        alt: in words.
        size: columns and rows of the scene.
        places: (column, row, right, down) in pixels.
        scale: how many pixels of the scene one pixel of displacement is drawn as.
    """

    title: str
    alt: str
    size: tuple[int, int]
    places: tuple[tuple[float, float, float, float], ...]
    scale: float


@dataclass(frozen=True)
class Section:
    """Charts and facts that belong together.

    Attributes:
        title: heading.
        text: what it says, one paragraph each.
        charts: of lines.
        densities: of pairs of values.
        vectors: of displacements.
        table: of figures, or None.
        folded: more tables with their titles, to be opened one by one.
    """

    title: str
    text: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()
    densities: tuple[Density, ...] = ()
    vectors: tuple[Vectors, ...] = ()
    table: Table | None = None
    folded: tuple[tuple[str, Table], ...] = ()


Facts = tuple[tuple[str, str], ...]
"""What each is about, and what it is."""


@dataclass(frozen=True)
class Content:
    """Everything on the page.

    Attributes:
        title: of the page.
        images: names of the images, those given first.
        roles: "given" or "baseline" for each.
        verdict: the first thing to read.
        warnings: where a number misleads.
        rows: indices side by side.
        wald: methods at reduced resolution, or None.
        overview: a picture of the whole scene and where the crops lie, or None.
        crops: places to look at.
        stretch: which values black and white stand for.
        maps: local values.
        bands: title and table of each image.
        sections: everything else.
        definitions: every choice behind the numbers.
        provenance: where it all comes from.
        data: the JSON document that the page carries.
    """

    title: str
    images: tuple[str, ...]
    roles: tuple[str, ...]
    verdict: Verdict
    warnings: tuple[str, ...]
    rows: tuple[Row, ...]
    wald: Table | None
    overview: View | None
    crops: tuple[Crop, ...]
    stretch: str
    maps: tuple[Map, ...]
    bands: tuple[tuple[str, Table], ...]
    sections: tuple[Section, ...]
    definitions: Facts
    provenance: Facts
    data: dict[str, Any] = field(default_factory=dict)
