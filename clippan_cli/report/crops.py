"""Places worth a look: chosen by what they hold and by where the image is worst, drawn under one common stretch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from clippan_cli.pages.content import Crop, Floats, Pixels, View
from clippan_cli.quality.measure import Measured
from clippan_cli.quality.result import short_names
from clippan_cli.rasters.source import Values
from clippan_cli.report.quicklook import rgb_bands
from clippan_cli.scene.scene import Scene
from clippan_models.contracts import Window

_SIDE = 192  # PAN pixels a side of a crop, shown 1:1; less in small scenes, where all would look alike
_OVERVIEW = 640  # pixels: longer side of the overview
_MOST_IMAGES = 4  # given images drawn
_PERCENTILES = (1.0, 98.5)
_GAMMA = 1.5  # linear pictures of cities are dark: a few roofs take the whole range
_CANDIDATES = 3000


@dataclass(frozen=True)
class Stretch:
    """From values to grey levels: what is black and what is white, per band."""

    low: Floats
    high: Floats

    @classmethod
    def of(cls, image: Floats) -> Stretch:
        """The percentiles of an image `[n, h, w]`, NaN left out."""
        flat = image.reshape(len(image), -1)
        if not np.isfinite(flat).any():
            return cls(np.zeros(len(image)), np.ones(len(image)))
        low, high = np.nanpercentile(flat, _PERCENTILES, axis=1)
        return cls(low, np.where(high > low, high, low + 1))

    def paint(self, image: Floats) -> Pixels:
        """An image `[1 or 3, h, w]` as a picture; NaN is grey."""
        shown = np.clip((image - self.low[:, None, None]) / (self.high - self.low)[:, None, None], 0, 1)
        shown = np.where(np.isfinite(shown), 255 * shown ** (1 / _GAMMA), 128)
        rgb = np.repeat(shown, 3, 0) if len(shown) == 1 else shown
        return np.asarray(rgb.transpose(1, 2, 0) + 0.5, np.uint8)


@dataclass(frozen=True)
class Place:
    """A chosen window of the image that is assessed first."""

    title: str
    why: str
    window: Window


@dataclass(frozen=True)
class Overview:
    """The whole image, small.

    Attributes:
        pan: `[1, h, w]`, NaN where invalid.
        ms: `[C, h, w]`.
        scale: pixels of the overview per PAN pixel.
    """

    pan: Floats
    ms: Floats
    scale: float


def read_overview(scene: Scene, place: Window) -> Overview:
    """MS and PAN over a place, small enough to look at as a whole."""
    scale = min(1.0, _OVERVIEW / max(place.height, place.width))
    shape = (max(1, round(place.height * scale)), max(1, round(place.width * scale)))
    pan = scene.pair.pan.picture(scene.pair.pan.bands[:1], _floats(place), shape)
    return Overview(pan.astype(np.float64), _ms_picture(scene, place, shape).astype(np.float64), scale)


def choose_places(scene: Scene, first: Measured, overview: Overview) -> tuple[Place, ...]:
    """Up to eight windows that differ: edges, vegetation, water, bright roofs, shadow, and the worst spots.

    Args:
        scene: the pair.
        first: the image whose worst spots are shown.
        overview: of its place.
    """
    place = first.subject.place
    shorter = min(place.height, place.width)
    side = min(shorter, _SIDE, max(64, shorter // 4))
    cells = _cells(place, side, overview)
    if not cells:
        return ()
    chosen: list[Place] = []
    for title, why, score in _wishes(scene, first, overview, cells):
        order = np.argsort(-np.where(np.isfinite(score), score, -np.inf), kind="stable")
        for k in order:
            if not np.isfinite(score[k]):
                break
            if all(_overlap(cells[k], other.window) < 0.25 for other in chosen):
                chosen.append(Place(title, why, cells[k]))
                break
    return tuple(chosen)


def draw_crops(
    scene: Scene, measured: Sequence[Measured], places: Sequence[Place], overview: Overview
) -> tuple[tuple[Crop, ...], str]:
    """The places in PAN, MS and every image, and what the stretch is."""
    rgb = rgb_bands(scene.pair.ms, scene.sensor)
    false = _false_bands(scene)
    stretch, pan_stretch = Stretch.of(overview.ms), Stretch.of(overview.pan)
    shown = drawn_images(measured)
    names = short_names([m.assessment.path for m in shown])
    first = shown[0].subject.place

    def natural(image: Floats, bands: tuple[int, ...]) -> Pixels:
        return Stretch(stretch.low[list(bands)], stretch.high[list(bands)]).paint(image[list(bands)])

    def view(label: str, image: Floats) -> View:
        return View(label, natural(image, rgb), natural(image, false) if false is not None else None)

    crops = []
    for one in places:
        w = one.window
        on_pan = Window(first.row + w.row, first.col + w.col, w.height, w.width)
        pan = scene.pair.pan.picture(scene.pair.pan.bands[:1], _floats(on_pan), (w.height, w.width))
        views = [View("PAN", pan_stretch.paint(pan.astype(np.float64)))]
        views.append(view("MS", _ms_picture(scene, on_pan, (w.height, w.width)).astype(np.float64)))
        for name, m in zip(names, shown, strict=True):
            at = m.subject.place
            values, valid = m.subject.image.read(Window(on_pan.row - at.row, on_pan.col - at.col, w.height, w.width))
            views.append(view(name, np.where(valid, values, np.nan).astype(np.float64)))
        text = f"{w.width} x {w.height} PAN pixels from column {on_pan.col}, row {on_pan.row}"
        crops.append(Crop(one.title, one.why, text, tuple(views)))
    low, high = (", ".join(f"{v:.4g}" for v in values[list(rgb)]) for values in (stretch.low, stretch.high))
    text = (
        f"All colour pictures share one stretch: black to white are {low} to {high} DN in red, green and blue, "
        f"percentiles {_PERCENTILES[0]:g} and {_PERCENTILES[1]:g} of MS, with a gamma of {_GAMMA:g}. PAN has its own. "
        "Pictures are 1:1 and not smoothed; MS shows its own pixels."
    )
    return tuple(crops), text


def drawn_images(measured: Sequence[Measured]) -> list[Measured]:
    """The images that a page draws: the first ones given, and the baselines."""
    given = [m for m in measured if m.subject.role == "given"]
    return [*given[:_MOST_IMAGES], *(m for m in measured if m.subject.role == "baseline")]


def draw_overview(scene: Scene, places: Sequence[Place], overview: Overview) -> View:
    """The whole scene in MS, with numbered squares at the places."""
    rgb = list(rgb_bands(scene.pair.ms, scene.sensor))
    picture = Image.fromarray(Stretch.of(overview.ms[rgb]).paint(overview.ms[rgb]))
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(20)
    for number, place in enumerate(places, start=1):
        w = place.window
        corners = [w.col, w.row, w.col_stop, w.row_stop]
        left, top, right, bottom = (round(v * overview.scale) for v in corners)
        pen.rectangle(
            (left - 1, top - 1, max(right, left + 6) + 1, max(bottom, top + 6) + 1), outline=(0, 0, 0), width=4
        )
        pen.rectangle((left, top, max(right, left + 6), max(bottom, top + 6)), outline=(255, 255, 255), width=2)
        pen.text((left + 6, top + 3), str(number), fill="white", stroke_width=2, stroke_fill="black", font=font)
    return View("MS", np.asarray(picture, np.uint8))


def _wishes(
    scene: Scene, first: Measured, overview: Overview, cells: Sequence[Window]
) -> list[tuple[str, str, Floats]]:
    """What to look for: title, how it is found, and how well each cell fits."""

    def mean(image: Floats) -> Floats:
        return np.array([_mean(image[_on_overview(c, overview)]) for c in cells])

    gradient = np.hypot(*np.gradient(np.nan_to_num(overview.pan[0], nan=_mean(overview.pan))))
    bright = _over_bands(overview.ms)
    peak = np.array([np.nanpercentile(_some(bright[_on_overview(c, overview)]), 95) for c in cells])
    wishes = [("Edges", "the most contrast between neighbours in PAN", mean(gradient))]
    roles = colour_roles(scene)
    if roles is not None:
        red, green, nir = (overview.ms[b] for b in roles)
        wishes.append(("Vegetation", "the highest NDVI", mean(_index(nir, red))))
        water = mean(_index(green, nir)) - mean(bright) / (np.nanmax(bright) or 1)
        wishes.append(("Water or shade", "the highest NDWI among dark places", water))
    wishes.append(("Bright roofs", "the brightest spots in MS", peak))
    maps, name = first.maps, first.assessment.path
    for index, title in (("D_lambda", "Worst colours"), ("D_s", "Worst detail"), ("D_rho", "Least like PAN")):
        values, cell = maps.image(index).numpy().astype(np.float64), maps.cell_of(index)
        score = np.array([_mean(values[_on_map(c, cell)]) for c in cells])
        wishes.append((title, f"the highest {index} of {short_names([name])[0]}", score))
    return wishes


def colour_roles(scene: Scene) -> tuple[int, int, int] | None:
    """0-based bands red, green and near infrared, by the sensor or by the custom for four and eight bands."""
    sensor, count = scene.sensor, scene.pair.ms.count
    if len(sensor.bands) == count:
        centres = [sum(b.wavelength_nm) / 2 for b in sensor.bands]
        red, green, nir = (int(np.argmin([abs(c - nm) for c in centres])) for nm in (660, 550, 830))
        return (red, green, nir) if abs(centres[nir] - 830) < 80 else None
    return {4: (2, 1, 3), 8: (4, 2, 6)}.get(count)


def _false_bands(scene: Scene) -> tuple[int, int, int] | None:
    roles = colour_roles(scene)
    return None if roles is None else (roles[2], roles[0], roles[1])


def _cells(place: Window, side: int, overview: Overview) -> list[Window]:
    """Candidates: half overlapping squares, thinned in large scenes, where nearly all is valid."""
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


def _overlap(one: Window, other: Window) -> float:
    rows = min(one.row_stop, other.row_stop) - max(one.row, other.row)
    cols = min(one.col_stop, other.col_stop) - max(one.col, other.col)
    return max(rows, 0) * max(cols, 0) / one.pixels


def _index(one: Floats, other: Floats) -> Floats:
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


def _ms_picture(scene: Scene, on_pan: Window, shape: tuple[int, int]) -> Values:
    """All bands of MS under a window of the PAN grid, with its own pixels."""
    left, top, _, _ = scene.pair.ms_footprint()
    s = scene.nominal.sampling
    ms = scene.pair.ms
    place = ((on_pan.col - left) / s.ratio_x, (on_pan.row - top) / s.ratio_y, on_pan.width / s.ratio_x)
    return ms.picture(ms.bands, (*place, on_pan.height / s.ratio_y), shape)


def _floats(window: Window) -> tuple[float, float, float, float]:
    return float(window.col), float(window.row), float(window.width), float(window.height)
