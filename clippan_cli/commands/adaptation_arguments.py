"""From the arguments that say how to learn to the options of the tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from clippan_models.adaptation.options import Preset
from clippan_models.errors import UsageError

if TYPE_CHECKING:
    from clippan_models.adaptation.options import AdaptOptions, LossWeights
    from clippan_models.guidance.options import GuidanceOptions

_TERMS = {
    "spec": "spectral",
    "spat": "spatial",
    "qnr": "qnr",
    "rho": "correlation",
    "ship": "ship",
    "d": "direction",
    "wald": "reduced",
}
"""The terms of the loss as the paper calls them.

Ours are `wald`, the truth at reduced resolution, and `rho`, detail that follows PAN.
"""


def adapt_options(
    *,
    preset: Preset,
    steps: int | None,
    time_limit: float | None,
    seed: int,
    loss: str | None,
    backbone: str | None,
    teacher: str,
    projection: bool,
) -> AdaptOptions:
    """How the network learns; what is None is the preset's.

    Raises:
        UsageError: a number out of range, an unknown term, backbone or teacher.
    """
    from clippan_models.adaptation.options import AdaptOptions
    from clippan_models.adaptation.teacher import TEACHERS
    from clippan_models.networks.registry import find_fusing_backbone

    if not 0 <= seed < 2**63:
        raise UsageError(f"--seed {seed}: 0 to 2**63 - 1")
    if steps is not None and steps < 0:
        raise UsageError(f"--steps {steps}: 0 or more")
    if time_limit is not None and not time_limit > 0:
        raise UsageError(f"--time-limit {time_limit:g}: more than 0 seconds")
    if teacher not in TEACHERS:
        raise UsageError(f"--teacher {teacher}: choose one of {', '.join(TEACHERS)}")
    usual = AdaptOptions()
    return AdaptOptions(
        steps=preset.steps if steps is None else steps,
        time_limit=time_limit,
        seed=seed,
        backbone=find_fusing_backbone(backbone or preset.backbone).name,
        rounds=usual.rounds if projection else 0,
        weights=usual.weights if loss is None else loss_weights(loss),
        teacher=teacher,
    )


def chosen_backbone(backbone: str | None, weights: Path | None) -> str | None:
    """The backbone that the user names, else that of the weights to begin with; None: the preset's.

    Raises:
        WeightsError: the weights cannot be read.
    """
    if backbone is not None or weights is None:
        return backbone
    from clippan_cli.weights.cards import backbone_of

    return backbone_of(weights)


def loss_weights(text: str) -> LossWeights:
    """The terms named in "spec,spat=0.5,d", each with its usual weight unless another is given; no others.

    Raises:
        UsageError: an unknown term, or a weight that is no positive number.
    """
    from clippan_models.adaptation.options import LossWeights

    chosen: dict[str, float] = {}
    for item in text.split(","):
        name, given, number = (part.strip() for part in item.partition("="))
        if name not in _TERMS:
            raise UsageError(f"--loss {text}: '{name}' is not a term; choose of {', '.join(_TERMS)}")
        term = _TERMS[name]
        try:
            chosen[term] = float(number) if given else float(getattr(LossWeights(), term))
        except ValueError as error:
            raise UsageError(f"--loss {text}: '{number}' is not a number") from error
        if not 0 < chosen[term] < 1e6:
            raise UsageError(f"--loss {text}: the weight of '{name}' must be more than 0; leave out what is not wanted")
    return LossWeights.only(**chosen)


def guidance_options(
    *, clip: str, prompts: str, prompt: str | None, stem: str, steps: int | None, terms: str
) -> GuidanceOptions:
    """How language takes part; steps that are None are left to the CLIP.

    Raises:
        UsageError: prompts, a stem, a number or a term that there is not.
    """
    from clippan_models.guidance.options import STAGE1_TERMS, GuidanceOptions, StemKind
    from clippan_models.guidance.prompts import find_prompts, load_prompts

    if stem not in get_args(StemKind):
        raise UsageError(f"--stem {stem}: choose one of {', '.join(get_args(StemKind))}")
    if steps is not None and steps < 0:
        raise UsageError(f"--stage1-steps {steps}: 0 or more")
    chosen = tuple(name.strip() for name in terms.split(","))
    unknown = [name for name in chosen if name not in STAGE1_TERMS]
    if unknown:
        raise UsageError(f"--stage1-loss {terms}: '{unknown[0]}' is not a term; choose of {', '.join(STAGE1_TERMS)}")
    from_file = prompts.lower().endswith(".toml") or Path(prompts).is_file()
    texts = load_prompts(prompts) if from_file else find_prompts(prompts)
    if prompt is not None:
        texts = texts.with_hrms(prompt)
    return GuidanceOptions(clip=clip, prompts=texts, stem=cast(StemKind, stem), steps=steps, terms=chosen)
