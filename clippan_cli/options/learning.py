"""How a network learns: the method, its budget, the loss, and where it starts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypedDict, get_args

from clippan_cli.options.flags import LEARNING, METHOD, OptionalPath, filled
from clippan_cli.options.scene import SeedFlag, one_of, path_or_none
from clippan_cli.sharpening.options import SharpenOptions
from clippan_models.adaptation.options import (
    DEFAULT_PRESET,
    LOSS_NAMES,
    AdaptOptions,
    LossWeights,
    find_preset,
    teachers,
)
from clippan_models.contracts import Kernel
from clippan_models.errors import UsageError
from clippan_models.networks.names import find_fusing_traits


class TimeLimitFlag(TypedDict, total=False):
    """Of commands that learn."""

    time_limit: Annotated[
        float | None, METHOD.flag(AdaptOptions.time_limit, "SECONDS", "Stop learning after this long.")
    ]


class _MethodFlags(TypedDict, total=False):
    method: Annotated[
        str,
        METHOD.flag(
            SharpenOptions.method,
            "NAME",
            "exp, brovey, gsa, mtf-glp-fs, mtf-glp-hpm-r, bdsd-pc, sr-d, network, or clippan.",
            any_case=True,
        ),
    ]
    preset: Annotated[
        str, METHOD.flag(DEFAULT_PRESET, "NAME", "How much time to spend: fast, balanced or best.", any_case=True)
    ]
    steps: Annotated[
        int | None, METHOD.flag(None, "N", "Optimiser steps of the network; those of the preset if not given.")
    ]


class _ClassicalFlags(TypedDict, total=False):
    resampling: Annotated[
        Kernel,
        METHOD.flag(
            SharpenOptions.resampling,
            "NAME",
            "How classical methods interpolate MS: lanczos, cubic, bilinear or nearest.",
            any_case=True,
        ),
    ]
    weights_pan: Annotated[
        list[str] | str | Sequence[float] | None,
        METHOD.flag(
            SharpenOptions.weights_pan,
            "W,W,...",
            "Share of each MS band in PAN, for brovey and gsa; can be repeated. If not given, brovey takes all alike, "
            "and gsa estimates them.",
        ),
    ]


class MethodFlags(_MethodFlags, TimeLimitFlag, _ClassicalFlags, total=False):
    """Which method, and how much time it gets."""


class NetworkFlags(TypedDict, total=False):
    """Which network learns, and from what."""

    loss: Annotated[
        str | Mapping[str, float] | None,
        LEARNING.flag(
            None,
            "TERM[=WEIGHT],...",
            "Loss terms: spec, spat, qnr, rho, ship, d, wald, ei; if not given, those for the backbone.",
            any_case=True,
        ),
    ]
    backbone: Annotated[
        str | None,
        LEARNING.flag(
            None,
            "NAME",
            "Architecture of the network, see clippan models list; if not given, that of --weights, else anyband.",
            any_case=True,
        ),
    ]
    teacher: Annotated[
        str,
        LEARNING.flag(
            AdaptOptions.teacher,
            "NAME",
            "Method whose images the network also learns from: self, bdsd-pc, mtf-glp-hpm-r, gsa, a backbone such as "
            "ship, or none.",
            any_case=True,
        ),
    ]
    projection: Annotated[
        bool,
        LEARNING.flag(AdaptOptions.rounds > 0, None, "Keep the result consistent with MS and PAN by construction."),
    ]
    weights: Annotated[
        OptionalPath,
        LEARNING.flag(SharpenOptions.weights, "FILE.safetensors", "Weights to start from or, with --steps 0, to use."),
    ]


class SaveWeightsFlag(TypedDict, total=False):
    """Of `sharpen`."""

    save_weights: Annotated[
        OptionalPath,
        LEARNING.flag(SharpenOptions.save_weights, "FILE.safetensors", "Save what the network learned, for --weights."),
    ]


class _AllFlags(MethodFlags, NetworkFlags, SeedFlag, total=False):
    """What `adapt_options` takes."""


def adapt_options(given: Mapping[str, Any]) -> AdaptOptions:
    """How the network learns.

    Raises:
        UsageError: a number out of range, an unknown preset, term, backbone or teacher.
        WeightsError: the weights to start from cannot be read.
    """
    options = filled(_AllFlags, given)
    preset = find_preset(options["preset"])
    seed, steps, time_limit, teacher = options["seed"], options["steps"], options["time_limit"], options["teacher"]
    if not 0 <= seed < 2**63:
        raise UsageError(f"{seed}: must be 0 to 2**63 - 1", "seed")
    if steps is not None and steps < 0:
        raise UsageError(f"{steps}: must be 0 or more", "steps")
    if time_limit is not None and not time_limit > 0:
        raise UsageError(f"{time_limit:g}: must be more than 0 seconds", "time_limit")
    if teacher != AdaptOptions.teacher and teacher not in teachers():
        raise UsageError(f"{teacher}: choose one of {', '.join(teachers())}", "teacher")
    backbone = _chosen_backbone(options) or AdaptOptions.backbone
    traits = find_fusing_traits(backbone)
    if steps is None:
        random = not traits.pretrained and path_or_none(options["weights"]) is None
        steps = preset.steps_from_random if random else preset.steps
    return AdaptOptions(
        steps=steps,
        time_limit=time_limit,
        seed=seed,
        backbone=backbone,
        rounds=AdaptOptions.rounds if options["projection"] else 0,
        weights=None if options["loss"] is None else loss_weights(options["loss"]),
        teacher=teacher,
        orientations=preset.orientations,
    )


def _chosen_backbone(options: NetworkFlags) -> str | None:
    """The backbone that the user names, else that of the weights to start from; None: the default."""
    weights = path_or_none(options["weights"])
    if options["backbone"] is not None or weights is None:
        return options["backbone"]
    from clippan_cli.weights.path import backbone_of

    return backbone_of(weights)


def loss_weights(terms: str | Mapping[str, float]) -> LossWeights:
    """The terms named in "spec,spat=0.5,d", each with its usual weight unless another is given; no others.

    Args:
        terms: the text, or weights by the name of the term.

    Raises:
        UsageError: an unknown term, or a weight that is no positive number.
    """
    chosen: dict[str, float] = {}
    for name, weight in _named_weights(terms):
        if name not in LOSS_NAMES:
            raise UsageError(f"{terms}: '{name}' is not a term; choose from {', '.join(LOSS_NAMES)}", "loss")
        term = LOSS_NAMES[name]
        try:
            chosen[term] = float(getattr(LossWeights(), term) if weight is None else weight)
        except ValueError as error:
            raise UsageError(f"{terms}: '{weight}' is not a number", "loss") from error
        if not 0 < chosen[term] < 1e6:
            raise UsageError(
                f"{terms}: the weight of '{name}' must be more than 0; leave out terms that you do not want", "loss"
            )
    return LossWeights.only(**chosen)


def _named_weights(terms: str | Mapping[str, float]) -> list[tuple[str, str | float | None]]:
    """Each term, and its weight where one is given."""
    if not isinstance(terms, str):
        return list(terms.items())
    parts = [item.partition("=") for item in terms.split(",")]
    return [(name.strip(), weight.strip() if equals else None) for name, equals, weight in parts]


def resampling_kernel(given: Mapping[str, Any]) -> Kernel:
    """How MS is interpolated.

    Raises:
        UsageError: there is no such way.
    """
    chosen: Kernel = filled(_ClassicalFlags, given)["resampling"]
    one_of("resampling", chosen, get_args(Kernel))
    return chosen


def pan_weights(given: Mapping[str, Any]) -> tuple[float, ...] | None:
    """The share of each band in PAN.

    Raises:
        UsageError: something is not a number, or the sum is not positive.
    """
    weights = filled(_ClassicalFlags, given)["weights_pan"]
    if weights is None:
        return None
    listed = [weights] if isinstance(weights, str) else weights
    text = ",".join(map(str, listed))
    try:
        numbers = tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise UsageError(f"{text}: must be numbers, one for each band, e.g. 0.2,0.3,0.4,0.1", "weights_pan") from error
    if not all(map(math.isfinite, numbers)) or not sum(numbers) > 0:
        raise UsageError(f"{text}: the sum of the weights must be more than 0", "weights_pan")
    return numbers
