"""Lambda-PNN: residual blocks between gates by channel and by place (Ciotola, Poggi, Scarpa 2023).

Concatenate; 3x3 to 64 twice; a gated residual; two residual blocks with GELU; a second gated residual; 5x5 to the
bands, added to the initial fusion. The gates are those of CBAM (Woo et al. 2018): each channel by an MLP of its mean
and its maximum over the image, then each pixel by a 7x7 convolution of the mean and the maximum over the channels.
198,442 parameters for four bands.

Difference: means and maxima over an image would make tiles differ. In use, they are the averages over
patches of the scene, recorded and frozen (`networks.statistics`); in training, each patch has its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clippan_models.networks.layers import Corrector, ResidualBlock, same, zeroed
from clippan_models.networks.spec import BackboneSpec, ByBands, Cost, Provenance, Training
from clippan_models.networks.statistics import SceneStatistic

_HALO = 1 + 1 + 3 + 4 + 3 + 2


class LambdaPNN(Corrector):
    """The lambda-PNN network for a number of bands; images of at least 4 x 4 pixels."""

    def __init__(self, bands: int, features: int = 64) -> None:
        """Make the network with random weights from torch's generator and a zero head."""
        super().__init__(
            nn.Sequential(
                same(bands + 1, features, padding_mode="reflect"),
                nn.ReLU(),
                same(features, features, padding_mode="reflect"),
                nn.ReLU(),
                GatedResidual(features),
                ResidualBlock(features, nn.GELU, "reflect"),
                ResidualBlock(features, nn.GELU, "reflect"),
                GatedResidual(features),
                zeroed(same(features, bands, 5, padding_mode="reflect")),
            )
        )


class GatedResidual(nn.Module):
    """`x + CBAM(x)`, `[B, C, H, W]`."""

    def __init__(self, features: int, reduction: int = 4) -> None:
        super().__init__()
        self.by_channel = nn.Sequential(
            nn.Linear(features, features // reduction), nn.ReLU(), nn.Linear(features // reduction, features)
        )
        self.by_place = same(2, 1, 7, padding_mode="reflect")
        self.pooled = SceneStatistic(2 * features)

    def forward(self, x: Tensor) -> Tensor:
        """Add the gated features."""
        pooled: Tensor = self.pooled(torch.cat([x.mean((-2, -1)), x.amax((-2, -1))], 1))
        mean, peak = pooled.chunk(2, 1)
        gated = x * torch.sigmoid(self.by_channel(mean) + self.by_channel(peak))[..., None, None]
        over_channels = torch.cat([gated.amax(1, keepdim=True), gated.mean(1, keepdim=True)], 1)
        return x + gated * torch.sigmoid(self.by_place(over_channels))


SPEC = BackboneSpec(
    name="lambda-pnn",
    title="Lambda-PNN: residual blocks between gates by channel and by place",
    network=LambdaPNN,
    tile_mode="calibrated",
    halo=ByBands(_HALO),
    overlap=_HALO,
    padding="reflect",
    global_operations=("mean and maximum over the image, twice",),
    cost=Cost(
        macs=ByBands(185_092, 2_176),
        training_bytes=ByBands(4738, 4),
        working_bytes=ByBands(1320, 4),
        cpu_seconds=ByBands(3.0, 0.03),
    ),
    training=Training(learning_rate=1e-3),
    provenance=Provenance(
        paper='Ciotola, Poggi, Scarpa, "Unsupervised deep learning-based pansharpening with jointly enhanced spectral '
        'and spatial fidelity", IEEE TGRS 61, 2023',
        doi="10.1109/TGRS.2023.3299356",
        deviations=("the gates go by means and maxima recorded on the scene, not by those of a tile",),
    ),
)
