"""Collect the page of many scenes and write it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from clippan_cli.pages.content import IndexContent, IndexLine, Pixels
from clippan_cli.pages.render import render_index
from clippan_cli.quality.many_scenes import IndexReport, SceneOutcome, in_short
from clippan_cli.rasters.options import Trust
from clippan_cli.rasters.source import open_source
from clippan_cli.report.files import write_text
from clippan_cli.report.painting import page_stretch
from clippan_cli.scene.band_roles import band_roles
from clippan_models.errors import ClippanError
from clippan_models.metrics.catalogue import INDICES
from clippan_models.sensors import load_sensor

_THUMBNAIL = 96  # pixels of the longer side


def write_index_page(page: Path, report: IndexReport, command: str) -> Path:
    """Write the page that a command makes.

    Raises:
        OutputError: it cannot be written.
    """
    lines = tuple(line for outcome in report.outcomes for line in _lines(outcome, page.parent))
    failed = f"{len(report.failed)} of them could not be assessed." if report.failed else ""
    count = len(report.outcomes)
    content = IndexContent(
        title=f"Quality of {count} {'scene' if count == 1 else 'scenes'}",
        command=command,
        lines=lines,
        indices=tuple(index for name, index in INDICES.items() if any(name in line.values for line in lines)),
        summary=report.summary(),
        notes=(failed,) if failed else (),
        data=report.as_json(),
    )
    return write_text(page, render_index(content))


def _lines(outcome: SceneOutcome, folder: Path) -> Iterator[IndexLine]:
    name = outcome.entry.id
    if outcome.report is None:
        yield IndexLine(name, remark=outcome.error or "", kind="failed")
        return
    link = os.path.relpath(outcome.page, folder).replace(os.sep, "/") if outcome.page else None
    for number, (label, image, outliers) in enumerate(outcome.images):
        yield IndexLine(
            name,
            label,
            image.role == "baseline",
            link,
            image.metrics,
            remark=f"stands out in {in_short(outliers)}" if outliers else "",
            kind="outlier" if outliers else "",
            thumbnail=_thumbnail(image.path, image.sensor) if number == 0 else None,
        )


def _thumbnail(path: str, sensor: str) -> Pixels | None:
    try:
        with ExitStack() as stack:
            source = open_source([path], "fused", Trust(), stack)
            scale = _THUMBNAIL / max(source.width, source.height)
            shape = (max(1, round(source.height * scale)), max(1, round(source.width * scale)))
            bands = [source.bands[b] for b in band_roles(source, load_sensor(sensor)).rgb]
            image = source.picture(bands, (0, 0, source.width, source.height), shape).astype(np.float64)
            return page_stretch(image).paint(image)
    except (ClippanError, OSError, ValueError):
        return None
