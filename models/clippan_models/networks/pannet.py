"""PanNet: a residual network that only sees high-pass images (Yang, Fu, Hu, Huang, Ding, Paisley 2017).

From the bands and PAN their mean over a box is taken away, so that the network does not depend on radiometry; 3x3 to
32, four residual blocks, 3x3 to the bands, added to the start.

Differences:
- The paper takes the high-pass of MS on its own grid, over 5 x 5 samples, and brings it up by a transposed convolution
  that is learned for one whole ratio. Ours takes it on the PAN grid, over as much ground at ratio 4: any ratio works,
  and tiles need not begin at MS pixels. `PanNet(bands, deconvolution=4)` is the paper's way, with its 77,640 parameters
  for four bands.
- No batch normalisation, which a few patches of one scene do not support.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clippan_models.networks.layers import ResidualBlock, same, zeroed
from clippan_models.networks.spec import BackboneSpec, ByBands, Cost, Provenance, Training

_PAN_BOX = 5
_START_BOX = 21  # five MS samples at ratio 4, and odd
_HALO = _START_BOX // 2 + 1 + 4 * 2 + 1


class PanNet(nn.Module):
    """The PanNet network for a number of bands."""

    def __init__(self, bands: int, features: int = 32, deconvolution: int = 0) -> None:
        """Make the network with random weights from torch's generator and a zero head.

        Args:
            bands: of MS.
            features: per layer.
            deconvolution: ratio for which a transposed convolution is learned, as in the paper; an even number, of
                which the sides of images are multiples. 0: none.
        """
        super().__init__()
        self.ratio = deconvolution
        self.up = nn.ConvTranspose2d(bands, bands, 2 * self.ratio, self.ratio, self.ratio // 2) if self.ratio else None
        self.layers = nn.Sequential(
            same(bands + 1, features),
            nn.ReLU(),
            *(ResidualBlock(features) for _ in range(4)),
            zeroed(same(features, bands)),
        )

    def forward(self, start: Tensor, pan: Tensor) -> Tensor:
        """Correct `start [B, C, H, W]` by `pan [B, 1, H, W]`, both normalised."""
        correction: Tensor = self.layers(torch.cat([self._high_pass_bands(start), high_pass(pan, _PAN_BOX)], 1))
        return start + correction

    def _high_pass_bands(self, start: Tensor) -> Tensor:
        if self.up is None:
            return high_pass(start, _START_BOX)
        middle = self.ratio // 2
        upsampled: Tensor = self.up(high_pass(start[..., middle :: self.ratio, middle :: self.ratio], _PAN_BOX))
        return upsampled


def high_pass(image: Tensor, side: int) -> Tensor:
    """What an image `[B, C, H, W]` has beyond its mean over a box of an odd number of pixels; edges are replicated."""
    padded = nn.functional.pad(image, (side // 2,) * 4, mode="replicate")
    rows = nn.functional.avg_pool2d(padded, (side, 1), stride=1)
    return image - nn.functional.avg_pool2d(rows, (1, side), stride=1)


SPEC = BackboneSpec(
    name="pannet",
    title="PanNet: a residual network that only sees high-pass images",
    network=PanNet,
    tile_mode="exact",
    halo=ByBands(_HALO),
    overlap=_HALO,
    padding="zero",
    cost=Cost(
        macs=ByBands(74_016, 576),
        training_bytes=ByBands(1156, 4),
        working_bytes=ByBands(520, 4),
        cpu_seconds=ByBands(2.0, 0.05),
    ),
    training=Training(learning_rate=5e-4),
    provenance=Provenance(
        paper='Yang, Fu, Hu, Huang, Ding, Paisley, "PanNet: a deep network architecture for pan-sharpening", ICCV 2017',
        doi="10.1109/ICCV.2017.193",
        deviations=("takes the high-pass of the bands on the PAN grid, for any ratio", "no batch normalisation"),
    ),
)
