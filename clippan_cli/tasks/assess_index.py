"""Assess many scenes into one sortable page; a scene that fails does not stop the others."""

from __future__ import annotations

import csv
import io
import os
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from clippan_cli.pages.content import Pixels
from clippan_cli.pages.index import IndexContent, IndexLine, render_index
from clippan_cli.quality.measure import AssessOptions
from clippan_cli.quality.result import AssessReport, short_names
from clippan_cli.rasters.source import Trust, open_source
from clippan_cli.report.crops import Stretch
from clippan_cli.report.files import ReportFiles, write_text
from clippan_cli.report.quicklook import rgb_bands
from clippan_cli.running.control import Control
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.tasks.assess import assess
from clippan_models.errors import ClippanError, InputError, Interrupted, OutputError, in_one_line
from clippan_models.metrics.catalogue import INDICES
from clippan_models.sensors import load_sensor

SCHEMA = "clippan.assess-index/1"
"""Name and version of the JSON of many scenes."""

_FAR = 3.5  # robust standard deviations from the median
_NOTICEABLE = 0.05  # share of the median below which no difference is worth a mark, however alike the others are
_FEWEST = 5  # scenes among which one can stand out
_THUMBNAIL = 96


@dataclass(frozen=True)
class SceneOutcome:
    """What came of one scene: a report, or why there is none."""

    entry: SceneFiles
    report: AssessReport | None
    error: str | None
    page: Path | None
    outliers: tuple[str, ...] = ()


@dataclass(frozen=True)
class IndexReport:
    """All scenes."""

    outcomes: tuple[SceneOutcome, ...]

    @property
    def failed(self) -> tuple[SceneOutcome, ...]:
        """The scenes without a report."""
        return tuple(outcome for outcome in self.outcomes if outcome.report is None)

    def summary(self) -> tuple[tuple[str, dict[str, tuple[float, float]], int], ...]:
        """Mean and standard deviation (N - 1) of each index, for images that have one name in several scenes."""
        values: dict[str, dict[str, list[float]]] = {}
        for outcome in self.outcomes:
            if outcome.report is None:
                continue
            for label, image in zip(_labels(outcome), outcome.report.images, strict=True):
                for name, value in image.metrics.items():
                    values.setdefault(label, {}).setdefault(name, []).append(value)
        found = []
        for label, indices in values.items():
            count = max(len(v) for v in indices.values())
            if count > 1:
                spread = {n: (statistics.fmean(v), statistics.stdev(v)) for n, v in indices.items() if len(v) > 1}
                found.append((label, spread, count))
        return tuple(found)

    def as_json(self) -> dict[str, Any]:
        """Plain data with everything a human is shown."""
        return {
            "schema": SCHEMA,
            "scenes": [
                {
                    "name": o.entry.id,
                    "error": o.error,
                    "page": str(o.page) if o.page else None,
                    "outliers": list(o.outliers),
                    "report": o.report.as_json() if o.report else None,
                }
                for o in self.outcomes
            ],
            "summary": [
                {"image": label, "scenes": count, "mean": {n: m for n, (m, _) in v.items()}}
                | {"std": {n: s for n, (_, s) in v.items()}}
                for label, v, count in self.summary()
            ],
        }

    def as_csv(self) -> str:
        """The CSV of each scene with its name in front; a scene that failed has one line."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        header: list[str] | None = None
        for outcome in self.outcomes:
            if outcome.report is None:
                continue
            rows = list(csv.reader(io.StringIO(outcome.report.as_csv())))
            if header is None:
                header = ["name_of_scene", *rows[0]]
                writer.writerow(header)
            writer.writerows([outcome.entry.id, *row] for row in rows[1:])
        return out.getvalue()

    def check(self) -> None:
        """Say that scenes failed, or that a bound is broken, once everything is written.

        Raises:
            InputError: scenes failed.
            QualityGateError: a bound is broken.
        """
        for outcome in self.outcomes:
            if outcome.report is not None:
                outcome.report.check_gate()
        if self.failed:
            first = self.failed[0]
            raise InputError(
                f"{len(self.failed)} of {len(self.outcomes)} scenes could not be assessed, first {first.entry.id}: "
                f"{first.error}"
            )


def assess_scenes(
    entries: Sequence[SceneFiles],
    read: ReadOptions,
    options: AssessOptions,
    files: ReportFiles,
    control: Control,
) -> IndexReport:
    """Assess every scene and write the index page, with a page for each scene beside it.

    Args:
        entries: the scenes.
        read: how to read them.
        options: how to assess.
        files: what to write; maps go into a folder for each scene.
        control: progress and the request to stop.

    Raises:
        OutputError: the pages cannot be written.
        Interrupted: a signal asked to stop.
    """
    files.check([])
    pages = _page_folder(files)
    outcomes = []
    for number, entry in enumerate(entries, start=1):
        control.on_note(f"scene {number} of {len(entries)}: {entry.id}")
        outcomes.append(_one(entry, read, options, files, pages, control))
    report = IndexReport(_with_outliers(outcomes))
    if files.csv is not None:
        write_text(files.csv, report.as_csv())
    if files.page is not None:
        write_text(files.page, render_index(_content(report, files.page)))
    return report


def _one(
    entry: SceneFiles,
    read: ReadOptions,
    options: AssessOptions,
    files: ReportFiles,
    pages: Path | None,
    control: Control,
) -> SceneOutcome:
    page = pages / f"{entry.id}.html" if pages is not None else None
    maps = files.maps / entry.id if files.maps is not None else None
    own = ReportFiles(page, maps, None, files.points, files.overwrite)
    try:
        if not entry.fused:
            raise InputError(f"{entry.id} has no fused image")
        if maps is not None and files.maps is not None:
            files.maps.mkdir(exist_ok=True)
        found = assess(entry, read, entry.fused, replace(options, reference=entry.reference), control, own)
    except Interrupted:
        raise
    except (ClippanError, OSError, RuntimeError, ValueError) as error:  # one bad scene must not cost the others
        return SceneOutcome(entry, None, in_one_line(error), None)
    return SceneOutcome(entry, found, None, page)


def _page_folder(files: ReportFiles) -> Path | None:
    if files.page is None:
        return None
    folder = files.page.with_name(f"{files.page.stem}_scenes")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror or error}") from error
    return folder


def _with_outliers(outcomes: Sequence[SceneOutcome]) -> tuple[SceneOutcome, ...]:
    """Which scenes stand out in an index of their first image, by the median and its absolute deviation."""
    known = [o for o in outcomes if o.report is not None]
    if len(known) < _FEWEST:
        return tuple(outcomes)
    flagged: dict[str, list[str]] = {}
    for name in INDICES:
        pairs = [(o.entry.id, o.report.images[0].metrics[name]) for o in known if o.report and _has(o, name)]
        if len(pairs) < _FEWEST:
            continue
        values = np.array([value for _, value in pairs])
        middle = np.median(values)
        spread = 1.4826 * np.median(np.abs(values - middle)) + 1e-9
        for scene, value in pairs:
            if abs(value - middle) > max(_FAR * spread, _NOTICEABLE * abs(middle)):
                flagged.setdefault(scene, []).append(name)
    return tuple(replace(o, outliers=tuple(flagged.get(o.entry.id, ()))) for o in outcomes)


def _has(outcome: SceneOutcome, name: str) -> bool:
    return outcome.report is not None and np.isfinite(outcome.report.images[0].metrics.get(name, np.nan))


def _content(report: IndexReport, page: Path) -> IndexContent:
    lines = []
    for outcome in report.outcomes:
        link = os.path.relpath(outcome.page, page.parent).replace(os.sep, "/") if outcome.page else None
        if outcome.report is None:
            lines.append(IndexLine(outcome.entry.id, "", False, None, {}, error=outcome.error))
            continue
        for number, (label, image) in enumerate(zip(_labels(outcome), outcome.report.images, strict=True)):
            first = number == 0
            picture = _thumbnail(image.path, image.sensor) if first else None
            outliers = outcome.outliers if first else ()
            baseline = image.role == "baseline"
            lines.append(IndexLine(outcome.entry.id, label, baseline, link, image.metrics, outliers, None, picture))
    present = {name for line in lines for name in line.values}
    failed = len(report.failed)
    notes = [
        f"{len(report.outcomes)} scenes, {failed} of them failed." if failed else f"{len(report.outcomes)} scenes."
    ]
    return IndexContent(
        title="Quality of many scenes",
        lines=tuple(lines),
        names=tuple(name for name in INDICES if name in present),
        summary=report.summary(),
        notes=tuple(notes),
        data=report.as_json(),
    )


def _labels(outcome: SceneOutcome) -> list[str]:
    """What to call the images of a scene so that the same method has the same name in every scene."""
    if outcome.report is None:
        return []
    names = short_names([image.path for image in outcome.report.images])
    prefix = Path(outcome.entry.ms[0]).stem.lower().removesuffix("ms")
    return [Path(name[len(prefix) :] if name.lower().startswith(prefix) else name).stem for name in names]


def _thumbnail(path: str, sensor: str) -> Pixels | None:
    try:
        with ExitStack() as stack:
            source = open_source([path], "fused", Trust(), stack)
            scale = _THUMBNAIL / max(source.width, source.height)
            shape = (max(1, round(source.height * scale)), max(1, round(source.width * scale)))
            bands = tuple(source.bands[b] for b in rgb_bands(source, load_sensor(sensor)))
            image = source.picture(bands, (0, 0, source.width, source.height), shape).astype(np.float64)
            return Stretch.of(image).paint(image)
    except (ClippanError, OSError, ValueError):
        return None
