"""A-PNN: three convolutions that correct an interpolated image with PAN's detail (Scarpa, Vitale, Cozzolino 2018).

The backbone of Z-PNN (Ciotola et al. 2022): concatenate, 9x9 to 48, 5x5 to 32, 5x5 to the bands, added to the input.
61,124 parameters for four bands. The last layer starts at zero, so an untrained network changes nothing; the
references start at random.
"""

from __future__ import annotations

from clippan_models.networks.layers import ThreeConvolutions
from clippan_models.networks.spec import BackboneSpec, ByBands, Cost, Provenance, Training


class APNN(ThreeConvolutions):
    """The A-PNN network for a number of bands."""

    def __init__(self, bands: int) -> None:
        """Make the network with random weights from torch's generator and a zero head."""
        super().__init__(bands, 48, 32)


SPEC = BackboneSpec(
    name="apnn",
    title="A-PNN, the backbone of Z-PNN: three convolutions",
    network=APNN,
    tile_mode="exact",
    halo=ByBands(APNN.HALO),
    overlap=APNN.HALO,
    padding="replicate",
    cost=Cost(
        macs=ByBands(42_288, 4_688),
        training_bytes=ByBands(370, 5.5),
        working_bytes=ByBands(612, 5.5),
        cpu_seconds=ByBands(0.47, 0.035),
    ),
    training=Training(learning_rate=5e-4),
    provenance=Provenance(
        paper='Scarpa, Vitale, Cozzolino, "Target-adaptive CNN-based pansharpening", IEEE TGRS 56(9), 2018',
        doi="10.1109/TGRS.2018.2817393",
        deviations=(
            "the last layer starts at zero",
            "corrects a closed-form initial fusion instead of an interpolated MS",
        ),
    ),
)
