"""Charts of the pixel values: histograms, spectra, power spectra, PAN against the bands; and charts of a loss."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clippan_cli.pages.content import Chart, Density, Floats, Line, Section
from clippan_cli.quality.measure import Measured
from clippan_cli.quality.result import short_names
from clippan_cli.quality.subject import band_names
from clippan_cli.rasters.points import NamedPoint
from clippan_cli.rasters.tiles import plan_tiles
from clippan_cli.report.crops import Place
from clippan_cli.report.findings import Findings
from clippan_cli.report.provenance import provenance_tags
from clippan_cli.scene.band_roles import band_centres
from clippan_models.contracts import Window

_WINDOW = 256  # PAN pixels a side of a sample
_WINDOWS = 12
_BINS = 64  # of a histogram
_FREQUENCIES = 48  # of a power spectrum, up to half a cycle per pixel
_MOST_POINTS = 6


@dataclass(frozen=True)
class Sample:
    """One window of the first image, with the same extent in every image; NaN where anything is invalid.

    Attributes:
        window: within the first image.
        pan: `[h, w]`.
        exp: MS interpolated, `[C, h, w]`.
        images: fused, `[C, h, w]` each.
        degraded: the images of the user, MTF-degraded, on the PAN grid.
    """

    window: Window
    pan: Floats
    exp: Floats
    images: tuple[Floats, ...]
    degraded: tuple[Floats, ...]


def take_samples(findings: Findings) -> tuple[Sample, ...]:
    """A bounded number of windows, spread over the first image."""
    height, width = findings.first.planes.shape
    size = min(_WINDOW, height, width)
    cells = [w for w in plan_tiles(Window(0, 0, height, width), size) if (w.height, w.width) == (size, size)]
    chosen = [cells[int(i)] for i in np.unique(np.linspace(0, len(cells) - 1, min(_WINDOWS, len(cells))).round())]
    return tuple(_sample(window, findings) for window in chosen)


def _sample(window: Window, findings: Findings) -> Sample:
    planes, place = findings.first.planes, findings.first.subject.place
    valid = planes.valid(window).cpu().numpy()

    def known(image: Any) -> Floats:
        return np.where(valid, image.double().cpu().numpy(), np.nan)

    images, degraded = [], []
    for m in findings.drawn:
        row = place.row + window.row - m.subject.place.row
        col = place.col + window.col - m.subject.place.col
        own = Window(row, col, window.height, window.width)
        values, good = m.subject.image.read(own)
        images.append(np.where(valid & good, values, np.nan).astype(np.float64))
        if m.subject.role == "given":
            degraded.append(np.where(good.all(0), known(m.planes.fused_mtf(own)), np.nan))
    return Sample(window, known(planes.pan(window))[0], known(planes.exp(window)), tuple(images), tuple(degraded))


def histograms(findings: Findings, samples: Sequence[Sample]) -> Section:
    """How often each value occurs in MS, in each image of the user, and in that image MTF-degraded."""
    text = (
        "A sharp image may have a wider histogram than MS, because it resolves smaller objects. The MTF-degraded image "
        "should have the histogram of MS."
    )
    names = findings.names[: len(samples[0].degraded)] if samples else []
    groups = tuple((name, tuple(_histograms(findings, samples, k))) for k, name in enumerate(names))
    if len(groups) == 1:
        return Section("Histograms", (text,), groups[0][1])
    return Section("Histograms", (text,), groups=groups)


def _histograms(findings: Findings, samples: Sequence[Sample], k: int) -> Iterator[Chart]:
    name = findings.names[k]
    for b, band in enumerate(band_names(findings.scene)):
        values = {
            "MS": [s.exp[b] for s in samples],
            name: [s.images[k][b] for s in samples],
            f"{name}, MTF-degraded": [s.degraded[k][b] for s in samples],
        }
        chart = _histogram(band, {label: _finite(parts) for label, parts in values.items()})
        if chart is not None:
            yield chart


def _histogram(band: str, values: Mapping[str, Floats]) -> Chart | None:
    if not all(v.size for v in values.values()):
        return None
    low, high = np.percentile(np.concatenate(list(values.values())), [0.1, 99.9])
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    middles = tuple((edges[:-1] + edges[1:]) / 2)
    lines = tuple(Line(name, middles, tuple(100 * np.histogram(v, edges)[0] / v.size)) for name, v in values.items())
    means = ", ".join(f"{label} {v.mean():.1f}" for label, v in values.items())
    return Chart(band, f"Histogram of {band}; means: {means}", "DN", "pixels, %", lines, steps=True)


def _finite(parts: Sequence[Floats]) -> Floats:
    values = np.concatenate([part.ravel() for part in parts])
    return np.asarray(values[np.isfinite(values)], np.float64)


def spectra(findings: Findings, places: Sequence[Place]) -> Section:
    """Spectra at points: MS, and the mean of each image over the area of that MS pixel.

    Args:
        findings: of the assessment.
        places: whose centres are shown where the user has named no points.
    """
    first = findings.first.subject.place
    chosen = list(findings.points) or [
        NamedPoint(p.title, first.row + (w := p.window).row + w.height // 2, first.col + w.col + w.width // 2)
        for p in places[:_MOST_POINTS]
    ]
    charts = (_spectrum(findings, point) for point in chosen)
    text = "Each line of an image is its mean over the area of one MS pixel; it should coincide with the line of MS."
    return Section("Spectra", (text,), tuple(chart for chart in charts if chart is not None))


def _spectrum(findings: Findings, point: NamedPoint) -> Chart | None:
    scene = findings.scene
    s = scene.nominal.sampling
    row, col = round((point.row - s.phase_y[0]) / s.ratio_y), round((point.col - s.phase_x[0]) / s.ratio_x)
    ms, valid = scene.pair.ms.read(Window(row, col, 1, 1))
    if not valid.all():
        return None
    centres = band_centres(scene.sensor)
    known = len(centres) == scene.pair.ms.count
    x = centres if known else tuple(float(b + 1) for b in range(scene.pair.ms.count))
    order = [int(i) for i in np.argsort(x)]
    positions = tuple(x[i] for i in order)
    lines = [Line("MS", positions, tuple(float(ms[i, 0, 0]) for i in order))]
    top, left = round(s.phase_y[0] + s.ratio_y * (row - 0.5) + 0.5), round(s.phase_x[0] + s.ratio_x * (col - 0.5) + 0.5)
    size = (max(1, round(s.ratio_y)), max(1, round(s.ratio_x)))
    for name, m in zip(findings.names, findings.drawn, strict=True):
        at = m.subject.place
        values, good = m.subject.image.read(Window(top - at.row, left - at.col, *size))
        if good.all():
            lines.append(Line(name, positions, tuple(float(values[i].mean()) for i in order)))
    title = f"{point.name} (column {point.col}, row {point.row})"
    return Chart(
        title,
        f"Spectrum at {title}: MS and the images",
        "wavelength, nm" if known else "band",
        "DN",
        tuple(lines),
        x_ticks=() if known else tuple((float(b), name) for b, name in enumerate(band_names(scene), start=1)),
    )


def detail(findings: Findings, samples: Sequence[Sample]) -> Section:
    """How much power each image has at each scale, and how well a mixture of its bands explains PAN."""
    text = (
        "Below the Nyquist frequency of MS (the vertical line), an image should have the power of MS; above it, that "
        "of PAN. More power than PAN is noise or ringing; a line that falls earlier is blur."
    )
    density = _pan_and_intensity(samples, findings.names[0])
    return Section("Detail", (text,), (_power(findings, samples), *([density] if density is not None else [])))


def _power(findings: Findings, samples: Sequence[Sample]) -> Chart:
    sums: dict[str, Floats] = {}
    radius: Floats = np.zeros(0)
    for sample in samples:
        planes = {"PAN": sample.pan, "MS, interpolated": sample.exp.mean(0)}
        planes |= {n: i.mean(0) for n, i in zip(findings.names, sample.images, strict=True) if n != "EXP"}
        if not all(np.isfinite(p).all() for p in planes.values()):
            continue
        for label, plane in planes.items():
            radius, power = _radial(plane / (plane.mean() or 1))
            sums[label] = sums.get(label, 0) + power
    lines = tuple(Line(label, tuple(radius[1:]), tuple(power[1:])) for label, power in sums.items())
    return Chart(
        "Radial power spectra",
        "Radial power spectra of PAN, MS and the images, relative to their mean",
        "cycles per PAN pixel",
        "power",
        lines,
        marks=((1 / (2 * findings.scene.nominal.sampling.ratio), "Nyquist of MS"),),
        log_y=True,
    )


def _radial(plane: Floats) -> tuple[Floats, Floats]:
    """Frequencies, in cycles per pixel, and the mean power at each."""
    size, n = len(plane), _FREQUENCIES
    taper = np.hanning(size)[:, None] * np.hanning(size)
    power = np.abs(np.fft.rfft2((plane - plane.mean()) * taper)) ** 2
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)
    bins = np.minimum((np.hypot(fy, fx) * 2 * n).astype(int), n).ravel()
    counts = np.bincount(bins, minlength=n + 1)[:n]
    total = np.bincount(bins, power.ravel(), minlength=n + 1)[:n]
    return (np.arange(n) + 0.5) / (2 * n), np.asarray(total / np.maximum(counts, 1) + 1e-30, np.float64)


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
    r2 = 1 - float((pan - intensity).var()) / (float(pan.var()) or 1.0)
    low, high = np.percentile(np.concatenate([pan, intensity]), [0.1, 99.9])
    limits = (float(low), float(high) if high > low else float(low) + 1)
    listed = ", ".join(f"{w:.3f}" for w in weights[:-1])
    return Density(
        "PAN against the intensity of the image",
        f"Density of PAN against the best mixture of the bands of {name}: R² {r2:.4f}",
        f"mixture of the bands of {name}, DN",
        "PAN, DN",
        np.histogram2d(pan, intensity, bins=72, range=[limits, limits])[0],
        limits,
        limits,
        f"R² {r2:.4f}; weights {listed}, offset {weights[-1]:.1f}. The narrower the line, the better the bands explain "
        "PAN.",
    )


def adaptation(measured: Sequence[Measured]) -> Section | None:
    """How the network learned, where the tags of an image tell."""
    for m in measured:
        text = provenance_tags(m.subject.image).get("CURVE")
        if not text:
            continue
        try:
            curve = json.loads(text)
            names = [n for n in curve["loss"][0] if n != "step"]
            alt = f"Adaptation of {short_names([m.assessment.path])[0]}: loss by step"
            chart = loss_chart("Validation loss", alt, curve["loss"], names, float(curve["best_step"]))
        except (ValueError, KeyError, TypeError, IndexError):
            continue
        return Section("Adaptation", ("Loss on held-out windows.",), (chart,))
    return None


def loss_chart(
    title: str, alt: str, curve: Sequence[Mapping[str, float]], names: Sequence[str], best_step: float
) -> Chart:
    """The named losses of a curve by step, with the best step marked; each point also holds its "step"."""
    steps = tuple(float(point["step"]) for point in curve)
    lines = tuple(Line(n, steps, tuple(float(point.get(n, math.nan)) for point in curve)) for n in names)
    return Chart(title, alt, "step", "loss", lines, marks=((best_step, "best"),))
