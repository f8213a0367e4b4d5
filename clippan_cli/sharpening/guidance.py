"""Which CLIP judges the image, and by which words."""

from __future__ import annotations

import torch

from clippan_cli.report.quicklook import rgb_bands
from clippan_cli.scene.scene import Scene
from clippan_models.adaptation.clip_adaptation import ClipAdaptationOptions
from clippan_models.adaptation.scene import Guide
from clippan_models.guidance.encoder import ClipEncoder, load_clip
from clippan_models.guidance.options import GuidanceOptions
from clippan_models.methods.registry import MethodSpec

_NIR_NM, _VISIBLE_BELOW_NM = 840, 740


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
    align = ClipAdaptationOptions(
        steps=stage1_steps(encoder) if options.steps is None else options.steps,
        seed=seed,
        terms=options.terms,
        stem=options.stem,
        rgb=rgb_bands(scene.pair.ms, scene.sensor),
        nir=_nir_band(scene),
    )
    return Guide(encoder, options.prompts, align)


def stage1_steps(encoder: ClipEncoder) -> int:
    """Steps of stage I that do a CLIP good.

    The embedded one has learnt from truths what a fused image is. Stage I, which shows it those of a classical method
    instead, makes it prefer them to the truth.
    """
    return 0 if encoder.identity.native else ClipAdaptationOptions().steps


def _nir_band(scene: Scene) -> int | None:
    """0-based band of near infrared, by wavelength or by custom."""
    bands = scene.sensor.bands
    if len(bands) != scene.pair.ms.count:
        return {4: 3, 8: 6}.get(scene.pair.ms.count)
    centres = [sum(band.wavelength_nm) / 2 for band in bands]
    nearest = min(range(len(bands)), key=lambda b: abs(centres[b] - _NIR_NM))
    return nearest if centres[nearest] > _VISIBLE_BELOW_NM else None


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
