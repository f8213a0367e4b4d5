"""How language takes part: which CLIP, which texts, how it adapts to a scene. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from clippan_models.guidance.prompts import DEFAULT, PROMPTS, Prompts

EMBEDDED = "embedded"
AUTO = "auto"
NONE = "none"
"""Names of a CLIP, see `encoder.load_clip`."""

StemKind = Literal["conv", "pca", "rgb", "gbnir"]
"""How any number of bands become the three that CLIP sees, see `stem`."""

STEMS: tuple[StemKind, ...] = get_args(StemKind)
"""All kinds; only `conv` learns."""

STAGE1_TERMS = ("inter", "intra", "fusion")
"""The terms of the loss of stage I: InterMCL, IntraMCL and fusion-aware alignment."""


@dataclass(frozen=True)
class GuidanceOptions:
    """How language takes part.

    Attributes:
        clip: which CLIP, see `encoder.load_clip`.
        prompts: what the types of image are called.
        stem: how any number of bands become the three that CLIP sees.
        steps: optimiser steps of stage I; None: as many as the CLIP needs.
        terms: of the loss of stage I, of `STAGE1_TERMS`.
    """

    clip: str = AUTO
    prompts: Prompts = PROMPTS[DEFAULT]
    stem: StemKind = "conv"
    steps: int | None = None
    terms: tuple[str, ...] = STAGE1_TERMS
