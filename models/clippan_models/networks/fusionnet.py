"""FusionNet: a residual network on the difference of PAN and each band (Deng, Vivone, Jin, Chanussot 2021).

PAN less the initial fusion, band by band; 3x3 to 32, four residual blocks, 3x3 to the bands, added to the initial
fusion. 76,324 parameters for four bands. The difference needs both on one radiometric scale: they come normalised by
the scene's mean and deviation.

Difference: the initial fusion is the closed form of the scene, where the paper has an interpolated MS.
"""

from __future__ import annotations

from torch import Tensor

from clippan_models.networks.layers import RESIDUAL_HALO, Corrector, residual_network
from clippan_models.networks.spec import BackboneSpec, ByBands, Cost, Provenance, Training


class FusionNet(Corrector):
    """The FusionNet network for a number of bands."""

    def __init__(self, bands: int) -> None:
        """Make the network with random weights from torch's generator and a zero head."""
        super().__init__(residual_network(bands, 32, bands))

    def shown(self, start: Tensor, pan: Tensor) -> Tensor:
        """The difference of PAN and each band, `[B, C, H, W]`."""
        return pan - start


SPEC = BackboneSpec(
    name="fusionnet",
    title="FusionNet: a residual network on the differences of PAN and the bands",
    network=FusionNet,
    tile_mode="exact",
    halo=ByBands(RESIDUAL_HALO),
    overlap=RESIDUAL_HALO,
    padding="zero",
    cost=Cost(
        macs=ByBands(73_728, 576),
        training_bytes=ByBands(1152, 4),
        working_bytes=ByBands(516, 4),
        cpu_seconds=ByBands(0.72),
    ),
    training=Training(learning_rate=5e-4),
    provenance=Provenance(
        paper='Deng, Vivone, Jin, Chanussot, "Detail injection-based deep convolutional neural networks for '
        'pansharpening", IEEE TGRS 59(8), 2021',
        doi="10.1109/TGRS.2020.3031366",
        deviations=("corrects a closed-form initial fusion instead of an interpolated MS",),
    ),
)
