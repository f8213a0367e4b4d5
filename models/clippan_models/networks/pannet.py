"""PanNet: a residual network that only sees high-pass images (Yang, Fu, Hu, Huang, Ding, Paisley 2017).

From the bands and PAN their mean over a box is taken away, so that the network does not depend on radiometry; 3x3 to
32, four residual blocks, 3x3 to the bands, added to the initial fusion.

Differences:
- The paper takes the high-pass of MS on its own grid, over 5 x 5 samples, and brings it up by a transposed convolution
  that is learned for one whole ratio. Ours takes it on the PAN grid, over as much ground at ratio 4: any ratio works,
  and tiles need not begin at MS pixels. Else it is the paper's 77,640 parameters for four bands.
- No batch normalisation, which a few patches of one scene do not support.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clippan_models.networks.layers import RESIDUAL_HALO, Corrector, residual_network
from clippan_models.networks.spec import BackboneSpec, ByBands, Cost, Provenance, Training

_PAN_BOX = 5
_BANDS_BOX = 21  # five MS samples at ratio 4, and odd
_HALO = _BANDS_BOX // 2 + RESIDUAL_HALO


class PanNet(Corrector):
    """The PanNet network for a number of bands."""

    def __init__(self, bands: int) -> None:
        """Make the network with random weights from torch's generator and a zero head."""
        super().__init__(residual_network(bands + 1, 32, bands))

    def shown(self, start: Tensor, pan: Tensor) -> Tensor:
        """The high-pass of the bands and of PAN, `[B, C + 1, H, W]`."""
        return torch.cat([high_pass(start, _BANDS_BOX), high_pass(pan, _PAN_BOX)], 1)


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
        cpu_seconds=ByBands(0.84, 0.05),
    ),
    training=Training(learning_rate=5e-4),
    provenance=Provenance(
        paper='Yang, Fu, Hu, Huang, Ding, Paisley, "PanNet: a deep network architecture for pan-sharpening", ICCV 2017',
        doi="10.1109/ICCV.2017.193",
        deviations=("takes the high-pass of the bands on the PAN grid, for any ratio", "no batch normalisation"),
    ),
)
