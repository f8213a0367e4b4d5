"""What the pages show, as plain data: numbers, texts and small arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clippan_models.metrics.catalogue import Index

Pixels = NDArray[np.uint8]
"""A picture, `[h, w, 3]` or `[h, w, 4]`, 8 bits."""

Floats = NDArray[np.float64]

Facts = tuple[tuple[str, str], ...]
"""Names and the texts that belong to them."""


@dataclass(frozen=True)
class Tile:
    """One number of the verdict, with a note that explains it."""

    name: str
    value: float
    note: str


@dataclass(frozen=True)
class Verdict:
    """The first thing to read.

    Attributes:
        headline: one sentence.
        sentences: the evidence for it.
        tiles: a few numbers.
        gates: each bound in words, with True where it is met.
        images: where several are compared, one sentence on each.
    """

    headline: str
    sentences: tuple[str, ...]
    tiles: tuple[Tile, ...]
    gates: tuple[tuple[str, bool], ...] = ()
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One quality index of all images.

    Attributes:
        index: which one.
        values: one per image; NaN where it was not measured.
        best: position of the sharpened image with the best value, or None.
    """

    index: Index
    values: tuple[float, ...]
    best: int | None


@dataclass(frozen=True)
class Table:
    """Figures with a heading for each column; the first column is text.

    Attributes:
        columns: headings, that of the text first.
        rows: text and figures.
        best: for each column of figures, the position of the row with the best one, or None; empty to mark none.
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
class ScaleBar:
    """A bar of a round length.

    Attributes:
        text: the length with its unit.
        share: of the width of the picture that it lies on.
    """

    text: str
    share: float


@dataclass(frozen=True)
class Crop:
    """One window of the scene, shown in every image.

    Attributes:
        title: what it shows: edges, water ...
        why: how it was chosen.
        place: its size and position, in words.
        views: its picture in each image.
        bar: the scale of these pictures.
    """

    title: str
    why: str
    place: str
    views: tuple[View, ...]
    bar: ScaleBar


@dataclass(frozen=True)
class Map:
    """Local values of a quality index of one image, `[rows, columns]`, NaN where unknown; and their range, in words."""

    image: str
    values: Floats
    summary: str


@dataclass(frozen=True)
class Maps:
    """The maps of one quality index, one per image, under one colour scale.

    Attributes:
        index: which one.
        limits: values of the two ends of the colour scale, the worse one first.
        cell: side of the square of PAN pixels that one value stands for.
        images: the maps.
    """

    index: Index
    limits: tuple[float, float]
    cell: int
    images: tuple[Map, ...]


@dataclass(frozen=True)
class ErrorMaps:
    """Absolute errors of the images of one scene in one place, under one colour scale, and the truth.

    Attributes:
        scene: its name.
        place: size and position, in words.
        truth: in natural colours.
        limit: the error at the bright end of the scale, which begins at zero.
        images: the maps.
        bar: the scale of the pictures.
    """

    scene: str
    place: str
    truth: View
    limit: float
    images: tuple[Map, ...]
    bar: ScaleBar


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
        alt: a description for readers who cannot see it.
        x_label: of the axis, with its unit.
        y_label: the same.
        lines: drawn in this order.
        marks: vertical lines with their names.
        steps: draw steps rather than straight lines between the points.
        log_y: logarithmic axis of values.
        from_zero: the axis of values begins at zero; without, small changes of large values can be seen.
        x_ticks: (position, name) in place of numbers.
        dots: draw a dot at each point instead of a line through them.
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
    dots: bool = False


@dataclass(frozen=True)
class Density:
    """A two-dimensional histogram: how often pairs of values occur.

    Attributes:
        title: what it shows.
        alt: a description for readers who cannot see it.
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
    """Displacements at positions of the scene.

    Attributes:
        title: which image against which.
        alt: a description for readers who cannot see it.
        size: columns and rows of the scene.
        places: (column, row, right, down) in pixels.
        scale: how many pixels of the scene long a displacement of one pixel is drawn.
    """

    title: str
    alt: str
    size: tuple[int, int]
    places: tuple[tuple[float, float, float, float], ...]
    scale: float


Figure = Chart | Density | Vectors


@dataclass(frozen=True)
class Section:
    """Figures and tables that belong together.

    Attributes:
        title: heading.
        text: one paragraph each.
        figures: drawn below the tables.
        table: of figures, or None.
        folded: more tables with their titles, to be opened one by one.
        groups: more figures with their titles, to be opened group by group.
    """

    title: str
    text: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    table: Table | None = None
    folded: tuple[tuple[str, Table], ...] = ()
    groups: tuple[tuple[str, tuple[Figure, ...]], ...] = ()


@dataclass(frozen=True)
class AssessmentContent:
    """The page of one assessment.

    Attributes:
        title: of the page.
        images: names of the images, those of the user first.
        roles: what each is, in words.
        verdict: the first thing to read.
        warnings: numbers that can mislead, and why.
        rows: quality indices side by side.
        wald: methods at reduced resolution, or None.
        overview: a picture of the whole scene with the positions of the crops, or None.
        overview_bar: its scale, or None.
        crops: parts of the scene to look at.
        stretch: which values are black and white.
        maps: local values.
        bands: title and table of each image.
        sections: everything else.
        definitions: every choice behind the numbers.
        provenance: files, versions and settings.
        data: the JSON document that the page contains.
    """

    title: str
    images: tuple[str, ...]
    roles: tuple[str, ...]
    verdict: Verdict
    warnings: tuple[str, ...]
    rows: tuple[Row, ...]
    wald: Table | None
    overview: View | None
    overview_bar: ScaleBar | None
    crops: tuple[Crop, ...]
    stretch: str
    maps: tuple[Maps, ...]
    bands: tuple[tuple[str, Table], ...]
    sections: tuple[Section, ...]
    definitions: Facts
    provenance: Facts
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingContent:
    """The page of a training on many scenes.

    Attributes:
        title: of the page.
        verdict: the first thing to read.
        warnings: numbers that can mislead, and why.
        sections: tables and charts.
        scenes: groups of scenes with their files, or the reasons why they were left out.
        provenance: files, versions and settings.
        data: the JSON document that the page contains.
    """

    title: str
    verdict: Verdict
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]
    scenes: tuple[tuple[str, Facts], ...]
    provenance: Facts
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class IndexLine:
    """One image of one scene.

    Attributes:
        scene: name of the scene.
        image: name of the image, empty where the scene failed.
        baseline: whether it is one.
        link: address of the page of the scene, relative to this one, or None.
        values: quality indices by name.
        remark: why the scene failed, or what stands out.
        kind: "failed", "outlier", or empty.
        thumbnail: the image, small, or None.
    """

    scene: str
    image: str = ""
    baseline: bool = False
    link: str | None = None
    values: dict[str, float] = field(default_factory=dict)
    remark: str = ""
    kind: str = ""
    thumbnail: Pixels | None = None


@dataclass(frozen=True)
class IndexContent:
    """The page of many scenes.

    Attributes:
        title: of the page.
        command: that made it.
        lines: one per image and scene.
        indices: the quality indices shown.
        summary: (image, index -> (mean, standard deviation), number of scenes).
        notes: sentences above the table.
        data: the JSON document that the page contains.
    """

    title: str
    command: str
    lines: tuple[IndexLine, ...]
    indices: tuple[Index, ...]
    summary: tuple[tuple[str, dict[str, tuple[float, float]], int], ...] = ()
    notes: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ComparedPlace:
    """Images of one place side by side.

    Attributes:
        title: heading.
        text: one paragraph each.
        crops: parts of the place.
        table: figures of the images, or None.
    """

    title: str
    text: tuple[str, ...]
    crops: tuple[Crop, ...]
    table: Table | None = None


@dataclass(frozen=True)
class ComparisonContent:
    """The page that shows images of some places side by side.

    Attributes:
        title: of the page.
        text: one paragraph each.
        places: in this order.
        data: the JSON document that the page contains.
    """

    title: str
    text: tuple[str, ...]
    places: tuple[ComparedPlace, ...]
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BenchContent:
    """The page of a suite of methods and scenes.

    Attributes:
        title: of the page.
        sections: tables and charts.
        error_maps: of the chosen scenes.
        failed: runs without figures, and why.
        data: the JSON document that the page contains.
    """

    title: str
    sections: tuple[Section, ...]
    error_maps: tuple[ErrorMaps, ...] = ()
    failed: Facts = ()
    data: dict[str, Any] = field(default_factory=dict)
