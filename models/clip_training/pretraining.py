"""How the embedded CLIP learns: contrast between images and captions, and the order of what the Wald prompt prefers.

The contrast is CLIP's, symmetric InfoNCE, with soft targets: captions repeat, and some fit in part
(`captions.affinity`). It does not teach what is asked at run time: which of two images of one scene is nearer to the
prompt, and whether features move from MS and PAN to the image as their texts do. Two more terms do:

    L = L_nce + L_rank + L_dir,
    d(x) = 1/2 [cos(F_x - F_MS, T_wald - T_MS) + cos(F_x - F_PAN, T_wald - T_PAN)]   (CLIPPan eq. 6-8)

L_rank is a soft hinge on cos(F, T_wald) and on d within each group, L_dir = 1 - d(reference).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clip_training.captions import MS_PROMPT, PAN_PROMPT, WALD_PROMPT, affinity
from clip_training.corpus import Corpus, Sample
from clippan_models.guidance.embedded import embedded_tokenizer
from clippan_models.guidance.radiometry import clip_normalise
from clippan_models.losses.direction import direction_loss

_HIGHEST_SCALE = math.log(100.0)  # CLIP's own limit
_SOFTNESS = 0.05  # of the hinge, in units of a cosine
_MARGINS = {"fused": 0.04, "ms": 0.3, "pan": 0.3, "independent": 0.4, "slight": 0.04, "moderate": 0.15, "strong": 0.3}


@dataclass(frozen=True)
class PretrainOptions:
    """How long and how fast.

    Attributes:
        steps: at most so many.
        groups: crops in a batch, each in `4 + corpus.faults` versions.
        seed: of the samples; the weights come from torch's generator.
        learning_rate: the highest, after the warm-up.
        warm_up: steps until it is reached.
        time_limit: seconds; the learning rate then falls so that training ends in time.
        bfloat16: compute products in bfloat16, faster where the processor has it.
    """

    steps: int = 2000
    groups: int = 16
    seed: int = 0
    learning_rate: float = 1e-3
    warm_up: int = 100
    time_limit: float = math.inf
    bfloat16: bool = False


@dataclass(frozen=True)
class Step:
    """One step of the training, 1-based, and the terms of its loss."""

    number: int
    seconds: float
    loss: float
    contrast: float
    rank: float
    direction: float


def pretrain(model: Any, corpus: Corpus, options: PretrainOptions, device: str, report: Callable[[Step], None]) -> int:
    """Train a model in place; returns the number of steps made.

    Args:
        model: of `build_embedded`.
        corpus: where samples come from.
        options: see there.
        device: where to compute.
        report: called after each step.
    """
    model.to(device).train()
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}],
        lr=options.learning_rate,
        betas=(0.9, 0.98),
    )
    tokenizer, start = embedded_tokenizer(), time.monotonic()
    for step in range(options.steps):
        elapsed = time.monotonic() - start
        if elapsed > options.time_limit:
            return step
        progress = max(step / options.steps, elapsed / options.time_limit)
        rate = options.learning_rate * min(1.0, (step + 1) / options.warm_up) * 0.5 * (1 + math.cos(math.pi * progress))
        for group in optimiser.param_groups:
            group["lr"] = rate
        samples = corpus.batch(options.seed, step, options.groups)
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=options.bfloat16):
            images, texts, prompts = _features(model, tokenizer, samples, device)
        parts = losses(images.float(), texts.float(), prompts.float(), model.logit_scale.exp(), samples)
        optimiser.zero_grad(set_to_none=True)
        total = torch.stack(parts).sum()
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0.0, _HIGHEST_SCALE)
        report(Step(step + 1, time.monotonic() - start, float(total.detach()), *(float(p.detach()) for p in parts)))
    return options.steps


def _features(model: Any, tokenizer: Any, samples: list[Sample], device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Unit features of the images, of their captions, and of the prompts for MS, PAN and HRMS."""
    images = clip_normalise(torch.stack([s.image for s in samples]).to(device))
    prompts = (MS_PROMPT, PAN_PROMPT, WALD_PROMPT)
    texts = list(dict.fromkeys([*prompts, *(s.caption.text for s in samples)]))  # each text once
    encoded = model.encode_text(tokenizer(texts).to(device), normalize=True)
    index = torch.tensor([texts.index(s.caption.text) for s in samples], device=device)
    return model.encode_image(images, normalize=True), encoded[index], encoded[:3]


def losses(
    images: Tensor, texts: Tensor, prompts: Tensor, scale: Tensor, samples: list[Sample]
) -> tuple[Tensor, Tensor, Tensor]:
    """The three terms of a batch.

    Args:
        images: `[N, D]` unit features, whole groups one after the other, each of reference, MS, PAN and others.
        texts: `[N, D]`, of their captions.
        prompts: `[3, D]`: MS, PAN, HRMS.
        scale: the logit scale.
        samples: what they are.

    Returns:
        contrast, order within groups, direction.
    """
    fit = affinity([s.key for s in samples], [s.content for s in samples], [s.caption for s in samples])
    fit = fit.to(images.device)
    logits = scale * images @ texts.T
    contrast = (_soft_cross_entropy(logits, fit) + _soft_cross_entropy(logits.T, fit.T)) / 2

    size = sum(s.group == samples[0].group for s in samples)
    groups = images.reshape(-1, size, images.shape[1])
    towards = direction(groups, groups[:, 1:2], groups[:, 2:3], prompts)
    nearness = groups @ prompts[2]
    margin = torch.tensor([_MARGINS.get(s.key.rpartition("/")[2], 0.0) for s in samples], device=images.device)
    margin = margin.reshape(-1, size)[:, 1:]
    rank = (_hinge(nearness, margin).mean() + _hinge(towards, margin)[:, 2:].mean()) / 2  # d is undefined for MS itself
    return contrast, rank, 1 - towards[:, 0].mean()


def direction(images: Tensor, ms: Tensor, pan: Tensor, prompts: Tensor) -> Tensor:
    """How well features move from MS and PAN to an image as their prompts do to Wald's (eq. 6-8), -1 .. 1.

    Args:
        images: `[..., D]` features.
        ms: `[..., D]` or what broadcasts to it.
        pan: likewise.
        prompts: `[3, D]`: MS, PAN, HRMS.
    """
    return 1 - direction_loss(images, ms, pan, *prompts)


def _soft_cross_entropy(logits: Tensor, fit: Tensor) -> Tensor:
    """Cross entropy with targets in proportion to the fit, less their entropy: 0 at best."""
    target = fit / fit.sum(1, keepdim=True)
    return functional.kl_div(functional.log_softmax(logits, 1), target, reduction="batchmean")


def _hinge(score: Tensor, margin: Tensor) -> Tensor:
    """How much the others of a group, `[groups, size - 1]`, come within a margin of its reference, the first."""
    return _SOFTNESS * functional.softplus((score[:, 1:] - score[:, :1] + margin) / _SOFTNESS)
