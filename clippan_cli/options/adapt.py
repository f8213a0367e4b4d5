"""How to learn from an archive."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypedDict

from clippan_cli.options.batch import PairsFlags
from clippan_cli.options.compute import DeviceFlags, RamFlag, compute_options
from clippan_cli.options.flags import COMPUTE, LEARNING, OUTPUT, Flag, OptionalPath, Panel, filled
from clippan_cli.options.guidance import guidance_options
from clippan_cli.options.learning import TimeLimitFlag, adapt_options
from clippan_cli.options.output import OverwriteFlag
from clippan_cli.options.scene import ReadFlags, SeedFlag, path_or_none
from clippan_cli.options.sharpen import LearningFlags
from clippan_cli.training.options import ArchiveOptions, ValidationOptions
from clippan_models.errors import UsageError

_VALIDATION = Panel("Validation")


class _StepsFlag(TypedDict, total=False):
    steps: Annotated[int, Flag(ArchiveOptions.adapt.steps, "N", "Optimiser steps for all scenes together.")]


class _TrainingFlags(TypedDict, total=False):
    resume: Annotated[bool, LEARNING.flag(ArchiveOptions.resume, None, "Continue an interrupted training.")]
    force: Annotated[
        bool, LEARNING.flag(ArchiveOptions.force, None, "Continue although files or options have changed.")
    ]
    snapshot_minutes: Annotated[
        float,
        LEARNING.flag(ArchiveOptions.checkpoint_seconds / 60, "N", "Minutes between checkpoints of the training."),
    ]
    scenes_per_step: Annotated[
        int | None,
        LEARNING.flag(
            ArchiveOptions.scenes_per_step, "N", "Scenes per optimiser step; one for each process if not given."
        ),
    ]
    report: Annotated[
        OptionalPath,
        OUTPUT.flag(None, "FILE.html", "Write an HTML page on the training and the quality of the weights."),
    ]
    licence: Annotated[str | None, OUTPUT.flag(None, "TEXT", "Licence of the weights, for their model card.")]
    validation: Annotated[
        bool,
        _VALIDATION.flag(
            ArchiveOptions.validation is not None,
            None,
            f"Compare the weights with classical methods on held-out scenes, at most {ValidationOptions.scenes}.",
        ),
    ]
    compare_scratch: Annotated[
        int,
        _VALIDATION.flag(
            ValidationOptions.scratch_steps,
            "N",
            "Also compare with a network trained on each of these scenes alone, with N steps at each resolution; "
            "0: no such comparison.",
        ),
    ]
    tensorboard: Annotated[
        OptionalPath, OUTPUT.flag(ArchiveOptions.tensorboard, "DIR", "Log the losses and validations for TensorBoard.")
    ]


class _WorkersFlag(TypedDict, total=False):
    workers: Annotated[
        int | None,
        COMPUTE.flag(
            ArchiveOptions.workers,
            "N",
            "Processes that read patches in advance; 0: none. If not given, one per CPU thread, at most 4; none if "
            "there is only one thread.",
        ),
    ]


class AdaptFlags(
    _StepsFlag,
    TimeLimitFlag,
    _TrainingFlags,
    LearningFlags,
    SeedFlag,
    ReadFlags,
    OverwriteFlag,
    DeviceFlags,
    _WorkersFlag,
    RamFlag,
    total=False,
):
    """The options of `adapt` in Python."""


class AdaptCommandFlags(PairsFlags, AdaptFlags, total=False):
    """The options of the command `adapt`."""


def archive_options(output: Path, given: Mapping[str, Any]) -> ArchiveOptions:
    """How to learn.

    Args:
        output: the weights to write.
        given: of the options of `adapt` those that differ from the defaults.

    Raises:
        UsageError: a value that is not possible.
        WeightsError: the weights to start from cannot be read.
    """
    options = filled(AdaptFlags, given)
    if not options["snapshot_minutes"] > 0:
        raise UsageError(f"{options['snapshot_minutes']:g}: must be more than 0", "snapshot_minutes")
    if options["compare_scratch"] and not options["validation"]:
        raise UsageError("--compare-scratch is part of the validation; leave out --no-validation")
    return ArchiveOptions(
        output=output,
        overwrite=options["overwrite"],
        compute=compute_options(given),
        adapt=adapt_options(options),
        guidance=guidance_options(given),
        weights=path_or_none(options["weights"]),
        checkpoint_seconds=60 * options["snapshot_minutes"],
        resume=options["resume"],
        force=options["force"],
        licence=options["licence"] or ArchiveOptions.licence,
        scenes_per_step=options["scenes_per_step"],
        validation=ValidationOptions(scratch_steps=options["compare_scratch"]) if options["validation"] else None,
        tensorboard=path_or_none(options["tensorboard"]),
        workers=options["workers"],
    )
