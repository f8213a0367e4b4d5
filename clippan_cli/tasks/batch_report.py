"""Sharpen many scenes and write the page that `assess` makes of the results."""

from __future__ import annotations

from pathlib import Path

from clippan_cli.batch.options import BatchOptions
from clippan_cli.report.files import ReportFiles
from clippan_cli.running.control import Control
from clippan_cli.scene.files import PairTable, ReadOptions
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.tasks.assess_index import assess_batch
from clippan_cli.tasks.batch import BatchResult, run_batch


def batch_with_report(
    table: PairTable,
    read: ReadOptions,
    sharpening: SharpenOptions,
    options: BatchOptions,
    report: Path | None,
    control: Control,
) -> BatchResult:
    """Sharpen the pairs of a table; then assess the results beside the baselines, and write the page.

    A scene that failed is on the page with its reason.

    Args:
        table: the pairs.
        read: how to read them.
        sharpening: what to make of them.
        options: how to run.
        report: the HTML page; None: no page.
        control: progress, notes, and the request to stop.

    Raises:
        ClippanError: as `run_batch`, or because the page cannot be written, which is refused before the work where it
            is known then.
    """
    files = ReportFiles(page=report, overwrite=sharpening.encoding.overwrite)
    files.check([])
    result = run_batch(table, read, sharpening, options, control)
    if report is not None:
        assess_batch(result, read, sharpening.compute, files, control)
    return result
