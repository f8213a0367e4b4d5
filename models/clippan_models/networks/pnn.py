"""PNN: three convolutions from the bands and PAN to the sharp bands (Masi, Cozzolino, Verdoliva, Scarpa 2016).

Concatenate, 9x9 to 64, 5x5 to 32, 5x5 to the bands. 80,420 parameters for four bands, as in common implementations.

Differences:
- The output is added to the initial fusion. The paper's network makes the image itself, which a fit to one scene would
  first have to learn; and an untrained network could not leave the initial fusion as it is.
- The paper also feeds indices such as NDVI, by band positions of its sensors. Here bands have no fixed positions.
- Borders are replicated once, before the first convolution, where the paper loses them.
"""

from __future__ import annotations

from clippan_models.networks.layers import ThreeConvolutions
from clippan_models.networks.spec import BackboneSpec, ByBands, Cost, Provenance, Training


class PNN(ThreeConvolutions):
    """The PNN network for a number of bands."""

    def __init__(self, bands: int) -> None:
        """Make the network with random weights from torch's generator and a zero head."""
        super().__init__(bands, 64, 32)


SPEC = BackboneSpec(
    name="pnn",
    title="PNN: three convolutions, the first network for pansharpening",
    network=PNN,
    tile_mode="exact",
    halo=ByBands(PNN.HALO),
    overlap=PNN.HALO,
    padding="replicate",
    cost=Cost(
        macs=ByBands(56_384, 5_984),
        training_bytes=ByBands(445, 5.5),
        working_bytes=ByBands(767, 5.5),
        cpu_seconds=ByBands(0.79, 0.045),
    ),
    training=Training(learning_rate=5e-4),
    provenance=Provenance(
        paper='Masi, Cozzolino, Verdoliva, Scarpa, "Pansharpening by convolutional neural networks", '
        "Remote Sensing 8(7), 2016",
        doi="10.3390/rs8070594",
        deviations=(
            "adds a correction to the initial fusion instead of making the image",
            "is shown no radiometric indices",
        ),
    ),
)
