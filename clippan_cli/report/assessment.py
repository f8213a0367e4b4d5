"""Put the page of an assessment together, and write it with its maps."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
import torch
from affine import Affine

from clippan_cli import __version__
from clippan_cli.pages.content import Content, Floats, Map, Row, Section, Table
from clippan_cli.pages.page import render
from clippan_cli.quality.measure import Measured
from clippan_cli.quality.options import AssessOptions
from clippan_cli.quality.result import Assessment, AssessReport, short_names
from clippan_cli.quality.verdict import decide
from clippan_cli.rasters.points import NamedPoint
from clippan_cli.rasters.source import RasterSource
from clippan_cli.report import charts as charts
from clippan_cli.report.crops import choose_places, draw_crops, draw_overview, drawn_images, read_overview
from clippan_cli.report.files import write_text
from clippan_cli.running.compute import choose_device
from clippan_cli.running.control import Control
from clippan_cli.running.options import ComputeOptions
from clippan_cli.scene.scene import Estimate, Scene
from clippan_cli.writing.grid import OutputGrid
from clippan_cli.writing.options import OutputOptions
from clippan_cli.writing.writer import SafeWriter
from clippan_models.contracts import Window
from clippan_models.errors import OutputError
from clippan_models.metrics.catalogue import INDICES
from clippan_models.store.files import sha256_of

MAX_BYTES = 9_500_000
"""A page is kept below this, so that it can be sent by mail."""

_MAP_SIDE = 256  # values a side of a map on the page; the GeoTIFFs hold all
_DRAWN_MAPS = ("QNR", "D_lambda", "D_s", "D_rho")


def write_page(
    scene: Scene,
    measured: Sequence[Measured],
    report: AssessReport,
    options: AssessOptions,
    page: Path,
    points: Sequence[NamedPoint],
    estimate: Estimate | None,
    control: Control,
) -> Path:
    """Write the page.

    Raises:
        OutputError: it cannot be written.
    """
    content = collect(scene, measured, report, options, points, estimate, control)
    text = render(content)
    while len(text.encode()) > MAX_BYTES and content.crops:
        content = _thinner(content)
        text = render(content)
    return write_text(page, text)


def collect(
    scene: Scene,
    measured: Sequence[Measured],
    report: AssessReport,
    options: AssessOptions,
    points: Sequence[NamedPoint],
    estimate: Estimate | None,
    control: Control,
) -> Content:
    """Everything that the page shows."""
    shown = drawn_images(measured)
    names = short_names([m.assessment.path for m in shown])
    with control.timed("report"):
        overview = read_overview(scene, shown[0].subject.place)
        places = choose_places(scene, shown[0], overview)
        crops, stretch = draw_crops(scene, measured, places, overview)
        samples = charts.take_samples(measured)
        sections = [
            charts.histograms(scene, samples, names[0]),
            charts.detail(scene, samples, names),
            charts.spectra(scene, measured, points, places),
            charts.registration(scene, estimate, samples, shown[0]),
            charts.seams(shown[0]),
            charts.adaptation(measured),
        ]
    return Content(
        title=f"Quality of {', '.join(short_names([i.path for i in report.given]))}",
        images=tuple(short_names([i.path for i in report.images])),
        roles=tuple(i.role for i in report.images),
        verdict=decide(report),
        warnings=(
            *report.warnings,
            *charts.warn_of_shift(estimate),
            *(f"{i.path}: {w}" for i in report.given for w in i.warnings),
        ),
        rows=_rows(report),
        wald=_wald(report),
        overview=draw_overview(scene, places, overview) if places else None,
        crops=crops,
        stretch=stretch,
        maps=_maps(shown, names),
        bands=tuple(_bands(image) for image in report.images),
        sections=tuple(s for s in sections if s is not None and _holds_something(s)),
        definitions=tuple(report.images[0].definition.items()),
        provenance=_provenance(scene, measured, options, control),
        data=report.as_json(),
    )


def write_maps(scene: Scene, measured: Sequence[Measured], folder: Path, overwrite: bool) -> list[Path]:
    """Write the local maps of every image as GeoTIFFs, NaN where unknown.

    Raises:
        OutputError: they cannot be written.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror or error}") from error
    written = []
    stems = _stems([m.assessment.path for m in measured])
    for stem, m in zip(stems, measured, strict=True):
        for index in m.maps.names:
            path = folder / f"{stem}_{index}.tif"
            values = m.maps.image(index).numpy()
            _write_map(path, values, scene, m.subject.place, m.maps.cell_of(index), overwrite)
            written.append(path)
    return written


def _write_map(path: Path, values: np.ndarray, scene: Scene, place: Window, cell: int, overwrite: bool) -> None:
    bare = scene.pair.pan.grid.transform.is_identity
    grid = OutputGrid(
        width=values.shape[1],
        height=values.shape[0],
        count=1,
        dtype="float32",
        crs=scene.pair.crs,
        transform=Affine.identity() if bare else scene.pair.transform(place) @ Affine.scale(cell),
        nodata=float("nan"),
        mask=False,
        nbits=None,
    )
    with SafeWriter(path, grid, OutputOptions(driver="gtiff", overwrite=overwrite)) as writer:
        step = 512
        for row in range(0, grid.height, step):
            for col in range(0, grid.width, step):
                part = values[row : row + step, col : col + step]
                writer.write(Window(row, col, *part.shape), part[None])
        writer.commit()


def _stems(paths: Sequence[str]) -> list[str]:
    stems = [Path(path).stem for path in paths]
    return [stem if stems.count(stem) == 1 else f"{stem}_{n}" for n, stem in enumerate(stems, start=1)]


def _thinner(content: Content) -> Content:
    """Less to look at: no false colours, then fewer places."""
    if any(view.false_colour is not None for crop in content.crops for view in crop.views):
        crops = tuple(
            replace(crop, views=tuple(replace(view, false_colour=None) for view in crop.views))
            for crop in content.crops
        )
        return replace(content, crops=crops)
    return replace(content, crops=content.crops[:-1])


def _rows(report: AssessReport) -> tuple[Row, ...]:
    best = report.best() if len(report.images) > 1 else {}
    rows = []
    for name in report.names:
        index = INDICES[name]
        values = tuple(image.metrics.get(name, float("nan")) for image in report.images)
        rows.append(Row(name, index.asks, index.unit, index.ideal, index.higher_is_better, values, best.get(name)))
    return tuple(rows)


def _wald(report: AssessReport) -> Table | None:
    if not report.wald:
        return None
    names = tuple(report.wald[0].metrics)
    return Table(("method", *names), tuple((s.method, tuple(s.metrics[n] for n in names)) for s in report.wald))


def _maps(shown: Sequence[Measured], names: Sequence[str]) -> tuple[Map, ...]:
    found = []
    for index in _DRAWN_MAPS:
        images = [_reduced(m.maps.image(index).numpy().astype(np.float64)) for m in shown]
        known = np.concatenate([image[np.isfinite(image)] for image in images])
        if not known.size:
            continue
        higher = INDICES[index].higher_is_better
        low, high = (float(np.percentile(known, 2)), 1.0) if higher else (0.0, float(np.percentile(known, 98)))
        for name, m, image in zip(names, shown, images, strict=True):
            found.append(Map(index, name, image, low, max(high, low + 1e-6), m.maps.cell_of(index), higher))
    return tuple(found)


def _reduced(values: Floats) -> Floats:
    """A map of at most 256 values a side, by means over squares."""
    step = -(-max(values.shape) // _MAP_SIDE)
    if step == 1:
        return values
    rows, cols = (-(-size // step) * step for size in values.shape)
    wide = np.full((rows, cols), np.nan)
    wide[: values.shape[0], : values.shape[1]] = values
    parts = wide.reshape(rows // step, step, cols // step, step)
    count = np.isfinite(parts).sum(axis=(1, 3))
    total = np.where(np.isfinite(parts), parts, 0).sum(axis=(1, 3))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _bands(image: Assessment) -> tuple[str, Table]:
    columns = [
        "band",
        "mean of MS",
        "mean",
        "std of MS",
        "std",
        "bias",
        "RMSE",
        "correlation",
        "min",
        "max",
        "at limits %",
    ]
    against = image.bands[0].reference if image.bands else None
    columns += [f"{name} to reference" for name in against] if against else []
    rows = []
    for b in image.bands:
        values = [b.ms_mean, b.mean, b.ms_std, b.std, b.bias, b.rmse, b.correlation, b.minimum, b.maximum]
        values += [100 * b.at_limits, *(b.reference or {}).values()]
        rows.append((f"{b.band} {b.name}", tuple(values)))
    return image.path, Table(tuple(columns), tuple(rows))


def _holds_something(section: Section) -> bool:
    return bool(section.text or section.charts or section.densities or section.vectors or section.table)


def _provenance(
    scene: Scene, measured: Sequence[Measured], options: AssessOptions, control: Control
) -> tuple[tuple[str, str], ...]:
    facts = [*facts_of_run(options.compute, control), ("sensor", f"{scene.sensor.name} ({scene.sensor_reason})")]
    pair = scene.pair
    for role, source in (("MS", pair.ms), ("PAN", pair.pan)):
        facts += [(role, _file(name, source)) for name in source.names]
    for m in measured:
        if isinstance(m.subject.image, RasterSource):
            facts.append(("image", _file(m.subject.image.name, m.subject.image)))
            tags = m.subject.image.datasets[0].tags(ns="CLIPPAN")
            kept = {
                k: v for k, v in tags.items() if k in ("METHOD", "VERSION", "SEED", "STEPS", "MTF_GAINS", "WEIGHTS")
            }
            if kept:
                facts.append(("made by", ", ".join(f"{k} {v}" for k, v in kept.items())))
    return tuple(facts)


def facts_of_run(compute: ComputeOptions, control: Control) -> list[tuple[str, str]]:
    """What made a page: the command, the versions, the device, and how long it took."""
    device = choose_device(compute.device)
    return [
        (
            "command",
            " ".join(["clippan", *sys.argv[1:]])
            if Path(sys.argv[0]).name.startswith(("clippan", "__main__"))
            else "from Python",
        ),
        ("made", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())),
        ("clippan", __version__),
        ("Python, torch", f"{platform.python_version()}, {torch.__version__}"),
        ("rasterio, GDAL", f"{rasterio.__version__}, {rasterio.__gdal_version__}"),
        ("device", f"{device}, {compute.thread_count} threads"),
        ("time", ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in control.seconds.items())),
    ]


def _file(name: str, source: RasterSource) -> str:
    size = f"{source.width} x {source.height} x {source.count}, {source.dtype}"
    path = Path(name)
    if not path.is_file():
        return f"{name}: {size}"
    changed = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(path.stat().st_mtime))
    return f"{name}: {size}, {path.stat().st_size} bytes, changed {changed}, sha256 {sha256_of(path)}"
