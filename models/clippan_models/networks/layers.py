"""Layers that several backbones share."""

from __future__ import annotations

from typing import Literal

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


class ResidualBlock(nn.Module):
    """`x + conv(act(conv(x)))` with two 3x3 convolutions, `[B, C, H, W]`."""

    def __init__(
        self, features: int, activation: type[nn.Module] = nn.ReLU, padding_mode: PaddingMode = "zeros"
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            same(features, features, padding_mode=padding_mode),
            activation(),
            same(features, features, padding_mode=padding_mode),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Correct the features, `[B, C, H, W]`."""
        correction: Tensor = self.layers(x)
        return x + correction
