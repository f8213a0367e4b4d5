"""How language takes part: which CLIP, which texts, how it adapts to a scene. Free of torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from clippan_models.errors import UsageError, unreadable_weights
from clippan_models.guidance.prompts import DEFAULT, PROMPTS, Prompts

EMBEDDED = "embedded"
AUTO = "auto"
NONE = "none"
"""Names of a CLIP, see `encoder.load_clip`."""

AUTO_PRETRAINED = ("ViT-B-32", "openai")
"""What `auto` takes if it is in the cache: the model of the paper's code."""

_WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")

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


def check_clip(spec: str) -> None:
    """Refuse what cannot be a CLIP, before anything is loaded; only open_clip knows its own models.

    Raises:
        UsageError: there is no CLIP of this name.
        WeightsError: the file does not exist, or cannot be looked at.
    """
    if (file := clip_file(spec)) is not None:
        try:
            file[0].stat()
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
            raise unreadable_weights(file[0], error) from error
    elif spec not in (EMBEDDED, AUTO, NONE) and not spec.partition(":")[2]:
        raise no_such_clip(spec)


def no_such_clip(spec: str) -> UsageError:
    """The error for a name that no CLIP has."""
    return UsageError(
        f"there is no CLIP called {spec!r}; available: embedded, auto, none, MODEL:PRETRAINED such as "
        f"{':'.join(AUTO_PRETRAINED)}, or the path of a .safetensors file"
    )


def clip_file(spec: str) -> tuple[Path, str | None] | None:
    """Path and model of "PATH" or "PATH:MODEL", or None if it is neither."""
    head, colon, model = spec.rpartition(":")
    if colon and _looks_like_a_file(head):
        return Path(head), model
    return (Path(spec), None) if _looks_like_a_file(spec) else None


def _looks_like_a_file(text: str) -> bool:
    return text.lower().endswith(_WEIGHT_SUFFIXES) or os.path.isfile(text)
