"""Which CLIP judges the image, and by which words."""

from __future__ import annotations

import torch

from clippan_cli.scene.band_roles import band_roles
from clippan_cli.scene.scene import Scene
from clippan_models.adaptation.clip_adaptation import ClipAdaptationOptions
from clippan_models.adaptation.scene import Guide
from clippan_models.guidance.encoder import ClipEncoder, load_clip
from clippan_models.guidance.options import GuidanceOptions


def open_guide(options: GuidanceOptions, scene: Scene, seed: int, device: torch.device) -> Guide | None:
    """The guide of an adaptation, or None where no CLIP is wanted.

    Raises:
        UsageError: there is no such CLIP, or a prompt is too long for it.
        WeightsError: its weights are missing or damaged.
    """
    encoder = load_clip(options.clip, device)
    if encoder is None:
        return None
    encoder.texts(options.prompts.texts())  # too long a prompt is refused before the work, not after
    roles = band_roles(scene.pair.ms, scene.sensor)
    adaptation = ClipAdaptationOptions(
        steps=stage1_steps(encoder) if options.steps is None else options.steps,
        seed=seed,
        terms=options.terms,
        stem=options.stem,
        rgb=roles.rgb,
        nir=roles.nir,
    )
    return Guide(encoder, options.prompts, adaptation)


def stage1_steps(encoder: ClipEncoder) -> int:
    """Default number of steps of stage I.

    None for the embedded CLIP, which was trained on true fused images: stage I shows it images of a classical method,
    and makes it prefer those to the truth.
    """
    return 0 if encoder.identity.native else ClipAdaptationOptions().steps
