"""Sharpen a scene into a georeferenced file, measure it and draw it.

from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.tasks.sharpen import sharpen

files = SceneFiles(ms=("ms.tif",), pan="pan.tif")
result = sharpen(files, ReadOptions(), SharpenOptions(output=Path("hrms.tif")))
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clippan_cli.running.control import Control
from clippan_cli.running.warnings import NOT_MEASURED, RunWarning
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.sharpening.run import Run, opened_run
from clippan_models.errors import ClippanError, InputError, Interrupted
from clippan_models.plain import plain

if TYPE_CHECKING:  # what needs torch is imported once the run is known to be possible
    from clippan_cli.quality.result import Assessment
    from clippan_cli.rasters.limits import Limits
    from clippan_cli.sharpening.engine import Sharpened
    from clippan_cli.sharpening.plan import Plan
    from clippan_models.adaptation.trainer import Adapted


@dataclass(frozen=True)
class SharpenResult:
    """What a run did; `as_json` gives it as plain data.

    Attributes:
        output: the file, or its address on an object store; None after a dry run.
        plan: size, tiles, memory.
        provenance: what is also in the tags of the file.
        shifts: PAN pixels (down, right) by which each band was off.
        seconds: wall time by stage.
        mpx_per_second: PAN megapixels fused per second of the sharpening stage.
        adapted: how the network learned, for the network method.
        quality: no-reference indices, where they were asked for.
        quicklook: the picture, where it was asked for.
        saved_weights: the file of what was learned, where it was asked for.
        stac: the STAC item, where it was asked for.
        warnings: what is doubtful about the run.
    """

    output: Path | str | None
    plan: Plan
    provenance: dict[str, str]
    shifts: tuple[tuple[float, float], ...]
    seconds: dict[str, float]
    mpx_per_second: float | None = None
    adapted: Adapted | None = None
    quality: Assessment | None = None
    quicklook: Path | str | None = None
    saved_weights: Path | str | None = None
    stac: Path | str | None = None
    warnings: tuple[RunWarning, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain data with everything a human is shown."""
        curve = None
        if self.adapted is not None:
            curve = {
                "best_step": self.adapted.best_step,
                "steps": self.adapted.steps,
                "stopped": self.adapted.stopped,
                "loss": [{"step": p.step, "total": p.total, **p.parts} for p in self.adapted.curve],
            }
        return {
            "output": str(self.output) if self.output else None,
            "plan": plain(self.plan),
            "provenance": self.provenance,
            "shifts": [{"band": b + 1, "down": y, "right": x} for b, (y, x) in enumerate(self.shifts)],
            "seconds": self.seconds,
            "mpx_per_second": self.mpx_per_second,
            "adaptation": curve,
            "quality": self.quality.metrics if self.quality else None,
            "quicklook": str(self.quicklook) if self.quicklook else None,
            "stac": str(self.stac) if self.stac else None,
            "weights": str(self.saved_weights) if self.saved_weights else None,
            "warnings": plain(self.warnings),
        }


def sharpen(
    files: SceneFiles, read: ReadOptions, options: SharpenOptions, control: Control | None = None
) -> SharpenResult:
    """Sharpen a scene into a file.

    Args:
        files: MS and PAN.
        read: how to read them.
        options: what to make of it.
        control: progress, notes, and the request to stop.

    Raises:
        ClippanError: one of its children, each with its exit code; the output path is then as it was before.
    """
    control = control or Control()
    control.strict = read.strict
    started = time.perf_counter() - control.seconds.get("start", 0.0)
    with opened_run(files, read, options, control) as run:
        with control.timed("start"):
            from clippan_cli.sharpening.engine import fuse_scene
        sharpened = fuse_scene(run)
        with image_stays(options):
            _save_weights(run, sharpened)
            quality = _measure(run, sharpened.estimate.limits) if options.assess else None
            picture = _draw(run)
            item = _describe(run, sharpened)
        megapixels = run.scene.window.pixels / 1e6
    control.seconds["total"] = time.perf_counter() - started
    return replace(
        _result(sharpened, control),
        output=options.output,
        mpx_per_second=megapixels / (control.seconds["sharpen"] or 1e-9),
        quality=quality,
        quicklook=picture,
        saved_weights=options.save_weights,
        stac=item,
        warnings=tuple(control.warnings),
    )


@contextmanager
def image_stays(options: SharpenOptions) -> Iterator[None]:
    """Say in errors of the work after it that the image is complete."""
    try:
        yield
    except Interrupted as stop:
        raise Interrupted(stop.signal_number, options.left_behind) from stop
    except ClippanError as error:
        raise type(error)(f"{error}; {options.left_behind}") from error


def plan_sharpen(
    files: SceneFiles, read: ReadOptions, options: SharpenOptions, control: Control | None = None
) -> SharpenResult:
    """What `sharpen` would do, without adapting or writing: the grid, tiles, memory and disk.

    Raises:
        ClippanError: what `sharpen` would refuse before its work.
    """
    control = control or Control()
    control.strict = read.strict
    with opened_run(files, read, options, control) as run:
        from clippan_cli.sharpening.engine import plan_scene

        return _result(plan_scene(run), control)


def _result(sharpened: Sharpened, control: Control) -> SharpenResult:
    learned = sharpened.learned
    return SharpenResult(
        output=None,
        plan=sharpened.plan,
        provenance=sharpened.provenance,
        shifts=sharpened.estimate.registration.shifts,
        seconds=dict(control.seconds),
        adapted=learned.adapted if learned else None,
        warnings=tuple(control.warnings),
    )


def _save_weights(run: Run, sharpened: Sharpened) -> None:
    path, learned = run.options.save_weights, sharpened.learned
    if path is None or learned is None:
        return
    from clippan_cli.weights.cards import learned_card, write_weights

    started_from = run.initial.sha256 if run.initial else ""
    adapt = run.options.adapt
    card = learned_card(run.scene, sharpened.estimate, adapt, learned.adapted, learned.guide, started_from)
    write_weights(replace(learned.checkpoint, card=card), path)


def _measure(run: Run, limits: Limits) -> Assessment | None:
    options, control = run.options, run.control
    if option := options.not_comparable:
        control.on_note(f"quality is not measured with {option}: the indices compare all bands in the values of MS")
        return None
    with control.timed("start"):
        from clippan_cli.quality.measure import assess_image
        from clippan_cli.quality.options import AssessOptions
        from clippan_cli.quality.warnings import told_of_image
    try:
        with control.timed("assess"):
            found = assess_image(run.scene, str(options.output), AssessOptions(sampled=True), control, limits)
    except InputError as error:  # too few valid pixels; the image itself is verified
        control.warn(NOT_MEASURED.says(f"quality is not measured: {error}"))
        return None
    control.warn(*told_of_image(found))
    return found


def _draw(run: Run) -> Path | None:
    if run.options.quicklook is None:
        return None
    with run.control.timed("quicklook"):
        from clippan_cli.report.quicklook import write_quicklook

        return write_quicklook(run.options.quicklook, run.scene.files, run.scene.options, run.options.output)


def _describe(run: Run, sharpened: Sharpened) -> Path | None:
    if run.options.stac is None:
        return None
    with run.control.timed("STAC"):
        from clippan_cli.report.stac_item import write_item

        return write_item(run.options.stac, run, sharpened.provenance)
