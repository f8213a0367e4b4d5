"""The engine: an open scene becomes a fused, verified file that says how it was made."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clippan_cli.running.compute import free_gpu_bytes, release_memory
from clippan_cli.running.control import Control
from clippan_cli.running.warnings import FALLBACK
from clippan_cli.scene.estimation import Estimate, estimate_scene
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.sharpening.facts import tell_of_estimate, tell_of_guide, tell_of_plan
from clippan_cli.sharpening.fuse import fuse_tiles
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.sharpening.plan import Plan, plan_run
from clippan_cli.sharpening.provenance import describe_run
from clippan_cli.sharpening.run import Run, opened_run
from clippan_cli.sharpening.source import FileSource
from clippan_cli.writing.path import check_free_space
from clippan_cli.writing.rehearsal import check_encoding
from clippan_cli.writing.writer import SafeWriter
from clippan_models.methods.method import Learned, Method
from clippan_models.pipeline import workers_on
from clippan_models.plain import plain

if TYPE_CHECKING:
    from clippan_models.adaptation.scene import Guide


@dataclass(frozen=True)
class Sharpened:
    """What came of a scene.

    Attributes:
        plan: size, tiles, memory.
        provenance: the tags of the file.
        estimate: how the scene was made.
        learned: what a network learned on it, or None.
    """

    plan: Plan
    provenance: dict[str, str]
    estimate: Estimate
    learned: Learned | None = None


def sharpen_files(
    files: SceneFiles, read: ReadOptions, options: SharpenOptions, control: Control, estimate: Estimate | None = None
) -> Sharpened:
    """Sharpen a scene into a file, and no more: see `fuse_scene`."""
    with control.without_facts(), opened_run(files, read, options, control) as run:
        return fuse_scene(run, estimate)


def fuse_scene(run: Run, estimate: Estimate | None = None) -> Sharpened:
    """Fit the method to a scene, and fuse it into a file.

    Args:
        run: the scene.
        estimate: how it was made, where that is known already.

    Raises:
        ClippanError: one of its children; the output path is then as it was before.
    """
    scene, options, control, output = run.scene, run.options, run.control, run.output
    # opened before the work, so that a bad option, a full disk or a missing CLIP is reported now
    with control.timed("write"), SafeWriter(options.output, output.grid, run.encoding, output.metadata) as writer:
        method = run.method(_opened_guide(run))
        estimate = estimate or estimate_scene(scene, control)
        estimate = replace(estimate, observation=replace(estimate.observation, kernel=options.resampling))
        planned = _planned(run, method, estimate)
        release_memory()
        fitted = method.fit(FileSource(scene, estimate, run.device, control))
        release_memory()
        if fitted.note:
            control.warn(FALLBACK.says(fitted.note))
        provenance = planned.provenance | fitted.tags | {"WARNINGS": json.dumps(plain(control.warnings))}
        writer.write_provenance(provenance)
        size = fuse_tiles(run, planned.plan, fitted.sharpener, estimate.observation, writer)
    provenance["FILE_BYTES"] = str(size)
    return replace(planned, provenance=provenance, learned=fitted.learned)


def _opened_guide(run: Run) -> Guide | None:
    """The CLIP and its prompts, where a network is to be judged."""
    if not run.needs_guide:
        return None
    with run.control.timed("CLIP"):
        from clippan_cli.sharpening.guidance import open_guide

        guide = open_guide(run.options.guidance, run.scene, run.options.adapt.seed, run.device)
    if guide is not None:
        tell_of_guide(guide, run.control)
    return guide


def plan_scene(run: Run) -> Sharpened:
    """What `fuse_scene` would do, without fitting or writing.

    Raises:
        ClippanError: what `fuse_scene` would refuse before its work.
    """
    options, output = run.options, run.output
    check_free_space(options.output, output.grid, options.encoding)
    check_encoding(output.grid, run.encoding, output.metadata)
    return _planned(run, run.method(), estimate_scene(run.scene, run.control))


def _planned(run: Run, method: Method, estimate: Estimate) -> Sharpened:
    """The plan, and the tags that are known before the method is fitted."""
    cost = method.cost(estimate.observation)
    workers = workers_on(run.device) if cost.side_by_side else 1
    plan = plan_run(run.scene, run.options, run.output, cost, workers, free_gpu_bytes(run.device))
    planned = Sharpened(plan, describe_run(run, method, estimate, plan), estimate)
    tell_of_estimate(estimate, planned.provenance, run.control)
    tell_of_plan(plan, run.control)
    return planned
