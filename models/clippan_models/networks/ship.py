"""SHIP: interactions of bands and PAN of higher order than attention; a teacher (Zheng et al. 2024).

Attention multiplies two modalities; SHIP multiplies again. Three blocks: the product of the two spectra, which couples
all pixels, gates PAN's features; a 16 x 16 attention of channels mixes them, and a second one, evolved from it, mixes
the gate. The three results pass an invertible coupling (as in normalising flows), two gates by channel, and a 3x3
convolution to the bands. This is the variant that CLIPPan's code calls its teacher, 199,260 parameters for four bands;
34,656 of them have no effect there and are left out here.

Every pixel depends on every other, and the attention sums over all pixels: no tiling gives the image of the whole. So
it only works on patches of the size that it was trained on, and cannot fuse a scene.

Differences, without which it is hard to train on patches:
- The spectra are multiplied with one of them conjugated: a correlation, which does not depend on where a patch was cut.
  The reference convolves; when both inputs move, its product moves twice as far.
- The logits of the attention are means over the pixels. The reference's sums grow with the patch and saturate the
  softmax.
- The last gates multiply features. The reference adds a constant per channel.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from clippan_models.networks.layers import ChannelGate, HalfNormBlock, same, two_convolutions, zeroed
from clippan_models.networks.spec import BackboneSpec, ByBands, Cost, Provenance, Training

_BLOCKS = 3


class Ship(nn.Module):
    """The SHIP network for a number of bands; for patches of one size."""

    def __init__(self, bands: int, features: int = 16) -> None:
        """Make the network with random weights from torch's generator and a zero head."""
        super().__init__()
        self.stem_start = _stem(bands, features)
        self.stem_pan = _stem(1, features)
        self.blocks = nn.ModuleList(_Interaction(features) for _ in range(_BLOCKS))
        self.next_pan = nn.ModuleList(two_convolutions(features) for _ in range(_BLOCKS - 1))
        self.head = nn.Sequential(
            _Coupling(_BLOCKS * features),
            nn.Conv2d(_BLOCKS * features, features, 1),
            same(features, features),
            ChannelGate(features),
            ChannelGate(features),
            zeroed(same(features, bands)),
        )

    def forward(self, start: Tensor, pan: Tensor) -> Tensor:
        """Correct `start [B, C, H, W]` by `pan [B, 1, H, W]`, both normalised."""
        bands, own = self.stem_start(start), self.stem_pan(pan)
        results = []
        for number, block in enumerate(self.blocks):
            if number:
                own = self.next_pan[number - 1](own)
            bands = block(bands, own)
            results.append(bands)
        correction: Tensor = self.head(torch.cat(results, 1))
        return start + correction


def _stem(inputs: int, features: int) -> nn.Sequential:
    return nn.Sequential(same(inputs, features), *(HalfNormBlock(_patch_norm, features) for _ in range(4)))


class _Interaction(nn.Module):
    """One block: new features of the bands from those of bands and PAN, `[B, F, H, W]`."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm_product, self.norm_gate = _ChannelNorm(features), _ChannelNorm(features)
        self.mixed = two_convolutions(features)
        self.gate = two_convolutions(features)
        self.evolve = nn.Sequential(
            nn.Conv2d(1, 1, (1, 3), padding=(0, 1)), nn.ReLU(), nn.Conv2d(1, 1, (1, 3), padding=(0, 1))
        )
        self.join = nn.Conv2d(2 * features, features, 1)

    def forward(self, bands: Tensor, own: Tensor) -> Tensor:
        product = self.norm_product(correlate(bands, own))
        weights = torch.softmax(_between_channels(bands, own), -1)
        first = self.mixed(_mix_channels(weights, product * own)) + bands
        gate = self.norm_gate(self.gate(product))
        evolved = torch.softmax(self.evolve(weights[:, None])[:, 0], -1)
        joined: Tensor = self.join(torch.cat([first, _mix_channels(evolved, gate)], 1))
        return joined + bands


class _Coupling(nn.Module):
    """An invertible layer: a mixing of all channels, then each half changed by the other (Kingma, Dhariwal 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        mixing = torch.linalg.qr(torch.randn(channels, channels)).Q
        permutation, lower, upper = torch.linalg.lu(mixing)
        diagonal = upper.diagonal()
        self.lower, self.upper = nn.Parameter(lower), nn.Parameter(upper)
        self.log_scale = nn.Parameter(diagonal.abs().log())
        self.register_buffer("sign", diagonal.sign())
        self.register_buffer("permutation", permutation)
        half = channels // 2
        self.shift_first, self.scale, self.shift_second = (_Subnet(half) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        first, second = nn.functional.conv2d(x, self._mixing()[..., None, None]).chunk(2, 1)
        first = first + self.shift_first(second)
        log_scale = 0.8 * torch.tanh(self.scale(first) / 2)
        return torch.cat([first, second * torch.exp(log_scale) + self.shift_second(first)], 1)

    def _mixing(self) -> Tensor:
        sign, permutation = self.get_buffer("sign"), self.get_buffer("permutation")
        ones = torch.ones_like(sign).diag()
        upper = self.upper.triu(1) + (sign * self.log_scale.exp()).diag()
        return permutation @ (self.lower.tril(-1) + ones) @ upper


class _Subnet(nn.Module):
    """A dense block of two normalised blocks and a convolution, small at first."""

    def __init__(self, channels: int, growth: int = 16) -> None:
        super().__init__()
        self.first = HalfNormBlock(_patch_norm, channels, growth)
        self.second = HalfNormBlock(_patch_norm, growth, growth, skip=True)
        self.last = same(channels + 2 * growth, channels)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_normal_(layer.weight, gain=0.1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        joined: Tensor = self.last(torch.cat([x, first, self.second(first)], 1))
        return joined


def _patch_norm(channels: int) -> nn.Module:
    """Patches have one size, in training and after it, so each is normalised by its own moments."""
    return nn.InstanceNorm2d(channels, affine=True)


class _ChannelNorm(nn.LayerNorm):
    """Layer normalisation of each pixel over its channels, `[B, C, H, W]`."""

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = super().forward(x.movedim(1, -1)).movedim(-1, 1)
        return normed


def correlate(bands: Tensor, own: Tensor) -> Tensor:
    """The circular correlation of two images `[B, C, H, W]`, channel by channel, of about unit size."""
    # spectra have no half precision on CPUs, and on GPUs only for some sizes
    precise = torch.promote_types(bands.dtype, torch.float32)
    first, second = (torch.fft.rfft2(image.to(precise)) for image in (bands, own))
    height, width = bands.shape[-2:]
    correlation: Tensor = torch.fft.irfft2(first * second.conj(), s=(height, width))
    return (correlation / math.sqrt(height * width)).to(bands.dtype)


def _between_channels(bands: Tensor, own: Tensor) -> Tensor:
    """Mean product of each channel of one image with each of the other, `[B, C, C]`."""
    return torch.einsum("bihw,bjhw->bij", bands, own) / bands[0, 0].numel()


def _mix_channels(weights: Tensor, image: Tensor) -> Tensor:
    return torch.einsum("bij,bjhw->bihw", weights, image)


SPEC = BackboneSpec(
    name="ship",
    title="SHIP: interactions of higher order; a teacher only",
    network=Ship,
    tile_mode="fixed",
    halo=None,
    overlap=0,
    padding="zero",
    global_operations=("product of spectra, 3 times", "attention of channels, 6 times", "instance norm", "gates"),
    cost=Cost(
        macs=ByBands(161_671, 288),
        training_bytes=ByBands(9230, 4),
        working_bytes=ByBands(1620),
        cpu_seconds=ByBands(8),
    ),
    training=Training(learning_rate=1e-3),
    provenance=Provenance(
        paper='Zheng, Zhou, Huang, Hou, Li, Xu, Zhao, "Probing synergistic high-order interaction in infrared and '
        'visible image fusion", CVPR 2024',
        doi="10.1109/CVPR52733.2024.02492",
        deviations=(
            "correlates the spectra instead of convolving",
            "attention by means over pixels",
            "true gates at the end",
            "no parameters without effect",
        ),
    ),
)
