"""Layers and shapes that several backbones share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

PaddingMode = Literal["zeros", "reflect", "replicate"]


def zeroed(head: nn.Conv2d) -> nn.Conv2d:
    """The convolution with all weights 0, so that a network that ends in it corrects nothing before it has learned."""
    nn.init.zeros_(head.weight)
    if head.bias is not None:
        nn.init.zeros_(head.bias)
    return head


def same(inputs: int, outputs: int, side: int = 3, *, padding_mode: PaddingMode = "zeros") -> nn.Conv2d:
    """A convolution that keeps the size of an image."""
    return nn.Conv2d(inputs, outputs, side, padding=side // 2, padding_mode=padding_mode)


def is_traced() -> bool:
    """Whether what the network does is being recorded for images of other sizes (`torch.jit.trace`)."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined,no-untyped-call]


class Corrector(nn.Module):
    """A network whose layers correct the initial fusion `start`, given what `shown` makes of it and PAN."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def shown(self, start: Tensor, pan: Tensor) -> Tensor:
        """What the layers see, `[B, any, H, W]`: the bands and PAN, unless a network says otherwise."""
        return torch.cat([start, pan], 1)

    def forward(self, start: Tensor, pan: Tensor) -> Tensor:
        """Correct `start [B, C, H, W]` by `pan [B, 1, H, W]`, both normalised."""
        correction: Tensor = self.layers(self.shown(start, pan))
        return start + correction


class ThreeConvolutions(Corrector):
    """9x9, 5x5 and 5x5 convolutions with ReLU between them, the shape of PNN and its successors.

    Borders are replicated once, before the first convolution, so every pixel further than `HALO` from the border is
    exact in any tile.
    """

    HALO = 4 + 2 + 2

    def __init__(self, bands: int, first: int, second: int) -> None:
        super().__init__(
            nn.Sequential(
                nn.Conv2d(bands + 1, first, 9),
                nn.ReLU(),
                nn.Conv2d(first, second, 5),
                nn.ReLU(),
                zeroed(nn.Conv2d(second, bands, 5)),
            )
        )

    def shown(self, start: Tensor, pan: Tensor) -> Tensor:
        """Bands and PAN with their borders replicated."""
        return nn.functional.pad(super().shown(start, pan), (self.HALO,) * 4, mode="replicate")


def residual_network(inputs: int, features: int, outputs: int) -> nn.Sequential:
    """3x3 to the features, four residual blocks, 3x3 to the outputs: the shape of PanNet and FusionNet."""
    blocks = (ResidualBlock(features) for _ in range(4))
    return nn.Sequential(same(inputs, features), nn.ReLU(), *blocks, zeroed(same(features, outputs)))


RESIDUAL_HALO = 1 + 4 * 2 + 1
"""Pixels on every side that an output pixel of a `residual_network` depends on."""


class ResidualBlock(nn.Module):
    """`x + conv(act(conv(x)))` with two 3x3 convolutions, `[B, C, H, W]`."""

    def __init__(
        self, features: int, activation: type[nn.Module] = nn.ReLU, padding_mode: PaddingMode = "zeros"
    ) -> None:
        super().__init__()
        self.layers = two_convolutions(features, activation, padding_mode)

    def forward(self, x: Tensor) -> Tensor:
        """Correct the features, `[B, C, H, W]`."""
        correction: Tensor = self.layers(x)
        return x + correction


def two_convolutions(
    features: int, activation: type[nn.Module] = nn.ReLU, padding_mode: PaddingMode = "zeros"
) -> nn.Sequential:
    """Two 3x3 convolutions with an activation between them."""
    first, second = (same(features, features, padding_mode=padding_mode) for _ in range(2))
    return nn.Sequential(first, activation(), second)


class HalfNormBlock(nn.Module):
    """A residual block whose first half of channels is normalised in between (HINet, Chen et al. 2021).

    Args:
        norm: makes the normalisation for a number of channels.
        inputs: channels.
        outputs: channels; None: as many.
        skip: a convolution beside the block even where the number of channels stays.
    """

    def __init__(
        self, norm: Callable[[int], nn.Module], inputs: int, outputs: int | None = None, *, skip: bool = False
    ) -> None:
        super().__init__()
        width = outputs or inputs
        self.first, self.second = same(inputs, width), same(width, width)
        self.norm = norm(width // 2)
        self.skip = nn.Conv2d(inputs, width, 1) if skip or inputs != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """New features, `[B, C, H, W]`."""
        normed, plain = self.first(x).chunk(2, 1)
        inner = nn.functional.leaky_relu(torch.cat([self.norm(normed), plain], 1), 0.2)
        skipped: Tensor = self.skip(x)
        return skipped + nn.functional.leaky_relu(self.second(inner), 0.2)


class ChannelGate(nn.Module):
    """A residual block gated by the mean of each channel, which `pooled` may replace by that of the scene."""

    def __init__(self, features: int, pooled: nn.Module | None = None, reduction: int = 4) -> None:
        super().__init__()
        self.layers = two_convolutions(features)
        self.pooled = pooled or nn.Identity()
        self.gate = nn.Sequential(
            nn.Linear(features, features // reduction),
            nn.ReLU(),
            nn.Linear(features // reduction, features),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Correct the features, `[B, C, H, W]`."""
        inner: Tensor = self.layers(x)
        gate: Tensor = self.gate(self.pooled(inner.mean((-2, -1))))
        return x + gate[..., None, None] * inner
