"""Adapters: small corrections of CLIP features for pansharpening (CLIPPan fig. 2, eq. 4).

All end in a linear layer: unit features have entries of both signs, which a ReLU at the end could not reach.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Adapter(nn.Module):
    """`A(f) = normalize((1 - mix) f + mix MLP(f))`; before it has learnt, A(f) = f.

    Args:
        dimension: D of the features.
        mix: how much of the correction enters, between 0 and 1.
    """

    def __init__(self, dimension: int, mix: float) -> None:
        super().__init__()
        self.mix = mix
        self.mlp = _mlp(dimension, dimension // 4, dimension)
        last = self.mlp[-1]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Unit features `[..., D]` of unit features `[..., D]`."""
        return functional.normalize((1 - self.mix) * features + self.mix * self.mlp(features), dim=-1)


class FusionAdapter(nn.Module):
    """IFA and TFA: the feature of the fused image from those of MS and PAN, `[..., D]` each."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.mlp = _mlp(2 * dimension, dimension // 2, dimension)

    def forward(self, ms: Tensor, pan: Tensor) -> Tensor:
        """A unit feature `[..., D]`."""
        return functional.normalize(self.mlp(torch.cat([ms, pan], dim=-1)), dim=-1)


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
