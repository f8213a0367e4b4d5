"""Measure fused images of one pair side by side: without reference, against one, and by Wald's protocol.

from clippan_cli.tasks.assess import assess
from clippan_cli.quality.options import AssessOptions

report = assess(SceneFiles(("ms.tif",), "pan.tif"), ReadOptions(), ["hrms.tif"], AssessOptions())
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

from clippan_cli.quality.baselines import make_baselines
from clippan_cli.quality.measure import measure
from clippan_cli.quality.options import AssessOptions
from clippan_cli.quality.result import AssessReport
from clippan_cli.quality.subject import open_reference, open_subject
from clippan_cli.quality.wald import degraded_size, score_wald
from clippan_cli.quality.warnings import told_of_image, warn_of_pair
from clippan_cli.rasters.limits import NO_LIMITS
from clippan_cli.rasters.places import holder_of
from clippan_cli.rasters.points import read_points
from clippan_cli.report.assessment import write_page
from clippan_cli.report.files import ReportFiles, write_text
from clippan_cli.report.findings import Findings
from clippan_cli.report.maps import write_maps
from clippan_cli.running.compute import limited_threads
from clippan_cli.running.control import Control
from clippan_cli.scene.estimation import Estimate, estimate_scene
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.scene import Scene, open_scene
from clippan_models.errors import ClippanError, Interrupted, StrictError, UsageError
from clippan_models.methods.registry import find_method


def assess(
    pair: SceneFiles,
    read: ReadOptions,
    fused: Sequence[str],
    options: AssessOptions,
    control: Control | None = None,
    files: ReportFiles | None = None,
) -> AssessReport:
    """Assess fused images against the pair they were made from.

    Args:
        pair: MS and PAN.
        read: how to read them.
        fused: rasters on the PAN grid, or on a part of it.
        options: how.
        control: progress and the request to stop.
        files: what to write besides.

    Raises:
        ClippanError: files that cannot be read, or an image that does not belong to the pair.
    """
    if not fused:
        raise UsageError("name at least one fused image")
    if options.align and options.reference is None and not options.wald:
        raise UsageError("needs --reference or --wald: it moves images to where their reference lies", "align")
    for method in options.wald:
        find_method(method)
    control, files = control or Control(), files or ReportFiles()
    control.strict = read.strict
    inputs = [*fused, *pair.names, *([options.reference] if options.reference else [])]
    files.check([place for place in map(holder_of, inputs) if place.exists()])
    started = time.perf_counter()
    with control.timed("assess"), limited_threads(options.compute.thread_count), ExitStack() as stack:
        scene = open_scene(pair, read, control, stack)
        if options.wald:
            degraded_size(scene)  # refuses a pair that is too small before the work
        points = read_points(scene.pair, files.points) if files.points is not None else ()
        subjects = [open_subject(scene, name, stack) for name in fused]
        reference = open_reference(scene, options, stack)
        if options.baselines:
            subjects += make_baselines(scene, subjects[0], options, control, stack)
        estimate = _estimate(scene, control)
        found_at = estimate.observation.sampling if estimate is not None else None
        limits = estimate.limits if estimate is not None else NO_LIMITS
        measured = [measure(scene, subject, reference, options, control, found_at, limits) for subject in subjects]
        images = tuple(m.assessment for m in measured)
        scene.pair.stamps.check()
        wald = score_wald(scene, options, control, limits)
        seconds = time.perf_counter() - started
        control.warn(
            *warn_of_pair(scene, images, estimate),
            *(warning for image in images if image.role == "given" for warning in told_of_image(image)),
        )
        report = AssessReport(images, seconds, options.gates, wald, tuple(control.warnings), files.names)
        if files.maps is not None:
            write_maps(scene, measured, files.maps, files.overwrite)
        if files.csv is not None:
            write_text(files.csv, report.as_csv())
        if files.page is not None:
            write_page(files.page, Findings(scene, measured, report, points, estimate), options.compute, control)
    return report


def _estimate(scene: Scene, control: Control) -> Estimate | None:
    try:
        return estimate_scene(scene, control)
    except (Interrupted, StrictError):
        raise
    except ClippanError:  # a scene with hardly a valid pixel: what can be said without is said
        return None
