"""How language takes part: which CLIP, which texts, and how CLIP adapts to the scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict, get_args

from clippan_cli.options.flags import LEARNING, filled
from clippan_models.errors import UsageError
from clippan_models.guidance.options import STAGE1_TERMS, GuidanceOptions, StemKind, check_clip
from clippan_models.guidance.prompts import DEFAULT, find_prompts, load_prompts


class GuidanceFlags(TypedDict, total=False):
    """Of commands that learn."""

    clip: Annotated[
        str,
        LEARNING.flag(
            GuidanceOptions.clip,
            "NAME|FILE",
            "CLIP that guides the training: auto, embedded, MODEL:PRETRAINED, a .safetensors file, or none.",
        ),
    ]
    prompt: Annotated[str | None, LEARNING.flag(None, "TEXT", "Description of a good image in your own words.")]
    prompts: Annotated[
        str | Path,
        LEARNING.flag(
            DEFAULT, "NAME|FILE", "Prompt set to compare images with: wald, khan, i, ii, noise, or a .toml file."
        ),
    ]
    stem: Annotated[
        StemKind,
        LEARNING.flag(
            GuidanceOptions.stem,
            "NAME",
            "How the MS bands become the three channels of CLIP: conv, pca, rgb, gbnir.",
            any_case=True,
        ),
    ]
    stage1_steps: Annotated[
        int | None,
        LEARNING.flag(
            GuidanceOptions.steps, "N", "Steps of the CLIP adaptation; if not given 100, or 0 for the embedded CLIP."
        ),
    ]
    stage1_loss: Annotated[
        str | Sequence[str],
        LEARNING.flag(
            ",".join(GuidanceOptions.terms),
            "TERM,...",
            "Loss of the CLIP adaptation: inter, intra, fusion.",
            any_case=True,
        ),
    ]


def guidance_options(given: Mapping[str, Any]) -> GuidanceOptions:
    """How language takes part.

    Raises:
        UsageError: an unknown CLIP, set of prompts, stem or term, or a number out of range.
        WeightsError: the file of a CLIP does not exist.
    """
    options = filled(GuidanceFlags, given)
    check_clip(options["clip"])
    stem, steps, terms = options["stem"], options["stage1_steps"], options["stage1_loss"]
    if stem not in get_args(StemKind):
        raise UsageError(f"{stem}: choose one of {', '.join(get_args(StemKind))}", "stem")
    if steps is not None and steps < 0:
        raise UsageError(f"{steps}: must be 0 or more", "stage1_steps")
    chosen = tuple(name.strip() for name in (terms.split(",") if isinstance(terms, str) else terms))
    unknown = [name for name in chosen if name not in STAGE1_TERMS]
    if unknown:
        raise UsageError(f"{terms}: '{unknown[0]}' is not a term; choose from {', '.join(STAGE1_TERMS)}", "stage1_loss")
    prompts = str(options["prompts"])
    from_file = prompts.lower().endswith(".toml") or Path(prompts).is_file()
    texts = load_prompts(prompts) if from_file else find_prompts(prompts)
    if options["prompt"] is not None:
        texts = texts.with_hrms(options["prompt"])
    return GuidanceOptions(options["clip"], texts, stem, steps, chosen)
