"""How a network learns: steps, loss weights and presets. The only place that holds their defaults; free of torch."""

from __future__ import annotations

from dataclasses import dataclass, fields

from clippan_models.errors import UsageError

DEFAULT_BACKBONE = "lambda-pnn"
"""The best of those that two cores train in a minute or two, where the truth is sharp; see docs/benchmarks.md."""

NO_TEACHER = "none"


@dataclass(frozen=True)
class Preset:
    """How much time to spend on learning.

    Attributes:
        steps: optimiser steps.
        backbone: the network.
    """

    steps: int
    backbone: str


PRESETS = {
    "fast": Preset(75, "fusionnet"),
    "balanced": Preset(100, DEFAULT_BACKBONE),
    "best": Preset(600, DEFAULT_BACKBONE),
}
"""By name."""

DEFAULT_PRESET = "balanced"


def find_preset(name: str) -> Preset:
    """The preset of a name.

    Raises:
        UsageError: there is no preset of that name.
    """
    if name not in PRESETS:
        raise UsageError(f"the preset {name} does not exist: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term of the loss; a term of weight 0 is left out.

    Attributes:
        spectral: the fused image, seen as MS sees, is MS.
        spatial: a weighted sum of its bands is PAN.
        qnr: 1 - QNR.
        correlation: detail follows PAN at least as closely as MS does.
        ship: distance to the teacher.
        direction: disagreement with the prompt (L_d), where there is a judge.
        reduced: distance to the truth at reduced resolution.
    """

    spectral: float = 1.0
    spatial: float = 0.2
    qnr: float = 0.1
    correlation: float = 1.0
    ship: float = 0.1
    direction: float = 0.5
    reduced: float = 4.0

    @classmethod
    def only(cls, **weights: float) -> LossWeights:
        """These terms and no others."""
        return cls(**{term.name: weights.get(term.name, 0.0) for term in fields(cls)})


@dataclass(frozen=True)
class AdaptOptions:
    """How to adapt.

    Attributes:
        steps: optimiser steps; 0 leaves the closed-form start as it is.
        time_limit: seconds after which to stop, or None.
        seed: of weights and batches.
        backbone: the network, a name in `networks.registry.BACKBONES`.
        batch: full-resolution patches per step; four times as many at reduced resolution. None: the backbone's own.
        judged: of the former, how many the judge sees; it costs as much as the network does.
        learning_rate: of Adam, decayed by a cosine. None: the backbone's own.
        validate_every: steps between validations.
        rounds: projections, while training and of the result.
        weights: of the terms of the loss.
        teacher: whose images `weights.ship` pulls to, one of `teacher.TEACHERS`.
    """

    steps: int = PRESETS[DEFAULT_PRESET].steps
    time_limit: float | None = None
    seed: int = 0
    backbone: str = PRESETS[DEFAULT_PRESET].backbone
    batch: int | None = None
    judged: int = 1
    learning_rate: float | None = None
    validate_every: int = 25
    rounds: int = 1
    weights: LossWeights = LossWeights()
    teacher: str = NO_TEACHER

    @property
    def patches_per_step(self) -> int:
        """Full-resolution patches per step."""
        from clippan_models.networks.registry import find_backbone

        return find_backbone(self.backbone).training.batch if self.batch is None else self.batch

    @property
    def rate(self) -> float:
        """The learning rate of the first step."""
        from clippan_models.networks.registry import find_backbone

        own = find_backbone(self.backbone).training.learning_rate
        return own if self.learning_rate is None else self.learning_rate
