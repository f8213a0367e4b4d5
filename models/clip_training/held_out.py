"""What the embedded CLIP can tell on scenes it has not seen: the figures of its model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clip_training.captions import DEGRADATION_PROMPTS, MS_PROMPT, PAN_PROMPT, WALD_PROMPT
from clip_training.corpus import draw_crop, fault_strength, show, show_pan
from clip_training.degradations import FAULTS, as_ms, fused
from clip_training.pretraining import direction
from clip_training.scenes import TruthScene
from clippan_models.guidance.embedded import embedded_tokenizer
from clippan_models.guidance.radiometry import clip_normalise

_STRONG, _MODERATE = 2, 1


@dataclass(frozen=True)
class Report:
    """Shares are of the crops, 0 .. 1.

    Attributes:
        crops: how many.
        exp_below_truth: share where the Wald prompt is nearer to the truth than to EXP.
        exp_below_fusion: nearer to a GLP fusion than to EXP.
        fusion_below_truth: nearer to the truth than to that fusion.
        ordered: EXP < fusion < truth.
        fault_accuracy: which of the ten faults, strong ones, by their plain captions; chance is 0.1.
        fault_accuracy_moderate: the same for moderate ones.
        faults: accuracy for each strong fault.
        modality_accuracy: MS, PAN or HRMS, of EXP, PAN and truth by the three prompts; chance is 1/3.
        direction: mean of `pretraining.direction` for each kind of image.
        nearness: mean cosine with the Wald prompt.
        direction_below_truth: share of crops where `direction` of this kind is below that of the truth.
    """

    crops: int
    exp_below_truth: float
    exp_below_fusion: float
    fusion_below_truth: float
    ordered: float
    fault_accuracy: float
    fault_accuracy_moderate: float
    faults: Mapping[str, float]
    modality_accuracy: float
    direction: Mapping[str, float]
    nearness: Mapping[str, float]
    direction_below_truth: Mapping[str, float]


def evaluate(model: Any, scenes: Sequence[TruthScene], crops: int, seed: int, device: str = "cpu") -> Report:
    """Judge a model on `crops` places of each scene, drawn from a seed."""
    rng = np.random.default_rng((seed, 1))
    families = list(FAULTS)
    images: dict[str, list[Tensor]] = {}
    for scene in scenes:
        for _ in range(crops):
            crop = draw_crop(scene, rng)
            views = {
                "EXP": show(as_ms(crop.bands), crop),
                "PAN": show_pan(crop),
                "fusion": show(fused(crop, 1.0, rng), crop),
                "truth": show(crop.bands, crop),
            }
            for family in families:
                views[family] = show(FAULTS[family](crop, fault_strength(_STRONG, rng), rng), crop)
                moderate = FAULTS[family](crop, fault_strength(_MODERATE, rng), rng)
                views[f"{family}, moderate"] = show(moderate, crop)
            for name, view in views.items():
                images.setdefault(name, []).append(view)
    features = {name: _image_features(model, torch.stack(views), device) for name, views in images.items()}
    prompts = _text_features(model, [MS_PROMPT, PAN_PROMPT, WALD_PROMPT], device)
    faults = _text_features(model, [DEGRADATION_PROMPTS[family] for family in families], device)

    near = {name: feature @ prompts[2] for name, feature in features.items()}
    towards = {name: direction(f, features["EXP"], features["PAN"], prompts) for name, f in features.items()}
    recall = {f: _share((features[f] @ faults.T).argmax(1) == i) for i, f in enumerate(families)}
    moderate_recall = [_share((features[f"{f}, moderate"] @ faults.T).argmax(1) == i) for i, f in enumerate(families)]
    modality = [_share((features[f] @ prompts.T).argmax(1) == i) for i, f in enumerate(("EXP", "PAN", "truth"))]
    shown = ["EXP", "PAN", "fusion", "truth", *families]
    return Report(
        crops=len(near["truth"]),
        exp_below_truth=_share(near["EXP"] < near["truth"]),
        exp_below_fusion=_share(near["EXP"] < near["fusion"]),
        fusion_below_truth=_share(near["fusion"] < near["truth"]),
        ordered=_share((near["EXP"] < near["fusion"]) & (near["fusion"] < near["truth"])),
        fault_accuracy=float(np.mean(list(recall.values()))),
        fault_accuracy_moderate=float(np.mean(moderate_recall)),
        faults=recall,
        modality_accuracy=float(np.mean(modality)),
        direction={name: float(towards[name].mean()) for name in shown},
        nearness={name: float(near[name].mean()) for name in shown},
        direction_below_truth={name: _share(towards[name] < towards["truth"]) for name in shown if name != "truth"},
    )


def table(reports: Mapping[str, Report]) -> str:
    """The reports side by side, one line a figure."""
    columns = [_figures(report) for report in reports.values()]
    width = max(map(len, columns[0]))
    head = f"{'':{width}}" + "".join(f"{name:>14}" for name in reports)
    lines = [f"{label:{width}}" + "".join(_number(column[label]) for column in columns) for label in columns[0]]
    return "\n".join([head, *lines])


def _figures(report: Report) -> dict[str, float]:
    return {
        "crops": report.crops,
        "Wald prompt: EXP < truth": report.exp_below_truth,
        "Wald prompt: EXP < fusion": report.exp_below_fusion,
        "Wald prompt: fusion < truth": report.fusion_below_truth,
        "Wald prompt: EXP < fusion < truth (chance 0.167)": report.ordered,
        "which strong fault (chance 0.1)": report.fault_accuracy,
        "which moderate fault (chance 0.1)": report.fault_accuracy_moderate,
        **{f"  strong {family}": share for family, share in report.faults.items()},
        "MS, PAN or HRMS (chance 0.333)": report.modality_accuracy,
        **{f"mean direction: {name}": mean for name, mean in report.direction.items()},
        **{f"direction: {name} < truth": share for name, share in report.direction_below_truth.items()},
    }


def _number(value: float) -> str:
    return f"{value:14d}" if isinstance(value, int) else f"{value:14.3f}"


def _image_features(model: Any, images: Tensor, device: str) -> Tensor:
    with torch.inference_mode():
        parts = [
            model.encode_image(clip_normalise(p.to(device)), normalize=True).cpu() for p in torch.split(images, 256)
        ]
    return torch.cat(parts)


def _text_features(model: Any, texts: list[str], device: str) -> Tensor:
    with torch.inference_mode():
        features: Tensor = model.encode_text(embedded_tokenizer()(texts).to(device), normalize=True).cpu()
    return features


def _share(hits: Tensor) -> float:
    return float(hits.float().mean())
