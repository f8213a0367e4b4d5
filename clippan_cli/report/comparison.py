"""Images of one place side by side, with PAN, MS and, where it is known, the truth: on a page and in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from clippan_cli.pages.content import ComparedPlace, Crop, Pixels, Table, View
from clippan_cli.rasters.options import Trust
from clippan_cli.rasters.source import open_source
from clippan_cli.report.painting import as_floats, ms_picture, page_stretch, pan_picture
from clippan_cli.report.position import describe_place, scale_bar
from clippan_cli.report.sheet import Panel, draw_sheet
from clippan_cli.running.control import Control
from clippan_cli.scene.band_roles import band_roles
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.scene import open_scene
from clippan_models.contracts import Window

_TRUTH = "truth"
_NOT_SHOWN = "exp"  # MS says the same
_SHOWN, _MAGNIFIED = 128, 2  # in the picture: PAN pixels a side, and how often each is repeated
_EMPTY = 235  # grey level in place of a truth that nobody knows


@dataclass(frozen=True)
class Spot:
    """A part of the place to look at, in PAN pixels."""

    title: str
    window: Window


@dataclass(frozen=True)
class Comparison:
    """What is compared at one place.

    Attributes:
        name: of the place, short.
        title: of the place and its images.
        text: one paragraph each.
        files: MS and PAN.
        read: how to read them.
        pan_gsd: pixel size of PAN, in m.
        ratio: of the pixel sizes.
        made: images by method, on the grid of PAN.
        spots: parts to look at; the picture shows the middle of the first one.
        truth: what the images should be, or None where nobody knows it.
        scores: figures of the images against the truth, by method and name of the figure, PSNR first.
    """

    name: str
    title: str
    text: tuple[str, ...]
    files: SceneFiles
    read: ReadOptions
    pan_gsd: int
    ratio: int
    made: dict[str, Path]
    spots: tuple[Spot, ...]
    truth: Path | None = None
    scores: dict[str, dict[str, float]] = field(default_factory=dict)


def compared_place(comparison: Comparison) -> ComparedPlace:
    """Draw the images of a place, and put its figures into a table."""
    with ExitStack() as stack:
        scene = open_scene(comparison.files, comparison.read, Control(), stack)
        images = {name: open_source([str(path)], name, Trust(), stack) for name, path in _shown(comparison).items()}
        roles = band_roles(scene.pair.ms, scene.sensor).rgb
        ms_bands = [scene.pair.ms.bands[band] for band in roles]
        whole, shape = scene.window, (scene.window.height, scene.window.width)
        pan_stretch = page_stretch(pan_picture(scene, whole, shape))
        stretch = page_stretch(ms_picture(scene, whole, shape, ms_bands))

        def crop(spot: Spot) -> Crop:
            window, size = spot.window, (spot.window.height, spot.window.width)
            views = [
                View("PAN", pan_stretch.paint(pan_picture(scene, window, size))),
                View("MS", stretch.paint(ms_picture(scene, window, size, ms_bands))),
            ]
            for label, image in images.items():
                bands = [image.bands[band] for band in roles]
                views.append(View(label, stretch.paint(image.picture(bands, as_floats(window), size))))
            place, bar = describe_place(scene.pair, window), scale_bar(scene.pair, window)
            return Crop(f"{comparison.name}: {spot.title}", "", place, tuple(views), bar)

        crops = tuple(crop(spot) for spot in comparison.spots)
    return ComparedPlace(comparison.title, comparison.text, crops, _table(comparison))


def _shown(comparison: Comparison) -> dict[str, Path]:
    images = {method: path for method, path in comparison.made.items() if method != _NOT_SHOWN}
    return images | ({_TRUTH: comparison.truth} if comparison.truth else {})


def draw_comparisons(comparisons: Sequence[Comparison], places: Sequence[ComparedPlace]) -> Image.Image:
    """One row for each place: PAN, MS, the images and the truth, with the PSNR of each image in its caption."""
    return draw_sheet([_row(one, place.crops[0]) for one, place in zip(comparisons, places, strict=True)])


def _row(comparison: Comparison, crop: Crop) -> list[Panel]:
    gsd = comparison.pan_gsd
    captions = {"PAN": f"{comparison.name}: PAN, {gsd} m", "MS": f"MS, {gsd * comparison.ratio} m"}
    captions |= {label: f"{label}, {scores['PSNR']:.1f} dB" for label, scores in comparison.scores.items()}
    panels = [Panel(captions.get(view.label, view.label), _magnified(view.pixels)) for view in crop.views]
    if comparison.truth is None:
        panels.append(Panel(f"{_TRUTH}: not known", np.full_like(panels[0].pixels, _EMPTY)))
    return panels


def _magnified(pixels: Pixels) -> Pixels:
    """The middle of a picture."""
    top, left = ((side - _SHOWN) // 2 for side in pixels.shape[:2])
    return pixels[top : top + _SHOWN, left : left + _SHOWN].repeat(_MAGNIFIED, 0).repeat(_MAGNIFIED, 1)


def _table(comparison: Comparison) -> Table | None:
    if not comparison.scores:
        return None
    rows = tuple((label, tuple(scores.values())) for label, scores in comparison.scores.items())
    figures = np.array([values for _, values in rows])
    best = (int(figures[:, 0].argmax()), *(int(column.argmin()) for column in figures[:, 1:].T))  # only PSNR rises
    return Table(("image against the truth", "PSNR dB", "SAM deg", "ERGAS"), rows, best)
