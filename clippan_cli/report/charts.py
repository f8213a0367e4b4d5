"""What a page draws beside pictures: histograms, spectra, power, PAN against intensity, shifts, seams, learning."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clippan_cli.pages.content import Chart, Density, Floats, Line, Section, Table, Vectors
from clippan_cli.quality.measure import Measured, band_names
from clippan_cli.quality.result import short_names
from clippan_cli.rasters.metadata import PROVENANCE_DOMAIN
from clippan_cli.rasters.points import NamedPoint
from clippan_cli.rasters.source import RasterSource
from clippan_cli.rasters.tiles import plan_tiles
from clippan_cli.report.crops import Place, drawn_images
from clippan_cli.scene.scene import Estimate, Scene
from clippan_models.contracts import Window

_WINDOW = 256
_WINDOWS = 12
_BINS = 64
_MOST_POINTS = 6
_SEAM_STRIPS = 6
_FAR = 0.5  # PAN pixels: a shift of MS beyond it changes what indices say


@dataclass(frozen=True)
class Sample:
    """One window of the first image's ground in every image; NaN where anything is invalid.

    Attributes:
        window: within the first image.
        pan: `[h, w]`.
        exp: MS interpolated, `[C, h, w]`.
        images: fused, `[C, h, w]` each.
        seen: the first image as MS would have seen it, on the PAN grid.
    """

    window: Window
    pan: Floats
    exp: Floats
    images: tuple[Floats, ...]
    seen: Floats


def take_samples(measured: Sequence[Measured]) -> tuple[Sample, ...]:
    """A bounded number of windows from all over the ground of the first image."""
    shown = drawn_images(measured)
    first = shown[0]
    height, width = first.planes.shape
    size = min(_WINDOW, height, width)
    cells = [w for w in plan_tiles(Window(0, 0, height, width), size) if (w.height, w.width) == (size, size)]
    chosen = [cells[int(i)] for i in np.unique(np.linspace(0, len(cells) - 1, min(_WINDOWS, len(cells))).round())]
    return tuple(_sample(window, shown) for window in chosen)


def _sample(window: Window, shown: Sequence[Measured]) -> Sample:
    first = shown[0]
    valid = first.planes.valid(window).cpu().numpy()

    def known(image: Any) -> Floats:
        return np.where(valid, image.double().cpu().numpy(), np.nan)

    images = []
    for m in shown:
        row = first.subject.place.row + window.row - m.subject.place.row
        col = first.subject.place.col + window.col - m.subject.place.col
        values, good = m.subject.image.read(Window(row, col, window.height, window.width))
        images.append(np.where(valid & good, values, np.nan).astype(np.float64))
    planes = first.planes
    return Sample(
        window,
        known(planes.pan(window))[0],
        known(planes.exp(window)),
        tuple(images),
        known(planes.fused_mtf(window)),
    )


def histograms(scene: Scene, samples: Sequence[Sample], name: str) -> Section:
    """How often each value occurs in MS, in the image, and in the image seen as MS was."""
    charts = []
    for b, band in enumerate(band_names(scene)):
        values = {
            "MS": np.concatenate([s.exp[b].ravel() for s in samples]),
            name: np.concatenate([s.images[0][b].ravel() for s in samples]),
            f"{name}, seen as MS was": np.concatenate([s.seen[b].ravel() for s in samples]),
        }
        finite = {label: v[np.isfinite(v)] for label, v in values.items()}
        if not all(v.size for v in finite.values()):
            continue
        low, high = np.percentile(np.concatenate(list(finite.values())), [0.1, 99.9])
        edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
        lines = []
        for label, v in finite.items():
            counts = np.histogram(v, edges)[0] / v.size
            lines.append(Line(label, tuple((edges[:-1] + edges[1:]) / 2), tuple(100 * counts)))
        means = ", ".join(f"{label} {v.mean():.1f}" for label, v in finite.items())
        charts.append(Chart(band, f"Histogram of {band}; means: {means}", "DN", "pixels, %", tuple(lines), steps=True))
    text = (
        "A sharp image may spread further than MS, for it holds smaller things. Seen as MS was, it should have the "
        "histogram of MS."
    )
    return Section("Histograms", (text,), charts=tuple(charts))


def spectra(
    scene: Scene, measured: Sequence[Measured], points: Sequence[NamedPoint], places: Sequence[Place]
) -> Section:
    """Spectra at points: MS, and the mean of each image over the ground of that MS pixel."""
    shown = drawn_images(measured)
    names = short_names([m.assessment.path for m in shown])
    first = shown[0].subject.place
    chosen = list(points) or [
        NamedPoint(p.title, first.row + (w := p.window).row + w.height // 2, first.col + w.col + w.width // 2)
        for p in places[:_MOST_POINTS]
    ]
    charts = [_spectrum(scene, shown, names, point) for point in chosen]
    text = "Each line of an image is its mean over the ground of the MS pixel; it should run through MS."
    return Section("Spectra", (text,), charts=tuple(chart for chart in charts if chart is not None))


def _spectrum(scene: Scene, shown: Sequence[Measured], names: Sequence[str], point: NamedPoint) -> Chart | None:
    s = scene.nominal.sampling
    row, col = round((point.row - s.phase_y[0]) / s.ratio_y), round((point.col - s.phase_x[0]) / s.ratio_x)
    ms, valid = scene.pair.ms.read(Window(row, col, 1, 1))
    if not valid.all():
        return None
    sensor, count = scene.sensor, scene.pair.ms.count
    known = len(sensor.bands) == count
    x = [sum(b.wavelength_nm) / 2 for b in sensor.bands] if known else [float(b + 1) for b in range(count)]
    order = np.argsort(x)
    positions = tuple(x[int(i)] for i in order)
    lines = [Line("MS", positions, tuple(float(ms[int(i), 0, 0]) for i in order))]
    top, left = round(s.phase_y[0] + s.ratio_y * (row - 0.5) + 0.5), round(s.phase_x[0] + s.ratio_x * (col - 0.5) + 0.5)
    size = (max(1, round(s.ratio_y)), max(1, round(s.ratio_x)))
    for name, m in zip(names, shown, strict=True):
        at = m.subject.place
        values, good = m.subject.image.read(Window(top - at.row, left - at.col, *size))
        if good.all():
            lines.append(Line(name, positions, tuple(float(values[int(i)].mean()) for i in order)))
    title = f"{point.name} (column {point.col}, row {point.row})"
    ticks = () if known else tuple((float(b + 1), n) for b, n in enumerate(band_names(scene)))
    return Chart(
        title,
        f"Spectrum at {title}: MS and the images",
        "wavelength, nm" if known else "band",
        "DN",
        tuple(lines),
        x_ticks=ticks,
    )


def detail(scene: Scene, samples: Sequence[Sample], names: Sequence[str]) -> Section:
    """How much power each image has at each scale, and how PAN follows from its bands."""
    return Section(
        "Detail",
        (
            "Left of the line at the Nyquist frequency of MS, an image should have the power of MS; right of it, that "
            "of PAN. Power beyond PAN is noise or ringing; a line that falls early is blur.",
        ),
        charts=(_power(scene, samples, names),),
        densities=tuple(d for d in (_pan_and_intensity(samples, names[0]),) if d is not None),
    )


def _power(scene: Scene, samples: Sequence[Sample], names: Sequence[str]) -> Chart:
    sums: dict[str, Floats] = {}
    radius: Floats = np.zeros(0)
    for sample in samples:
        planes = {"PAN": sample.pan, "MS, interpolated": sample.exp.mean(0)}
        planes |= {n: i.mean(0) for n, i in zip(names, sample.images, strict=True) if n != "EXP"}
        if not all(np.isfinite(p).all() for p in planes.values()):
            continue
        for label, plane in planes.items():
            radius, power = _radial(plane / (plane.mean() or 1))
            sums[label] = sums.get(label, 0) + power
    nyquist = 1 / (2 * scene.nominal.sampling.ratio)
    lines = tuple(Line(label, tuple(radius[1:]), tuple(power[1:])) for label, power in sums.items())
    return Chart(
        "Radial power spectra",
        "Radial power spectra of PAN, MS and the images, relative to their mean",
        "cycles per PAN pixel",
        "power",
        lines,
        marks=((nyquist, "Nyquist of MS"),),
        log_y=True,
    )


def _radial(plane: Floats) -> tuple[Floats, Floats]:
    """Mean power by frequency, in cycles per pixel."""
    size = len(plane)
    taper = np.hanning(size)[:, None] * np.hanning(size)
    power = np.abs(np.fft.rfft2((plane - plane.mean()) * taper)) ** 2
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)
    bins = np.minimum((np.hypot(fy, fx) * 2 * 48).astype(int), 48).ravel()
    counts = np.bincount(bins, minlength=49)[:48]
    total = np.bincount(bins, power.ravel(), minlength=49)[:48]
    return (np.arange(48) + 0.5) / 96, np.asarray(total / np.maximum(counts, 1) + 1e-30, np.float64)


def _pan_and_intensity(samples: Sequence[Sample], name: str) -> Density | None:
    bands = np.concatenate([s.images[0].reshape(len(s.images[0]), -1) for s in samples], axis=1)
    pan = np.concatenate([s.pan.ravel() for s in samples])
    good = np.isfinite(pan) & np.isfinite(bands).all(0)
    if good.sum() < 100:
        return None
    bands, pan = bands[:, good], pan[good]
    design = np.vstack([bands, np.ones_like(pan)]).T
    weights = np.linalg.lstsq(design, pan, rcond=None)[0]
    intensity = design @ weights
    spread = float(pan.var()) or 1.0
    r2 = 1 - float((pan - intensity).var()) / spread
    low, high = np.percentile(np.concatenate([pan, intensity]), [0.1, 99.9])
    limits = (float(low), float(high) if high > low else float(low) + 1)
    counts = np.histogram2d(pan, intensity, bins=72, range=[limits, limits])[0]
    listed = ", ".join(f"{w:.3f}" for w in weights[:-1])
    return Density(
        "PAN against the intensity of the image",
        f"Density of PAN against the best mixture of the bands of {name}: R² {r2:.4f}",
        f"mixture of the bands of {name}, DN",
        "PAN, DN",
        counts,
        limits,
        limits,
        f"R² {r2:.4f}; weights {listed}, offset {weights[-1]:.1f}. PAN should follow from the bands: a narrow line.",
    )


def registration(scene: Scene, estimate: Estimate | None, samples: Sequence[Sample], measured: Measured) -> Section:
    """Where MS lies against PAN, and whether the image lies on PAN."""
    text, table = [], None
    if estimate is not None:
        found = estimate.registration
        rows = zip(band_names(scene), found.shift_y, found.shift_x, found.correlation, strict=True)
        table = Table(
            ("band of MS", "down, PAN px", "right, PAN px", "correlation with PAN"),
            tuple((name, (y, x, c)) for name, y, x, c in rows),
        )
        worst = _worst_shift(estimate)
        text.append(f"MS lies up to {worst:.2f} PAN pixels from where the georeferencing says.")
    places = _local_shifts(samples, measured)
    vectors: tuple[Vectors, ...] = ()
    if places:
        size = [math.hypot(p[2], p[3]) for p in places]
        median, most = float(np.median(size)), max(size)
        text.append(
            f"The image lies {median:.2f} pixels from PAN (median of {len(places)} places, at most {most:.2f})."
        )
        scale = min(measured.subject.place.width / 12 / max(most, 0.25), measured.subject.place.width / 6)
        alt = f"Displacement of the image against PAN at {len(places)} places: median {median:.2f} pixels"
        shape = (measured.subject.place.width, measured.subject.place.height)
        vectors = (Vectors("The image against PAN", alt, shape, tuple(places), scale),)
    return Section("Co-registration", tuple(text), table=table, vectors=vectors)


def warn_of_shift(estimate: Estimate | None) -> tuple[str, ...]:
    """What a shift of MS does to the indices."""
    if estimate is None or _worst_shift(estimate) <= _FAR:
        return ()
    return (
        f"MS lies {_worst_shift(estimate):.2f} PAN pixels from where its georeferencing says: images that keep this "
        "error get a better D_s, and so QNR and HQNR, than those that mend it",
    )


def _worst_shift(estimate: Estimate) -> float:
    found = estimate.registration
    return max(math.hypot(y, x) for y, x in zip(found.shift_y, found.shift_x, strict=True))


def _local_shifts(samples: Sequence[Sample], measured: Measured) -> list[tuple[float, float, float, float]]:
    """Displacement of the image against PAN in quarters of the samples: the peak of their phase correlation."""
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
    """Rows and columns by which the other image lies further down and right, to a fraction of a pixel."""
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
    """Whether steps at the borders of tiles are larger than elsewhere, by the measure of PAN, which has no tiles."""
    image, place, planes = measured.subject.image, measured.subject.place, measured.planes
    tagged = _tags(image).get("TILE")
    sizes = [int(tagged)] if tagged and tagged.isdigit() else [256, 512, 1024]
    rows, seen = [], []
    for size in sizes:
        if size >= max(place.height, place.width):
            continue
        steps: dict[bool, list[float]] = {True: [], False: []}
        for window in _strips(place, size):
            fused, pan = planes.fused(window).double().mean(0), planes.pan(window).double()[0]
            valid = planes.valid(window)
            across = window.width > window.height
            ratio = _step(fused, valid, across) / max(_step(pan, valid, across), 1e-9)
            at_border = (window.row if across else window.col) % size == size - 1
            if math.isfinite(ratio):
                steps[at_border].append(ratio)
        if steps[True] and steps[False]:
            borders, others = (float(np.mean(steps[k])) for k in (True, False))
            doubt = float(np.std(steps[False])) / math.sqrt(len(steps[True]))
            rows.append((f"{size} pixels", (borders, others, float(len(steps[True])))))
            if borders > 1.1 * others and borders - others > 3 * doubt:
                seen.append(f"{borders / others:.2f} times those elsewhere for tiles of {size} pixels")
    if not rows:
        return Section("Seams", ("The image is one tile: there is nothing to check.",))
    verdict = f"Steps at the borders are {', '.join(seen)}: look there." if seen else "No seams beyond chance."
    how = "Mean step between neighbouring pixels, relative to that of PAN, at the borders of tiles and elsewhere. "
    table = Table(("tile", "at borders", "elsewhere", "places"), tuple(rows))
    return Section("Seams", (how + verdict,), table=table)


def _strips(place: Window, size: int) -> list[Window]:
    """Thin windows two pixels wide, across borders of tiles and half a tile away from them."""
    found = []
    for border in range(size, place.width, max(size, place.width // _SEAM_STRIPS // size * size)):
        for col in (border - 1, border - 1 - size // 2):
            found += [Window(r, col, 128, 2) for r in range(0, place.height - 127, max(128, place.height // 4))]
    for border in range(size, place.height, max(size, place.height // _SEAM_STRIPS // size * size)):
        for row in (border - 1, border - 1 - size // 2):
            found += [Window(row, c, 2, 128) for c in range(0, place.width - 127, max(128, place.width // 4))]
    return [w for w in found if w.row_stop <= place.height and w.col_stop <= place.width]


def _step(image: Any, valid: Any, rows: bool) -> float:
    step = (image[1] - image[0]) if rows else (image[:, 1] - image[:, 0])
    good = (valid[1] & valid[0]) if rows else (valid[:, 1] & valid[:, 0])
    return float(step[good].abs().mean()) if good.any() else float("nan")


def adaptation(measured: Sequence[Measured]) -> Section | None:
    """How the network learned, where the file tells."""
    for m in measured:
        text = _tags(m.subject.image).get("CURVE")
        if not text:
            continue
        try:
            curve = json.loads(text)
            names = [n for n in curve["loss"][0] if n != "step"]
            alt = f"Adaptation of {short_names([m.assessment.path])[0]}: loss by step"
            chart = loss_chart("Validation loss", alt, curve["loss"], names, float(curve["best_step"]))
        except (ValueError, KeyError, TypeError, IndexError):
            continue
        return Section("Adaptation", ("Loss on windows that were held back.",), charts=(chart,))
    return None


def loss_chart(
    title: str, alt: str, curve: Sequence[Mapping[str, float]], names: Sequence[str], best_step: float
) -> Chart:
    """Lines of a curve by step, the best one marked; the points hold "step" and the names."""
    steps = tuple(float(point["step"]) for point in curve)
    lines = tuple(Line(n, steps, tuple(float(point.get(n, math.nan)) for point in curve)) for n in names)
    return Chart(title, alt, "step", "loss", lines, marks=((best_step, "best"),))


def _tags(image: Any) -> dict[str, str]:
    return dict(image.datasets[0].tags(ns=PROVENANCE_DOMAIN)) if isinstance(image, RasterSource) else {}
