"""How a network learned, as a tag that the file carries and a report draws."""

from __future__ import annotations

import json
import math

from clippan_models.adaptation.trainer import Adapted

_DIGITS = 6


def describe_curve(adapted: Adapted | None) -> dict[str, str]:
    """The tag CURVE: the validations in order, and where the best was; nothing for a method that does not learn."""
    if adapted is None:
        return {}
    loss = [
        {"step": p.step, "total": _short(p.total), **{k: _short(v) for k, v in p.parts.items()}} for p in adapted.curve
    ]
    return {"CURVE": json.dumps({"best_step": adapted.best_step, "steps": adapted.steps, "loss": loss})}


def _short(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
