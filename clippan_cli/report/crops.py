"""Parts of the scene to look at: chosen by their content and by where the image is worst, drawn under one stretch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from clippan_cli.pages.content import Crop, Floats, Pixels, View
from clippan_cli.report.findings import Findings
from clippan_cli.report.painting import PAGE_GAMMA, PAGE_PERCENTILES, ms_picture, page_stretch, pan_picture
from clippan_cli.report.position import describe_place, scale_bar
from clippan_cli.scene.band_roles import band_roles
from clippan_cli.scene.scene import Scene
from clippan_models.contracts import Window

_SIDE = 192  # PAN pixels a side of a crop, shown 1:1; less in small scenes, where all would look alike
_OVERVIEW = 640  # pixels: longer side of the overview
_CANDIDATES = 3000
_MOST_SHARED = 0.25  # of the area of two places


@dataclass(frozen=True)
class Place:
    """A chosen window of the first image."""

    title: str
    why: str
    window: Window


@dataclass(frozen=True)
class Overview:
    """The extent of the first image, at a small size.

    Attributes:
        pan: `[1, h, w]`, NaN where invalid.
        ms: `[C, h, w]`.
        scale: pixels of the overview per PAN pixel.
    """

    pan: Floats
    ms: Floats
    scale: float


def read_overview(scene: Scene, place: Window) -> Overview:
    """MS and PAN in a window of the PAN grid, small enough to look at as a whole."""
    scale = min(1.0, _OVERVIEW / max(place.height, place.width))
    shape = (max(1, round(place.height * scale)), max(1, round(place.width * scale)))
    pan, ms = pan_picture(scene, place, shape), ms_picture(scene, place, shape, scene.pair.ms.bands)
    return Overview(pan.astype(np.float64), ms.astype(np.float64), scale)


def choose_places(findings: Findings, overview: Overview) -> tuple[Place, ...]:
    """Up to seven different windows: edges, vegetation, water, bright roofs, and where the first image is worst."""
    place = findings.first.subject.place
    shorter = min(place.height, place.width)
    side = min(shorter, _SIDE, max(64, shorter // 4))
    cells = _cells(place, side, overview)
    if not cells:
        return ()
    chosen: list[Place] = []
    for title, why, score in [*_by_content(findings.scene, overview, cells), *_by_quality(findings, cells)]:
        order = np.argsort(-np.where(np.isfinite(score), score, -np.inf), kind="stable")
        for k in order:
            if not np.isfinite(score[k]):
                break
            if all(_shared(cells[k], other.window) < _MOST_SHARED for other in chosen):
                chosen.append(Place(title, why, cells[k]))
                break
    return tuple(chosen)


def place_of_edges(place: Window, overview: Overview) -> Window | None:
    """The window with the most contrast in PAN, as large as a crop can be; None where nothing is valid."""
    cells = _cells(place, min(place.height, place.width, _SIDE), overview)
    return cells[int(np.argmax(_contrast(overview, cells)))] if cells else None


def draw_crops(findings: Findings, places: Sequence[Place], overview: Overview) -> tuple[tuple[Crop, ...], str]:
    """The places in PAN, MS and every image, and a description of the stretch."""
    scene, first = findings.scene, findings.first.subject.place
    roles = band_roles(scene.pair.ms, scene.sensor)
    stretch, pan_stretch = page_stretch(overview.ms), page_stretch(overview.pan)

    def paint(image: Floats, bands: tuple[int, ...]) -> Pixels:
        return stretch.of_bands(bands).paint(image[list(bands)])

    def view(label: str, image: Floats) -> View:
        return View(label, paint(image, roles.rgb), paint(image, roles.false_colour) if roles.false_colour else None)

    crops = []
    for one in places:
        w = one.window
        on_pan = Window(first.row + w.row, first.col + w.col, w.height, w.width)
        shape = (w.height, w.width)
        views = [View("PAN", pan_stretch.paint(pan_picture(scene, on_pan, shape).astype(np.float64)))]
        views.append(view("MS", ms_picture(scene, on_pan, shape, scene.pair.ms.bands).astype(np.float64)))
        for name, m in zip(findings.names, findings.drawn, strict=True):
            at = m.subject.place
            values, valid = m.subject.image.read(Window(on_pan.row - at.row, on_pan.col - at.col, *shape))
            views.append(view(name, np.where(valid, values, np.nan).astype(np.float64)))
        place, bar = describe_place(scene.pair, on_pan), scale_bar(scene.pair, on_pan)
        crops.append(Crop(one.title, one.why, place, tuple(views), bar))
    shown = stretch.of_bands(roles.rgb)
    low, high = (", ".join(f"{v:.4g}" for v in values) for values in (shown.low, shown.high))
    text = (
        f"All colour pictures have one stretch: from black at {low} to white at {high} DN in red, green and blue, the "
        f"percentiles {PAGE_PERCENTILES[0]:g} and {PAGE_PERCENTILES[1]:g} of MS, with a gamma of {PAGE_GAMMA:g}. PAN "
        "has its own. Pictures are shown 1:1 without smoothing; MS is shown in its own pixels."
    )
    return tuple(crops), text


def draw_overview(scene: Scene, places: Sequence[Place], overview: Overview) -> View:
    """The whole scene in MS, with numbered squares at the places."""
    rgb = list(band_roles(scene.pair.ms, scene.sensor).rgb)
    picture = Image.fromarray(page_stretch(overview.ms[rgb]).paint(overview.ms[rgb]))
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(20)
    for number, place in enumerate(places, start=1):
        w = place.window
        corners = [w.col, w.row, w.col_stop, w.row_stop]
        left, top, right, bottom = (round(v * overview.scale) for v in corners)
        right, bottom = max(right, left + 6), max(bottom, top + 6)
        pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=(0, 0, 0), width=4)
        pen.rectangle((left, top, right, bottom), outline=(255, 255, 255), width=2)
        pen.text((left + 6, top + 3), str(number), fill="white", stroke_width=2, stroke_fill="black", font=font)
    return View("MS", np.asarray(picture, np.uint8))


_Wish = tuple[str, str, Floats]
"""A title, how the place is found, and the score of each cell."""


def _by_content(scene: Scene, overview: Overview, cells: Sequence[Window]) -> list[_Wish]:
    def mean(image: Floats) -> Floats:
        return _means(image, overview, cells)

    bright = _over_bands(overview.ms)
    peak = np.array([np.nanpercentile(_some(bright[_on_overview(c, overview)]), 95) for c in cells])
    wishes = [("Edges", "the most contrast between neighbours in PAN", _contrast(overview, cells))]
    roles = band_roles(scene.pair.ms, scene.sensor)
    if roles.nir is not None:
        red, green, nir = (overview.ms[b] for b in (roles.red, roles.green, roles.nir))
        wishes.append(("Vegetation", "the highest NDVI", mean(_normalised_difference(nir, red))))
        water = mean(_normalised_difference(green, nir)) - mean(bright) / (np.nanmax(bright) or 1)
        wishes.append(("Water or shade", "the highest NDWI among dark places", water))
    return [*wishes, ("Bright roofs", "the brightest spots in MS", peak)]


def _contrast(overview: Overview, cells: Sequence[Window]) -> Floats:
    gradient = np.hypot(*np.gradient(np.nan_to_num(overview.pan[0], nan=_mean(overview.pan))))
    return _means(gradient, overview, cells)


def _means(image: Floats, overview: Overview, cells: Sequence[Window]) -> Floats:
    return np.array([_mean(image[_on_overview(cell, overview)]) for cell in cells])


def _by_quality(findings: Findings, cells: Sequence[Window]) -> list[_Wish]:
    wishes = []
    maps = findings.first.maps
    for index, title in (("D_lambda", "Worst colours"), ("D_s", "Worst detail"), ("D_rho", "Least like PAN")):
        values, cell = maps.image(index).numpy().astype(np.float64), maps.cell_of(index)
        score = np.array([_mean(values[_on_map(c, cell)]) for c in cells])
        wishes.append((title, f"the highest {index} of {findings.names[0]}", score))
    return wishes


def _cells(place: Window, side: int, overview: Overview) -> list[Window]:
    """Candidates: squares that overlap by half; fewer in large scenes. Those without nodata, if there are any."""
    step = max(1, side // 2)
    while ((place.height - side) // step + 1) * ((place.width - side) // step + 1) > _CANDIDATES:
        step *= 2
    rows = range(0, place.height - side + 1, step)
    cols = range(0, place.width - side + 1, step)
    known = np.isfinite(overview.ms).all(0) & np.isfinite(overview.pan[0])
    every = [Window(row, col, side, side) for row in rows for col in cols]
    whole = [cell for cell in every if known[_on_overview(cell, overview)].mean() > 0.98]
    return whole or [cell for cell in every if known[_on_overview(cell, overview)].any()]


def _on_overview(cell: Window, overview: Overview) -> tuple[slice, slice]:
    height, width = overview.pan.shape[1:]
    row, col = min(int(cell.row * overview.scale), height - 1), min(int(cell.col * overview.scale), width - 1)
    side = max(1, round(cell.height * overview.scale))
    return slice(row, row + side), slice(col, col + side)


def _on_map(cell: Window, size: int) -> tuple[slice, slice]:
    return slice(cell.row // size, -(-cell.row_stop // size)), slice(cell.col // size, -(-cell.col_stop // size))


def _shared(one: Window, other: Window) -> float:
    """Share of one window that the other covers."""
    return one.intersection(other).pixels / one.pixels


def _normalised_difference(one: Floats, other: Floats) -> Floats:
    total = one + other
    return np.asarray((one - other) / np.where(np.abs(total) > 0, total, 1), np.float64)


def _mean(values: Floats) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _over_bands(image: Floats) -> Floats:
    """The mean of the bands, NaN where none is valid."""
    known = np.isfinite(image)
    total = np.where(known, image, 0).sum(0)
    return np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan)


def _some(values: Floats) -> Floats:
    return values if np.isfinite(values).any() else np.zeros(1)
