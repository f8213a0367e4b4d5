"""Assess many scenes into one page; a scene that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from clippan_cli.quality.many_scenes import IndexReport, SceneOutcome, with_outliers
from clippan_cli.quality.options import AssessOptions
from clippan_cli.report.files import ReportFiles, write_text
from clippan_cli.report.index import write_index_page
from clippan_cli.running.control import Control
from clippan_cli.running.options import ComputeOptions
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.tasks.assess import assess
from clippan_cli.tasks.batch import BatchResult
from clippan_cli.writing.path import make_folder
from clippan_models.errors import InputError, why_lost


def assess_scenes(
    entries: Sequence[SceneFiles],
    read: ReadOptions,
    options: AssessOptions,
    files: ReportFiles,
    control: Control,
    command: str = "assess",
) -> IndexReport:
    """Assess every scene and write the index page, with a page for each scene beside it.

    Args:
        entries: the scenes.
        read: how to read them.
        options: how to assess.
        files: what to write; maps go into a folder for each scene.
        control: progress and the request to stop.
        command: that the page names as its maker.

    Raises:
        OutputError: the pages cannot be written.
        Interrupted: a signal asked to stop.
    """
    files.check([])
    if files.page is not None:
        make_folder(_page_folder(files.page))
    outcomes = []
    for number, entry in enumerate(entries, start=1):
        control.on_note(f"scene {number} of {len(entries)}: {entry.id}")
        outcomes.append(_assess_one(entry, read, options, files, control))
    report = IndexReport(with_outliers(outcomes))
    if files.csv is not None:
        write_text(files.csv, report.as_csv())
    if files.page is not None:
        write_index_page(files.page, report, command)
    return report


def assess_batch(
    result: BatchResult, read: ReadOptions, compute: ComputeOptions, files: ReportFiles, control: Control
) -> IndexReport:
    """Assess the results of a batch beside the baselines; a scene that failed is listed with its reason.

    Raises:
        OutputError: the pages cannot be written.
        Interrupted: a signal asked to stop; the results themselves are complete.
    """
    entries = [
        replace(each.pair, fused=() if each.failed else (str(each.output),), reference=None) for each in result.scenes
    ]
    return assess_scenes(entries, read, AssessOptions(compute=compute, sampled=True), files, control, "batch")


def _assess_one(
    entry: SceneFiles, read: ReadOptions, options: AssessOptions, files: ReportFiles, control: Control
) -> SceneOutcome:
    page = _page_folder(files.page) / f"{entry.id}.html" if files.page is not None else None
    maps = files.maps / entry.id if files.maps is not None else None
    own = ReportFiles(page, maps, None, files.points, files.overwrite)
    try:
        if not entry.fused:
            raise InputError(f"{entry.id} has no fused image")
        if files.maps is not None:
            files.maps.mkdir(exist_ok=True)
        with control.warnings_of(entry.id):
            align = options.align and (entry.reference is not None or bool(options.wald))
            own_options = replace(options, reference=entry.reference, align=align)
            found = assess(entry, read, entry.fused, own_options, control, own)
    except Exception as error:  # one bad scene must not cost the others
        return SceneOutcome(entry, None, why_lost(error), None)
    return SceneOutcome(entry, found, None, page)


def _page_folder(page: Path) -> Path:
    return page.with_name(f"{page.stem}_scenes")
