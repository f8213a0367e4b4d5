"""A-PNN: three convolutions that correct an interpolated image with PAN's detail (Scarpa, Vitale, Cozzolino 2018).

The backbone of Z-PNN (Ciotola et al. 2022): concatenate, 9x9 to 48, 5x5 to 32, 5x5 to the bands, added to the input.
61,124 parameters for four bands. The last layer starts at zero, so an untrained network changes nothing; the
references start at random. Borders are replicated once, before the first convolution, so every pixel further than
`HALO` from the border is exact in any tile.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clippan_models.networks.layers import zeroed
from clippan_models.networks.spec import BackboneSpec, ByBands, Cost, Provenance, Training

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
            zeroed(nn.Conv2d(second, bands, 5)),
        )

    def forward(self, start: Tensor, pan: Tensor) -> Tensor:
        """Correct an image on the PAN grid.

        Args:
            start: `[B, C, H, W]`, normalised (about zero mean and unit variance).
            pan: `[B, 1, H, W]`, normalised alike.

        Returns:
            `[B, C, H, W]`.
        """
        padded = nn.functional.pad(torch.cat([start, pan], 1), (HALO,) * 4, mode="replicate")
        correction: Tensor = self.layers(padded)
        return start + correction


SPEC = BackboneSpec(
    name="apnn",
    title="A-PNN, the backbone of Z-PNN: three convolutions",
    network=APNN,
    tile_mode="exact",
    halo=ByBands(HALO),
    overlap=HALO,
    padding="replicate",
    cost=Cost(
        macs=ByBands(42_288, 4_688),
        training_bytes=ByBands(370, 5.5),
        working_bytes=ByBands(612, 5.5),
        cpu_seconds=ByBands(1.0, 0.12),
    ),
    training=Training(learning_rate=5e-4),
    provenance=Provenance(
        paper='Scarpa, Vitale, Cozzolino, "Target-adaptive CNN-based pansharpening", IEEE TGRS 56(9), 2018',
        doi="10.1109/TGRS.2018.2817393",
        deviations=("the last layer starts at zero", "corrects a closed-form start instead of an interpolated MS"),
    ),
)
