"""How a network learns: steps, loss weights and presets. The only place that holds their defaults; free of torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from clippan_models.errors import UsageError
from clippan_models.networks.names import BACKBONE_PLUGINS, find_traits

DEFAULT_BACKBONE = "anyband"
"""The only one that can sharpen before it learns, and the best after it; see docs/benchmarks.md."""

NO_TEACHER = "none"

SELF = "self"
"""The fusion network's own kind, trained at reduced resolution only."""

CLASSICAL_TEACHERS = ("bdsd-pc", "mtf-glp-hpm-r", "gsa")
"""Teachers that need no training."""

OnStep = Callable[[str, int, int, float], None]
"""Called after each step of a training with its stage ("CLIP adaptation", "teacher" or "adapt"), the number of the
step, that of all steps, and the loss; may raise to stop the training."""


@dataclass(frozen=True)
class Preset:
    """How much time to spend.

    Attributes:
        steps: optimiser steps of a network that has learned before.
        steps_from_random: of one that begins with random weights.
        orientations: of the image whose results are averaged, 1, 2, 4 or 8.
    """

    steps: int
    steps_from_random: int
    orientations: int = 1


PRESETS = {
    "fast": Preset(0, 25),
    "balanced": Preset(30, 100, orientations=2),
    "best": Preset(100, 600, orientations=8),
}
"""By name."""

DEFAULT_PRESET = "balanced"


def teachers() -> list[str]:
    """The names of all teachers."""
    return [SELF, *CLASSICAL_TEACHERS, *BACKBONE_PLUGINS.known(), NO_TEACHER]


def find_preset(name: str) -> Preset:
    """The preset of a name.

    Raises:
        UsageError: there is no preset of that name.
    """
    if name not in PRESETS:
        raise UsageError(f"{name}: choose one of {', '.join(PRESETS)}", "preset")
    return PRESETS[name]


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term of the loss; a term of weight 0 is left out.

    CLIPPan's letters stand in brackets; `correlation`, `reduced` and `consistency` are ours.

    Attributes:
        spectral: the fused image, MTF-degraded, is MS (L_spec).
        spatial: a weighted sum of its bands is PAN (L_spat).
        qnr: 1 - QNR (L_qnr).
        correlation: detail follows PAN at least as closely as that of MS does.
        ship: distance to the teacher's image (L_ship).
        direction: disagreement with the prompt, where there is a judge (L_d).
        reduced: distance to the truth at reduced resolution, by Wald's protocol.
        consistency: distance to the network's own first result, sharpened again from what the sensor would have seen
            of it from elsewhere (`patches.virtual_pairs`); for networks that can sharpen before they learn.
    """

    spectral: float = 1.0
    spatial: float = 0.2
    qnr: float = 0.1
    correlation: float = 1.0
    ship: float = 0.1
    direction: float = 0.5
    reduced: float = 4.0
    consistency: float = 1.0

    @classmethod
    def only(cls, **weights: float) -> LossWeights:
        """These terms and no others."""
        return cls(**{term.name: weights.get(term.name, 0.0) for term in fields(cls)})


_SHORT_NAMES = {
    "spec": "spectral",
    "spat": "spatial",
    "qnr": "qnr",
    "rho": "correlation",
    "ship": "ship",
    "d": "direction",
    "wald": "reduced",
    "ei": "consistency",
}

LOSS_NAMES = _SHORT_NAMES | {term.name: term.name for term in fields(LossWeights)}
"""The field of `LossWeights` by each name that a user may call it: a short one, mostly the paper's, or its own."""


FROM_RANDOM_WEIGHTS = LossWeights(consistency=0.0)
"""What a network learns from that begins with random weights."""

FROM_PRIOR = LossWeights.only(consistency=1.0, direction=2.0, ship=0.1)
"""What a network learns from that can sharpen before it learns."""


@dataclass(frozen=True)
class AdaptOptions:
    """How to adapt.

    Attributes:
        steps: optimiser steps; 0 leaves the initial fusion as it is.
        time_limit: seconds after which to stop, or None.
        seed: of weights and batches.
        backbone: the network, a name in `networks.registry.BACKBONES`.
        batch: full-resolution patches per step; four times as many at reduced resolution. None: the backbone's own.
        judged: of the former, how many the judge sees; it costs as much as the network does.
        learning_rate: of Adam, decayed by a cosine. None: the backbone's own.
        validate_every: steps between validations.
        rounds: projections onto PAN and MS after the network, in training and for the result.
        weights: of the terms of the loss. None: those for the backbone.
        teacher: whose images `loss.ship` pulls to, one of `teachers()`.
        orientations: of the image whose results are averaged, 1, 2, 4 or 8.
    """

    steps: int = PRESETS[DEFAULT_PRESET].steps
    time_limit: float | None = None
    seed: int = 0
    backbone: str = DEFAULT_BACKBONE
    batch: int | None = None
    judged: int = 1
    learning_rate: float | None = None
    validate_every: int = 25
    rounds: int = 1
    weights: LossWeights | None = None
    teacher: str = NO_TEACHER
    orientations: int = PRESETS[DEFAULT_PRESET].orientations

    @property
    def loss(self) -> LossWeights:
        """The weights of the terms of the loss."""
        usual = FROM_PRIOR if find_traits(self.backbone).pretrained else FROM_RANDOM_WEIGHTS
        return usual if self.weights is None else self.weights

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
