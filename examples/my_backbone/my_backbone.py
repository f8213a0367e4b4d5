"""A backbone of one's own: two convolutions that correct the initial fusion."""

import torch
from torch import Tensor, nn

from clippan_models.networks.spec import BackboneSpec, ByBands, Cost, Provenance, Training

FEATURES = 32
HALO = 3 + 1  # half of the kernels of 7 and of 3 pixels


class MyBackbone(nn.Module):
    """7x7 to the features, 3x3 to a correction of the bands."""

    def __init__(self, bands: int) -> None:
        """Make the network with a last layer of zeros: untrained, it corrects nothing."""
        super().__init__()
        self.first = nn.Conv2d(bands + 1, FEATURES, 7, padding=3, padding_mode="replicate")
        self.last = nn.Conv2d(FEATURES, bands, 3, padding=1, padding_mode="replicate")
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, start: Tensor, pan: Tensor) -> Tensor:
        """Correct `start [B, C, H, W]` by `pan [B, 1, H, W]`."""
        return start + self.last(torch.relu(self.first(torch.cat([start, pan], 1))))


SPEC = BackboneSpec(
    name="my-backbone",
    title="two convolutions, a template",
    network=MyBackbone,
    tile_mode="exact",
    halo=ByBands(HALO),
    overlap=HALO,
    padding="replicate",
    cost=Cost(  # per PAN pixel: without bands, and more for each
        macs=ByBands(49 * FEATURES, (49 + 9) * FEATURES),
        training_bytes=ByBands(8 * FEATURES, 16),
        working_bytes=ByBands(12 * FEATURES, 16),
        cpu_seconds=ByBands(0.3, 0.2),
    ),
    training=Training(learning_rate=5e-4),
    provenance=Provenance(paper="unpublished", doi="", licence="Apache-2.0"),
)
