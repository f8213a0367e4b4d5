"""The page on the quality of a batch: the one that `assess` writes of many scenes."""

from __future__ import annotations

from dataclasses import replace

from clippan_cli.quality.measure import AssessOptions
from clippan_cli.report.files import ReportFiles
from clippan_cli.running.control import Control
from clippan_cli.scene.files import ReadOptions
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.tasks.assess_index import assess_scenes
from clippan_cli.tasks.batch import BatchResult


def write_batch_report(
    result: BatchResult, read: ReadOptions, sharpening: SharpenOptions, files: ReportFiles, control: Control
) -> None:
    """Assess what a batch made beside the baselines, and write the page; a scene that failed is on it with its reason.

    Raises:
        OutputError: the page cannot be written.
        Interrupted: a signal asked to stop; the results themselves are complete.
    """
    entries = [replace(each.pair, fused=() if each.failed else (str(each.output),)) for each in result.scenes]
    assess_scenes(entries, read, AssessOptions(compute=sharpening.compute, sampled=True), files, control)
