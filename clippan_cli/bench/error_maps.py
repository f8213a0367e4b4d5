"""Where each method of a suite is wrong: its error against the truth in one place of a scene."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from clippan_cli.bench.scenes import OpenScene
from clippan_cli.options.scene import read_options
from clippan_cli.pages.content import ErrorMaps, Floats, Map, View
from clippan_cli.quality.subject import Subject, open_subject
from clippan_cli.report.crops import place_of_edges, read_overview
from clippan_cli.report.painting import page_stretch
from clippan_cli.report.position import describe_place, scale_bar
from clippan_cli.running.control import Control
from clippan_cli.scene.band_roles import band_roles
from clippan_cli.scene.scene import Scene, scene_as_referenced
from clippan_models.contracts import Window
from clippan_models.errors import ClippanError

_BRIGHTEST = 99.0  # percentile of the errors of all methods: single pixels do not set the scale


def error_maps(scene: OpenScene, images: Mapping[str, Path], control: Control) -> ErrorMaps | None:
    """The absolute error of each image, as a mean over the bands, where PAN has the most contrast.

    Of each file only this place is read, and of MS and PAN an overview.

    Args:
        scene: with truth.
        images: of its methods, by name.
        control: told of images that cannot be read.

    Returns:
        The maps; None where there is none.

    Raises:
        InputError: MS, PAN or the truth cannot be read.
    """
    with ExitStack() as stack:
        opened = scene_as_referenced(scene.files, read_options(scene.options), Control(), stack)
        overview = read_overview(opened, opened.window)
        place = place_of_edges(opened.window, overview)
        if place is None or scene.truth is None:
            return None
        on_pan = Window(opened.window.row + place.row, opened.window.col + place.col, place.height, place.width)
        truth = _read(open_subject(opened, scene.truth, stack), on_pan)
        errors = {}
        for name, path in images.items():
            try:
                errors[name] = _error(opened, path, truth, on_pan, stack)
            except ClippanError as error:
                control.on_note(f"{scene.name} has no error map of {name}: {error}")
        known = np.concatenate([each[np.isfinite(each)] for each in errors.values()] or [np.empty(0)])
        if not known.size:
            return None
        rgb = list(band_roles(opened.pair.ms, opened.sensor).rgb)
        colours = page_stretch(overview.ms).of_bands(rgb).paint(truth[rgb])
        return ErrorMaps(
            scene.name,
            describe_place(opened.pair, on_pan),
            View("truth", colours),
            float(f"{np.percentile(known, _BRIGHTEST):.2g}"),
            tuple(Map(name, error, _summary(error)) for name, error in errors.items()),
            scale_bar(opened.pair, on_pan),
        )


def _error(scene: Scene, path: Path, truth: Floats, on_pan: Window, stack: ExitStack) -> Floats:
    return np.asarray(np.abs(_read(open_subject(scene, str(path), stack), on_pan) - truth).mean(0), np.float64)


def _read(subject: Subject, on_pan: Window) -> Floats:
    """An image in a window of the PAN grid, NaN where invalid."""
    at = subject.place
    values, valid = subject.image.read(Window(on_pan.row - at.row, on_pan.col - at.col, on_pan.height, on_pan.width))
    return np.where(valid, values, np.nan).astype(np.float64)


def _summary(error: Floats) -> str:
    known = error[np.isfinite(error)]
    return f"mean {known.mean():.3g} DN" if known.size else "no value is known"
