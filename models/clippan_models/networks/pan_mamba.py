"""Pan-Mamba: state space models that exchange and cross the features of bands and PAN (He et al. 2024).

Bands and PAN pass an encoder of their own; eight Mamba layers run over the pixels of each, row by row; two layers swap
half of the channels between them; convolutions cross them once; five cross-modal layers scan both, each with its own
state space model, and add the two up for the bands; a gate by channel and two convolutions make the correction. Width
32.

The reference has 478,444 parameters for four bands. 6,400 of them are never used, and are left out here.

Differences:
- What looks at the whole image - six instance norms and one pooled gate - goes by statistics recorded on the scene.
- A scan depends on all pixels before, and on the width of the image. So a scene passes in windows of 128 pixels that
  lie fixed in it and are blended; tiles agree exactly with each other, if not with a scan of the scene in one piece.
- The initial fusion is the closed form of the scene, where the reference takes the nearest MS pixel.
- One normalisation before each scan, where the reference applies the same one twice in the cross-modal layers.
- The running residual of each group of layers is kept at its end, where the reference drops it: the features otherwise
  reach the fusion through the last scan only.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from clippan_models.networks.layers import ChannelGate, HalfNormBlock, same, zeroed
from clippan_models.networks.selective_scan import selective_scan
from clippan_models.networks.spec import BackboneSpec, ByBands, Cost, Provenance, Training
from clippan_models.networks.statistics import SceneInstanceNorm, SceneStatistic

_WINDOW = 128
_STATES = 16
_TAPS = 4  # of the convolution along the sequence


class PanMamba(nn.Module):
    """The Pan-Mamba network for a number of bands."""

    def __init__(self, bands: int, width: int = 32, layers: int = 8, swaps: int = 2, crossings: int = 5) -> None:
        """Make the network with random weights from torch's generator and a zero head.

        Args:
            bands: of MS.
            width: features, a multiple of 16.
            layers: Mamba layers of each modality.
            swaps: layers that swap channels.
            crossings: cross-modal layers.
        """
        super().__init__()
        self.encode_start = _encoder(bands, width)
        self.encode_pan = _encoder(1, width)
        self.tokens_start = nn.Conv2d(width, width, 1)
        self.tokens_pan = nn.Conv2d(width, width, 1)
        self.alone_start = nn.ModuleList(_MambaLayer(width) for _ in range(layers))
        self.alone_pan = nn.ModuleList(_MambaLayer(width) for _ in range(layers))
        self.swaps = nn.ModuleList(_SwapLayer(width) for _ in range(swaps))
        self.cross_start = same(2 * width, width)
        self.cross_pan = same(2 * width, width)
        self.crossings = nn.ModuleList(_CrossLayer(width) for _ in range(crossings))
        self.refine = nn.Sequential(
            same(width, width), ChannelGate(width, SceneStatistic(width)), zeroed(same(width, bands))
        )

    def forward(self, start: Tensor, pan: Tensor) -> Tensor:
        """Correct `start [B, C, H, W]` by `pan [B, 1, H, W]`, both normalised."""
        bands, own = self._alone(start, pan)
        bands, own = (
            bands + self.cross_start(torch.cat([bands, own], 1)),
            own + self.cross_pan(torch.cat([own, bands], 1)),
        )
        fused = self._crossed(bands, own)
        correction: Tensor = self.refine(fused)
        return start + correction

    def _alone(self, start: Tensor, pan: Tensor) -> tuple[Tensor, Tensor]:
        """The features of bands and PAN as images, before they are crossed."""
        width = start.shape[-1]
        bands = to_tokens(self.tokens_start(self.encode_start(start)))
        own = to_tokens(self.tokens_pan(self.encode_pan(pan)))
        for for_start, for_pan in zip(self.alone_start, self.alone_pan, strict=True):
            bands, own = for_start(bands), for_pan(own)
        for swap in self.swaps:
            bands, own = swap(bands, own)
        return to_image(bands, width), to_image(own, width)

    def _crossed(self, bands: Tensor, own: Tensor) -> Tensor:
        width = bands.shape[-1]
        fused, still = to_tokens(self.tokens_start(bands)), to_tokens(self.tokens_pan(own))
        for crossing in self.crossings:
            fused = crossing(fused, still, width)
        return to_image(fused, width)


def _encoder(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(same(inputs, width), *(HalfNormBlock(SceneInstanceNorm, width) for _ in range(3)))


class StateSpace(nn.Module):
    """A selective state space model with its gate (Mamba, Gu and Dao 2023): `[B, L, width] -> [B, L, 2 width]`."""

    def __init__(self, width: int) -> None:
        """Make the model with the initial values of Mamba."""
        super().__init__()
        inner, self.rank = 2 * width, -(-width // 16)
        self.enter = nn.Linear(width, 2 * inner, bias=False)
        self.local = nn.Conv1d(inner, inner, _TAPS, groups=inner)
        self.select = nn.Linear(inner, self.rank + 2 * _STATES, bias=False)
        self.step = nn.Linear(self.rank, inner)
        self.log_decay = nn.Parameter(torch.arange(1.0, _STATES + 1).log().repeat(inner, 1))
        self.skip = nn.Parameter(torch.ones(inner))
        nn.init.uniform_(self.step.weight, -(self.rank**-0.5), self.rank**-0.5)
        with torch.no_grad():  # step sizes from 0.001 to 0.1, evenly in the logarithm; the inverse of softplus
            size = torch.exp(torch.rand(inner) * math.log(100) + math.log(1e-3))
            self.step.bias.copy_(size + torch.log(-torch.expm1(-size)))

    def forward(self, tokens: Tensor) -> Tensor:
        """Scan the tokens in order; each sees those before it."""
        u, gate = self.enter(tokens).chunk(2, -1)
        u = nn.functional.silu(self.local(nn.functional.pad(u.transpose(1, 2), (_TAPS - 1, 0))).transpose(1, 2))
        step, into, out_of = self.select(u).split([self.rank, _STATES, _STATES], -1)
        y = selective_scan(u, nn.functional.softplus(self.step(step)), -self.log_decay.exp(), into, out_of)
        return (y + self.skip * u) * nn.functional.silu(gate)


class _Mamba(nn.Module):
    """A Mamba layer, `[B, L, width] -> [B, L, width]`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scan = StateSpace(width)
        self.leave = nn.Linear(2 * width, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        left: Tensor = self.leave(self.scan(tokens))
        return left


class _MambaLayer(nn.Module):
    """`x + mamba(norm(x))`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.mamba = nn.LayerNorm(width), _Mamba(width)

    def forward(self, tokens: Tensor) -> Tensor:
        changed: Tensor = self.mamba(self.norm(tokens))
        return tokens + changed


class _SwapLayer(nn.Module):
    """Two Mamba layers, each over half of the channels of the other's tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_start, self.norm_pan = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mamba_start, self.mamba_pan = _Mamba(width), _Mamba(width)

    def forward(self, bands: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        first_bands, second_bands = self.norm_start(bands).chunk(2, -1)
        first_own, second_own = self.norm_pan(own).chunk(2, -1)
        swapped_bands = torch.cat([first_own, second_bands], -1)
        swapped_own = torch.cat([first_bands, second_own], -1)
        return bands + self.mamba_start(swapped_bands), own + self.mamba_pan(swapped_own)


class _CrossLayer(nn.Module):
    """Tokens of the bands, to which a scan of themselves and one of PAN are added, then a local filter."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_start, self.norm_pan = nn.LayerNorm(width), nn.LayerNorm(width)
        self.scan_start, self.scan_pan = StateSpace(width), StateSpace(width)
        self.leave = nn.Linear(2 * width, width, bias=False)
        self.local = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, tokens: Tensor, still: Tensor, width: int) -> Tensor:
        scanned = self.scan_start(self.norm_start(tokens)) + self.scan_pan(self.norm_pan(still))
        image = to_image(self.leave(scanned), width)
        return tokens + to_tokens(image + self.local(image))


def to_tokens(image: Tensor) -> Tensor:
    """The pixels of `[B, C, H, W]`, row by row: `[B, H W, C]`."""
    return image.flatten(2).transpose(1, 2)


def to_image(tokens: Tensor, width: int) -> Tensor:
    """The inverse of `to_tokens` for images of a width."""
    batch, length, channels = tokens.shape
    return tokens.transpose(1, 2).reshape(batch, channels, length // width, width)


SPEC = BackboneSpec(
    name="pan-mamba",
    title="Pan-Mamba: state space models over the pixels of bands and PAN",
    network=PanMamba,
    options={"width": 32, "layers": 8, "swaps": 2, "crossings": 5},
    tile_mode="approximate",
    halo=None,
    overlap=_WINDOW - 1,
    padding="zero",
    window=_WINDOW,
    global_operations=("instance norm, 6 times", "scan of all pixels, 30 times", "gate by the mean over the image"),
    cost=Cost(
        macs=ByBands(462_528, 576),
        training_bytes=ByBands(95_500, 4),
        working_bytes=ByBands(3600),
        cpu_seconds=ByBands(120),
    ),
    training=Training(learning_rate=5e-4, batch=1),
    provenance=Provenance(
        paper='He, Cao, Yan, Li, Xie, Zhang, Zhou, "Pan-Mamba: effective pan-sharpening with state space model", 2024',
        doi="10.48550/arXiv.2402.12192",
        deviations=(
            "statistics of the scene for norms and gate",
            "runs in windows of 128 pixels that lie fixed in the scene",
            "residuals are kept, and no parameters without effect",
        ),
    ),
    extra="mamba",
)
