"""What the tags of a fused file say of a network: how it learns, which CLIP judges it, and how it learned."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

from clippan_models.adaptation.options import AdaptOptions
from clippan_models.adaptation.scene import Guide
from clippan_models.adaptation.trainer import Adapted

_DIGITS = 6


def learning_tags(options: AdaptOptions) -> dict[str, str]:
    """How a network learns; of the loss, the terms that count."""
    return {
        "SEED": str(options.seed),
        "STEPS": str(options.steps),
        "BACKBONE": options.backbone,
        "TEACHER": options.teacher,
        "LOSS": json.dumps({term: weight for term, weight in asdict(options.loss).items() if weight}),
        "PROJECTIONS": str(options.rounds),
        "ORIENTATIONS": str(options.orientations),
    }


def guide_tags(guide: Guide | None) -> dict[str, str]:
    """Which CLIP judges the image, and by which words."""
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


def curve_tags(adapted: Adapted) -> dict[str, str]:
    """The validations in order, and where the best was."""
    loss = [
        {"step": p.step, "total": _short(p.total), **{k: _short(v) for k, v in p.parts.items()}} for p in adapted.curve
    ]
    return {"CURVE": json.dumps({"best_step": adapted.best_step, "steps": adapted.steps, "loss": loss})}


def _short(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
