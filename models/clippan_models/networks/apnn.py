"""A-PNN: three convolutions that correct an interpolated image with PAN's detail (Scarpa, Vitale, Cozzolino 2018).

The backbone of Z-PNN (Ciotola et al. 2022): concatenate, 9x9 to 48, 5x5 to 32, 5x5 to the bands, added to the input.
61,124 parameters for four bands. The last layer starts at zero, so an untrained network changes nothing; the
references start at random. Borders are replicated once, before the first convolution, so every pixel further than
`HALO` from the border is exact in any tile.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

HALO = 8
"""PAN pixels that one output pixel depends on, on every side: 4 + 2 + 2."""


class APNN(nn.Module):
    """The A-PNN network for a number of bands."""

    def __init__(self, bands: int, features: tuple[int, int] = (48, 32)) -> None:
        """Make the network with random weights from torch's generator and a zero head."""
        super().__init__()
        first, second = features
        self.layers = nn.Sequential(
            nn.Conv2d(bands + 1, first, 9),
            nn.ReLU(),
            nn.Conv2d(first, second, 5),
            nn.ReLU(),
            nn.Conv2d(second, bands, 5),
        )
        head = self.layers[-1]
        if isinstance(head, nn.Conv2d) and head.bias is not None:
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def forward(self, ms_up: Tensor, pan: Tensor) -> Tensor:
        """Correct an image on the PAN grid.

        Args:
            ms_up: `[B, C, H, W]`, normalised (about zero mean and unit variance).
            pan: `[B, 1, H, W]`, normalised alike.

        Returns:
            `[B, C, H, W]`.
        """
        padded = nn.functional.pad(torch.cat([ms_up, pan], 1), (HALO,) * 4, mode="replicate")
        correction: Tensor = self.layers(padded)
        return ms_up + correction
