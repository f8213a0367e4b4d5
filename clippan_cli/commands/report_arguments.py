"""`sharpen --report`: the page that `assess` writes, for the result of the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from clippan_models.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from clippan_cli.report.files import ReportFiles
    from clippan_cli.running.control import Control
    from clippan_cli.scene.files import ReadOptions, SceneFiles
    from clippan_cli.sharpening.options import SharpenOptions


def check_report(
    report: Path, output: Path, pair: SceneFiles, sharpening: SharpenOptions, *, overwrite: bool
) -> ReportFiles:
    """What to write, refused before the work where it cannot be.

    Raises:
        UsageError: a choice of bands, which the indices cannot compare.
        OutputError: the page cannot be written.
    """
    from clippan_cli.report.files import ReportFiles

    if sharpening.bands is not None:
        raise UsageError("--report needs all bands: the indices compare the result with all of MS; leave out --bands")
    files = ReportFiles(page=report, overwrite=overwrite)
    files.check([output, *pair.paths])
    return files


def write_report(
    files: ReportFiles, pair: SceneFiles, read: ReadOptions, sharpening: SharpenOptions, control: Control
) -> None:
    """Assess the result beside the baselines, and write the page.

    Raises:
        ClippanError: it cannot be assessed; the result itself is complete.
    """
    from clippan_cli.tasks.assess import AssessOptions, assess

    options = AssessOptions(compute=sharpening.compute, sampled=True, baselines=True)
    try:
        assess(pair, read, [str(sharpening.output)], options, control, files)
    except Interrupted as stop:
        raise Interrupted(stop.signal_number, f"{sharpening.output} was complete already") from stop
