"""Sharpen a scene and write the page that `assess` makes of the result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from clippan_cli.report.files import ReportFiles
from clippan_cli.running.control import Control
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.tasks import sharpen as task
from clippan_models.errors import Interrupted, StrictError, UsageError


def sharpen_with_report(
    pair: SceneFiles, read: ReadOptions, sharpening: SharpenOptions, report: Path | None, control: Control
) -> task.SharpenResult:
    """Sharpen a scene; then assess the result beside the baselines, and write the page.

    Args:
        pair: MS and PAN.
        read: how to read them.
        sharpening: what to make of them.
        report: the HTML page; None: no page.
        control: progress, notes, and the request to stop.

    Raises:
        ClippanError: as `sharpen`, or because the page cannot be written, which is refused before the work where it
            is known then.
    """
    files = None if report is None else _checked(report, pair, sharpening)
    result = task.sharpen(pair, read, sharpening, control)
    if files is not None:
        from clippan_cli.quality.options import AssessOptions
        from clippan_cli.tasks.assess import assess

        options = AssessOptions(compute=sharpening.compute, sampled=True, baselines=True)
        try:
            assess(pair, read, [str(sharpening.output)], options, control, files)
        except Interrupted as stop:
            raise Interrupted(stop.signal_number, f"{sharpening.output} was complete already") from stop
        except StrictError as refusal:
            raise StrictError(f"{refusal}; {sharpening.output} was complete already") from refusal
        result = replace(result, warnings=tuple(control.warnings))
    return result


def _checked(report: Path, pair: SceneFiles, sharpening: SharpenOptions) -> ReportFiles:
    """What to write, refused where it cannot be."""
    if option := sharpening.not_comparable:
        raise UsageError(f"--report compares all bands in the values of MS; leave out {option}")
    files = ReportFiles(page=report, overwrite=sharpening.encoding.overwrite)
    files.check([sharpening.output, *pair.paths])
    return files
