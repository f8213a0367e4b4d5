"""Sharpen a scene and write the page that `assess` makes of the result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from clippan_cli.rasters.names import address_of
from clippan_cli.report.files import ReportFiles
from clippan_cli.running.control import Control
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.tasks import sharpen as task
from clippan_cli.writing.path import check_apart
from clippan_cli.writing.remote import Outgoing, output_name
from clippan_models.errors import Interrupted, UsageError


def sharpen_with_report(
    pair: SceneFiles, read: ReadOptions, sharpening: SharpenOptions, report: Path | None, control: Control
) -> task.SharpenResult:
    """Sharpen a scene; then assess the result beside the baselines, and write the page.

    Outputs whose names are addresses on object stores are uploaded when all of them are complete.

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
    with Outgoing(sharpening.encoding.overwrite, pair.names) as out:
        local, page = _on_this_machine(sharpening, out), report and out.local(report)
        control.names |= out.names
        result = _sharpened(pair, read, local, page, control)
        try:
            out.upload(control)
        except Interrupted as stop:
            raise Interrupted(stop.signal_number, "what was not yet uploaded is as it was before") from stop
    return _as_named(result, sharpening, control.seconds.get("upload"))


def plan_with_addresses(
    pair: SceneFiles, read: ReadOptions, sharpening: SharpenOptions, control: Control
) -> task.SharpenResult:
    """What `sharpen_with_report` would do, see `plan_sharpen`.

    Raises:
        ClippanError: what `sharpen_with_report` would refuse before its work.
    """
    with Outgoing(sharpening.encoding.overwrite, pair.names) as out:
        return task.plan_sharpen(pair, read, _on_this_machine(sharpening, out), control)


def _on_this_machine(sharpening: SharpenOptions, out: Outgoing) -> SharpenOptions:
    """The same work with outputs on this machine only; those that are uploaded are in a working folder."""
    return replace(
        sharpening,
        output=out.local(sharpening.output),
        quicklook=sharpening.quicklook and out.local(sharpening.quicklook),
        save_weights=sharpening.save_weights and out.local(sharpening.save_weights),
        stac=sharpening.stac and out.local(sharpening.stac),
        published=address_of(sharpening.output),
    )


def _as_named(result: task.SharpenResult, sharpening: SharpenOptions, uploading: float | None) -> task.SharpenResult:
    """The result with its files under the names that the user has given them, and the time of the upload."""
    if uploading is None:
        return result
    return replace(
        result,
        output=output_name(sharpening.output),
        quicklook=sharpening.quicklook and output_name(sharpening.quicklook),
        saved_weights=sharpening.save_weights and output_name(sharpening.save_weights),
        stac=sharpening.stac and output_name(sharpening.stac),
        quality=result.quality and replace(result.quality, path=str(output_name(sharpening.output))),
        seconds=result.seconds | {"upload": uploading, "total": result.seconds["total"] + uploading},
    )


def _sharpened(
    pair: SceneFiles, read: ReadOptions, sharpening: SharpenOptions, report: Path | None, control: Control
) -> task.SharpenResult:
    """Sharpen and assess on this machine."""
    files = None if report is None else _checked(report, pair, sharpening)
    result = task.sharpen(pair, read, sharpening, control)
    if files is not None:
        from clippan_cli.quality.options import AssessOptions
        from clippan_cli.tasks.assess import assess

        options = AssessOptions(compute=sharpening.compute, sampled=True, baselines=True)
        with task.image_stays(sharpening):
            assess(pair, read, [str(sharpening.output)], options, control, files)
        result = replace(result, warnings=tuple(control.warnings))
    return result


def _checked(report: Path, pair: SceneFiles, sharpening: SharpenOptions) -> ReportFiles:
    """What to write, refused where it cannot be."""
    if option := sharpening.not_comparable:
        raise UsageError(f"--report compares all bands in the values of MS; leave out {option}")
    files = ReportFiles(page=report, overwrite=sharpening.encoding.overwrite)
    check_apart([*sharpening.outputs, report])
    files.check([sharpening.output, *pair.paths])
    return files
