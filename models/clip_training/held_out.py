"""Evaluation of the embedded CLIP on held-out scenes: the figures of its model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clip_training.captions import DEGRADATION_PROMPTS, MS_PROMPT, PAN_PROMPT, WALD_PROMPT
from clip_training.corpus import draw_crop, fault_strength, show, show_pan
from clip_training.degradations import FAULTS, as_ms, glp
from clip_training.pretraining import direction
from clip_training.scenes import TruthScene
from clippan_models.guidance.embedded import embedded_tokenizer
from clippan_models.guidance.radiometry import clip_normalise

_MODERATE, _STRONG = 1, 2

Figures = dict[str, float]
"""By label. Those without a mean in their label are shares of the crops, 0 .. 1; `a < b` is the share where it holds.

The figures of the Wald prompt compare cosines with it, `direction` is that of `pretraining`, and a fault is recognised
by its plain caption. Chance is in brackets."""


def evaluate(model: Any, scenes: Sequence[TruthScene], crops: int, seed: int, device: str = "cpu") -> Figures:
    """Evaluate a model on `crops` crops of each scene, drawn from a seed; all scenes have the same fusions."""
    rng = np.random.default_rng((seed, 1))
    drawn = [_views(scene, rng) for scene in scenes for _ in range(crops)]
    features = {name: _image_features(model, torch.stack([v[name] for v in drawn]), device) for name in drawn[0]}
    prompts = _text_features(model, [MS_PROMPT, PAN_PROMPT, WALD_PROMPT], device)
    captions = _text_features(model, [DEGRADATION_PROMPTS[family] for family in FAULTS], device)

    def recognised(names: Sequence[str], texts: Tensor) -> list[float]:
        """Share of each kind of image that is nearest to its own text."""
        return [_share((features[name] @ texts.T).argmax(1) == index) for index, name in enumerate(names)]

    near = {name: feature @ prompts[2] for name, feature in features.items()}
    towards = {name: direction(f, features["EXP"], features["PAN"], prompts) for name, f in features.items()}
    strong = recognised(list(FAULTS), captions)
    moderate = recognised([f"{family}, moderate" for family in FAULTS], captions)
    shown = ["EXP", "PAN", "fusion", *scenes[0].fusions, "truth", *FAULTS]
    better, worse = near["fusion"] < near["truth"], near["EXP"] < near["fusion"]
    return {
        "crops": len(drawn),
        "Wald prompt: EXP < truth": _share(near["EXP"] < near["truth"]),
        "Wald prompt: EXP < fusion": _share(worse),
        "Wald prompt: fusion < truth": _share(better),
        "Wald prompt: EXP < fusion < truth (chance 0.167)": _share(worse & better),
        **{f"Wald prompt: {name} < truth": _share(near[name] < near["truth"]) for name in scenes[0].fusions},
        "which strong fault (chance 0.08)": float(np.mean(strong)),
        "which moderate fault (chance 0.08)": float(np.mean(moderate)),
        **{f"  strong {family}": share for family, share in zip(FAULTS, strong, strict=True)},
        "MS, PAN or HRMS (chance 0.333)": float(np.mean(recognised(["EXP", "PAN", "truth"], prompts))),
        **{f"mean direction: {name}": float(towards[name].mean()) for name in shown},
        **{f"direction: {name} < truth": _share(towards[name] < towards["truth"]) for name in shown if name != "truth"},
    }


def table(columns: Mapping[str, Figures]) -> str:
    """The figures of several sets of scenes side by side, one line a figure."""
    labels = max((list(figures) for figures in columns.values()), key=len)
    width = max(map(len, labels))
    head = f"{'':{width}}" + "".join(f"{name:>14}" for name in columns)
    lines = [
        f"{label:{width}}" + "".join(_number(figures.get(label)) for figures in columns.values()) for label in labels
    ]
    return "\n".join([head, *lines])


def _views(scene: TruthScene, rng: np.random.Generator) -> dict[str, Tensor]:
    """One crop as truth, EXP, PAN and fused, and with each fault, strong and moderate."""
    crop = draw_crop(scene, rng)
    views = {
        "EXP": show(as_ms(crop.bands), crop),
        "PAN": show_pan(crop),
        "fusion": show(glp(crop, rng), crop),
        **{name: show(image, crop) for name, image in crop.fusions.items()},
        "truth": show(crop.bands, crop),
    }
    for family, fault in FAULTS.items():
        views[family] = show(fault(crop, fault_strength(_STRONG, rng), rng), crop)
        views[f"{family}, moderate"] = show(fault(crop, fault_strength(_MODERATE, rng), rng), crop)
    return views


def _number(value: float | None) -> str:
    if value is None:
        return " " * 14
    return f"{value:14d}" if isinstance(value, int) else f"{value:14.3f}"


def _image_features(model: Any, images: Tensor, device: str) -> Tensor:
    with torch.inference_mode():
        parts = torch.split(images, 256)
        return torch.cat([model.encode_image(clip_normalise(p.to(device)), normalize=True).cpu() for p in parts])


def _text_features(model: Any, texts: list[str], device: str) -> Tensor:
    with torch.inference_mode():
        features: Tensor = model.encode_text(embedded_tokenizer()(texts).to(device), normalize=True).cpu()
    return features


def _share(hits: Tensor) -> float:
    return float(hits.float().mean())
