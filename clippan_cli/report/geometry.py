"""Sections on geometry: whether MS and the image lie on PAN, and whether the borders of tiles can be seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from clippan_cli.pages.content import Floats, Section, Table, Vectors
from clippan_cli.quality.measure import Measured
from clippan_cli.quality.subject import band_names
from clippan_cli.report.charts import Sample
from clippan_cli.report.findings import Findings
from clippan_cli.report.provenance import provenance_tags
from clippan_models.contracts import Window

_STRIPS = 6  # borders of tiles that are looked at along each axis
_STRIP_LENGTH = 128


def registration(findings: Findings, samples: Sequence[Sample]) -> Section:
    """Where MS lies against PAN, and where the first image does."""
    text, table = [], None
    if findings.estimate is not None:
        found = findings.estimate.registration
        rows = zip(band_names(findings.scene), found.shift_y, found.shift_x, found.correlation, strict=True)
        table = Table(
            ("band of MS", "down, PAN px", "right, PAN px", "correlation with PAN"),
            tuple((name, (y, x, c)) for name, y, x, c in rows),
        )
        worst = found.largest
        text.append(f"MS is shifted by up to {worst:.2f} PAN pixels from the position that its georeferencing gives.")
    place, displacements = findings.first.subject.place, _displacements(samples)
    if not displacements:
        return Section("Co-registration", tuple(text), table=table)
    lengths = [math.hypot(right, down) for _, _, right, down in displacements]
    median, most = float(np.median(lengths)), max(lengths)
    text.append(
        f"The image is displaced by {median:.2f} pixels from PAN (median of {len(lengths)} places, at most {most:.2f})."
    )
    vectors = Vectors(
        "The image against PAN",
        f"Displacement of the image against PAN at {len(lengths)} places: median {median:.2f} pixels",
        (place.width, place.height),
        tuple(displacements),
        min(place.width / 12 / max(most, 0.25), place.width / 6),
    )
    return Section("Co-registration", tuple(text), (vectors,), table)


def _displacements(samples: Sequence[Sample]) -> list[tuple[float, float, float, float]]:
    """Column, row, right and down: the image against PAN in each quarter of the samples."""
    found = []
    for sample in samples:
        half = min(sample.pan.shape) // 2
        for row in (0, half):
            for col in (0, half):
                part = (slice(row, row + half), slice(col, col + half))
                shift = _shift(sample.pan[part], sample.images[0].mean(0)[part])
                if shift is not None:
                    middle = half / 2
                    x, y = sample.window.col + col + middle, sample.window.row + row + middle
                    found.append((x, y, shift[1], shift[0]))
    return found


def _shift(one: Floats, other: Floats) -> tuple[float, float] | None:
    """Rows and columns by which the other image lies further down and right: the peak of the correlation of edges."""
    if not (np.isfinite(one).all() and np.isfinite(other).all()) or min(one.std(), other.std()) == 0:
        return None
    taper = np.hanning(len(one))[:, None] * np.hanning(one.shape[1])
    a, b = (np.fft.fft2(np.hypot(*np.gradient(image)) * taper) for image in (one, other))
    cross = np.fft.ifft2(b * a.conj()).real
    row, col = np.unravel_index(int(cross.argmax()), cross.shape)
    shift = []
    for axis, at in ((0, int(row)), (1, int(col))):
        line = np.roll(cross, -at + 1, axis=axis).take(range(3), axis=axis)
        line = line[:, int(col)] if axis == 0 else line[int(row)]
        bend = line[0] - 2 * line[1] + line[2]
        fraction = 0.5 * (line[0] - line[2]) / bend if bend else 0.0
        size = cross.shape[axis]
        shift.append((at + size // 2) % size - size // 2 + float(np.clip(fraction, -0.5, 0.5)))
    return (shift[0], shift[1]) if max(map(abs, shift)) < 4 else None


def seams(measured: Measured) -> Section:
    """Whether steps at the borders of tiles are larger than elsewhere, relative to those of PAN, which has no tiles."""
    place = measured.subject.place
    tile = provenance_tags(measured.subject.image).get("TILE", "")
    rows, seen = [], []
    for size in [int(tile)] if tile.isdigit() else [256, 512, 1024]:
        if size >= max(place.height, place.width):
            continue
        at_borders, elsewhere = _relative_steps(measured, size)
        if not (at_borders and elsewhere):
            continue
        border, other = float(np.mean(at_borders)), float(np.mean(elsewhere))
        doubt = float(np.std(elsewhere)) / math.sqrt(len(at_borders))
        rows.append((f"{size} pixels", (border, other, float(len(at_borders)))))
        if border > 1.1 * other and border - other > 3 * doubt:
            seen.append(f"{border / other:.2f} times those elsewhere for tiles of {size} pixels")
    if not rows:
        return Section("Seams", ("The image is one tile, so there are no borders to check.",))
    verdict = f"Steps at the borders are {', '.join(seen)}: look there." if seen else "No seams beyond chance."
    how = "Mean step between neighbouring pixels, relative to that of PAN, at the borders of tiles and elsewhere. "
    return Section("Seams", (how + verdict,), table=Table(("tile", "at borders", "elsewhere", "places"), tuple(rows)))


def _relative_steps(measured: Measured, size: int) -> tuple[list[float], list[float]]:
    """Steps of the image over those of PAN at borders of tiles, and elsewhere."""
    planes = measured.planes
    at_borders: list[float] = []
    elsewhere: list[float] = []
    for window in _strips(measured.subject.place, size):
        fused, pan = planes.fused(window).double().mean(0), planes.pan(window).double()[0]
        valid = planes.valid(window)
        across = window.width > window.height
        ratio = _step(fused, valid, across) / max(_step(pan, valid, across), 1e-9)
        if math.isfinite(ratio):
            border = (window.row if across else window.col) % size == size - 1
            (at_borders if border else elsewhere).append(ratio)
    return at_borders, elsewhere


def _strips(place: Window, size: int) -> list[Window]:
    """Windows two pixels wide, across borders of tiles and half a tile away from them."""
    found = []
    for border in range(size, place.width, max(size, place.width // _STRIPS // size * size)):
        for col in (border - 1, border - 1 - size // 2):
            found += [Window(row, col, _STRIP_LENGTH, 2) for row in _starts(place.height)]
    for border in range(size, place.height, max(size, place.height // _STRIPS // size * size)):
        for row in (border - 1, border - 1 - size // 2):
            found += [Window(row, col, 2, _STRIP_LENGTH) for col in _starts(place.width)]
    return [w for w in found if w.row_stop <= place.height and w.col_stop <= place.width]


def _starts(length: int) -> range:
    return range(0, length - _STRIP_LENGTH + 1, max(_STRIP_LENGTH, length // 4))


def _step(image: Any, valid: Any, rows: bool) -> float:
    step = (image[1] - image[0]) if rows else (image[:, 1] - image[:, 0])
    good = (valid[1] & valid[0]) if rows else (valid[:, 1] & valid[:, 0])
    return float(step[good].abs().mean()) if good.any() else float("nan")
