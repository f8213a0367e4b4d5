"""ArbRPN: a recurrent network over the bands, with one set of weights for any number of them (Chen et al. 2022).

Each band and PAN pass a 3x3 convolution to 64 features. Five times a hidden state runs through the bands forth and
back: a unit - 1x1 from 192 to 64, three residual blocks - sees the band, the hidden state and PAN, and gives the new
features of the band, which are also the hidden state. A 3x3 convolution makes each band's correction. 2,341,057
parameters; the order of the bands matters, as in a sequence.

Differences:
- In training, units keep their inputs only and compute their activations a second time: 93 kB per pixel of four bands
  would not fit otherwise. The result is the same.
- Each unit looks 6 pixels further, 60 per band in all. With random weights nothing beyond 16 pixels was above rounding,
  though trained ones may reach further; tiles overlap by 32, so they are called approximate.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from clippan_models.networks.layers import ResidualBlock, same, zeroed
from clippan_models.networks.spec import BackboneSpec, ByBands, Cost, Provenance, Training

_CYCLES = 5


class ArbRPN(nn.Module):
    """The ArbRPN network; it takes any number of bands, whatever the number it was made for."""

    def __init__(self, bands: int = 0, features: int = 64) -> None:
        """Make the network with random weights from torch's generator and a zero head; `bands` changes nothing."""
        super().__init__()
        self.pan_stem = same(1, features)
        self.band_stem = same(1, features)
        self.forth = nn.ModuleList(_Unit(features) for _ in range(_CYCLES))
        self.back = nn.ModuleList(_Unit(features) for _ in range(_CYCLES))
        self.head = zeroed(same(features, 1))

    def forward(self, start: Tensor, pan: Tensor) -> Tensor:
        """Correct `start [B, C, H, W]` by `pan [B, 1, H, W]`, both normalised."""
        still: Tensor = self.pan_stem(pan)
        hidden = still
        bands: list[Tensor] = [self.band_stem(band) for band in torch.split(start, 1, 1)]
        for forth, back in zip(self.forth, self.back, strict=True):
            for number in range(len(bands)):
                bands[number] = hidden = self._step(forth, bands[number], hidden, still)
            for number in reversed(range(len(bands))):
                bands[number] = hidden = self._step(back, bands[number], hidden, still)
        return start + torch.cat([self.head(band) for band in bands], 1)

    def _step(self, unit: nn.Module, band: Tensor, hidden: Tensor, still: Tensor) -> Tensor:
        if self.training and torch.is_grad_enabled():
            result: Tensor = checkpoint(unit, band, hidden, still, use_reentrant=False, preserve_rng_state=False)
        else:
            result = unit(band, hidden, still)
        return result


class _Unit(nn.Module):
    """New features of a band from its features, the hidden state and PAN's, each `[B, features, H, W]`."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3 * features, features, 1), *(ResidualBlock(features) for _ in range(3)))

    def forward(self, band: Tensor, hidden: Tensor, still: Tensor) -> Tensor:
        result: Tensor = self.layers(torch.cat([band, hidden, still], 1))
        return result


SPEC = BackboneSpec(
    name="arbrpn",
    title="ArbRPN: a recurrent network over the bands, any number of them",
    network=ArbRPN,
    tile_mode="approximate",
    halo=ByBands(2, 12 * _CYCLES),
    overlap=32,
    padding="zero",
    cost=Cost(
        macs=ByBands(576, 2_336_512),
        training_bytes=ByBands(2800, 2820),
        working_bytes=ByBands(2064, 256),
        cpu_seconds=ByBands(0, 26),
    ),
    training=Training(learning_rate=1e-4, batch=1),
    provenance=Provenance(
        paper='Chen, Lai, Vivone, Jeon, Chanussot, Yang, "ArbRPN: a bidirectional recurrent pansharpening network '
        'for multispectral images with arbitrary numbers of bands", IEEE TGRS 60, 2022',
        doi="10.1109/TGRS.2021.3131228",
        deviations=("activations of a unit are computed again for the backward pass", "tiles overlap by 32 pixels"),
    ),
)
