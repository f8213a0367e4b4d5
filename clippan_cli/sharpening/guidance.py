"""Which CLIP judges the image, and by which words."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from clippan_cli.scene.band_roles import band_roles
from clippan_cli.scene.scene import Scene
from clippan_models.adaptation.clip_adaptation import STAGE1_TERMS, AlignOptions
from clippan_models.adaptation.scene import Guide
from clippan_models.guidance.encoder import AUTO, ClipEncoder, load_clip
from clippan_models.guidance.prompts import DEFAULT, PROMPTS, Prompts
from clippan_models.guidance.stem import StemKind
from clippan_models.methods.registry import MethodSpec


@dataclass(frozen=True)
class GuidanceOptions:
    """How language takes part.

    Attributes:
        clip: which CLIP, see `encoder.load_clip`.
        prompts: what the types of image are called.
        stem: how any number of bands become the three that CLIP sees.
        steps: optimiser steps of stage I; None: as many as the CLIP needs, see `stage1_steps`.
        terms: of the loss of stage I.
    """

    clip: str = AUTO
    prompts: Prompts = PROMPTS[DEFAULT]
    stem: StemKind = "conv"
    steps: int | None = None
    terms: tuple[str, ...] = STAGE1_TERMS


def open_guide(options: GuidanceOptions, scene: Scene, seed: int, device: torch.device) -> Guide | None:
    """The guide of an adaptation, or None where no CLIP is wanted.

    Raises:
        UsageError: no CLIP is called so, or a prompt is too long for it.
        WeightsError: its weights are missing or damaged.
    """
    encoder = load_clip(options.clip, device)
    if encoder is None:
        return None
    encoder.texts(options.prompts.texts())  # too long a prompt is refused before the work, not after
    roles = band_roles(scene.pair.ms, scene.sensor)
    align = AlignOptions(
        steps=stage1_steps(encoder) if options.steps is None else options.steps,
        seed=seed,
        terms=options.terms,
        stem=options.stem,
        rgb=roles.rgb,
        nir=roles.nir,
    )
    return Guide(encoder, options.prompts, align)


def stage1_steps(encoder: ClipEncoder) -> int:
    """Steps of stage I that do a CLIP good.

    The embedded one has learnt from truths what a fused image is. Stage I, which shows it those of a classical method
    instead, makes it prefer them to the truth.
    """
    return 0 if encoder.identity.native else AlignOptions().steps


def describe_guide(spec: MethodSpec, guide: Guide | None) -> dict[str, str]:
    """What the tags of a result say of its guide; nothing for methods without language."""
    if not spec.language:
        return {}
    if guide is None:
        return {"CLIP": "none"}
    identity = guide.encoder.identity
    return {
        "CLIP": identity.name,
        "CLIP_FROM": identity.source,
        "CLIP_SHA256": identity.sha256,
        "PROMPT_MS": guide.prompts.ms,
        "PROMPT_PAN": guide.prompts.pan,
        "PROMPT_HRMS": guide.prompts.hrms,
        "STEM": guide.options.stem,
        "STAGE1_STEPS": str(guide.options.steps),
        "STAGE1_LOSS": ",".join(guide.options.terms),
    }
