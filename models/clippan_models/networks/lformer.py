"""LFormer: one attention map, evolved from stage to stage by small convolutions (Hou et al. 2024).

Queries from PAN and keys and values from the bands meet in windows of 8 x 8 pixels, once. Each later stage makes its
map from the last one - a 1x3 convolution along the keys and a 1x1 over the heads, ReLU, softmax - instead of from new
queries and keys. A second branch carries details: high-passed bands and PAN, joined by residual blocks with the
features of each stage. Three stages of 64 features, as in CLIPPan's experiments; 1,787,019 parameters for four bands,
2,273,307 with the paper's five stages for WorldView-3.

Differences:
- The windows are merged as they were cut. The reference merges them with channels and pixels mixed up.
- Bands and PAN are normalised per pixel by their root mean square over the bands, and PAN, a single band, not at all.
  The reference divides by the deviation over the bands, which is 0 for a single one and small where a pixel is grey.
- No dropout on the logits: it would make a run depend on torch's global random state.
- The windows lie fixed in the scene: blocks begin at multiples of 8 pixels, and images are replicated to whole windows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clippan_models.networks.layers import ResidualBlock, is_traced, same, zeroed
from clippan_models.networks.spec import BackboneSpec, ByBands, Cost, Provenance, Training

_WINDOW = 8
_HEADS = 8
_WINDOWS_AT_ONCE = 128


class LFormer(nn.Module):
    """The LFormer network for a number of bands."""

    def __init__(self, bands: int, features: int = 64, details: int = 64, stages: int = 3) -> None:
        """Make the network with random weights from torch's generator and a zero head.

        Args:
            bands: of MS.
            features: of the attention branch, a multiple of 8.
            details: features of the detail branch.
            stages: how often the attention map is used.
        """
        super().__init__()
        self.attention = _FirstAttention(bands, features)
        self.stem = _DetailStem(bands, details)
        self.details = nn.ModuleList(_DetailStage(features, details) for _ in range(stages + 1))
        self.evolve = nn.ModuleList(_Evolution(features) for _ in range(stages - 1))
        self.refine = nn.ModuleList(_Refinement(features, details) for _ in range(stages))
        self.head = nn.Sequential(
            ResidualBlock(features + details),
            ResidualBlock(features + details),
            zeroed(nn.Conv2d(features + details, bands, 1)),
        )

    def forward(self, start: Tensor, pan: Tensor) -> Tensor:
        """Correct `start [B, C, H, W]` by `pan [B, 1, H, W]`, both normalised; windows begin at its first pixel."""
        height, width = start.shape[-2:]
        margin = (0, -width % _WINDOW, 0, -height % _WINDOW)
        wide_start, wide_pan = (nn.functional.pad(image, margin, mode="replicate") for image in (start, pan))
        return start + self._correction(wide_start, wide_pan)[..., :height, :width]

    def _correction(self, start: Tensor, pan: Tensor) -> Tensor:
        shown: Tensor = self.stem(start, pan)
        weights, features = self.attention(start, pan)
        for stage, refine in enumerate(self.refine):
            detail = self.details[stage](features, shown)
            if stage:
                weights, features = self.evolve[stage - 1](weights, features)
            features = refine(features, detail)
        correction: Tensor = self.head(torch.cat([self.details[-1](features, shown), features], 1))
        return correction


class _FirstAttention(nn.Module):
    """Attention of PAN to the bands in windows: the map `[N, heads, 64, 64]` and the features `[B, F, H, W]`."""

    def __init__(self, bands: int, features: int) -> None:
        super().__init__()
        self.scale_start = nn.Parameter(torch.ones(bands))
        self.scale_pan = nn.Parameter(torch.ones(1))
        self.query = _projection(1, features)
        self.key = _projection(bands, features)
        self.value = _projection(bands, features)
        self.merge = nn.Linear(features, features)

    def forward(self, start: Tensor, pan: Tensor) -> tuple[Tensor, Tensor]:
        bands, own = _normalised(start, self.scale_start), _normalised(pan, self.scale_pan)
        query, key, value = to_heads(self.query(own)), to_heads(self.key(bands)), to_heads(self.value(bands))
        weights = torch.softmax(query @ key.transpose(-1, -2), -1)
        merged: Tensor = self.merge(_join_heads(weights @ value))
        return weights, from_windows(merged, start.shape[-2], start.shape[-1])


class _Evolution(nn.Module):
    """The next attention map from the last one, and the features as it mixes them."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.along_keys = nn.Conv2d(_HEADS, _HEADS, (1, 3), padding=(0, 1), bias=False)
        self.over_heads = nn.Conv2d(_HEADS, _HEADS, 1)
        self.value = nn.Linear(features, features)
        nn.init.constant_(self.along_keys.weight, 1 / 9)
        nn.init.ones_(self.over_heads.weight)
        nn.init.zeros_(self.over_heads.bias)  # type: ignore[arg-type]  # has a bias

    def forward(self, weights: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        if torch.is_grad_enabled() or is_traced():  # for any number of windows
            weights = self._evolved(weights)
        else:  # maps of a large image are the most that there is to hold: one copy of them
            for part in torch.split(weights, _WINDOWS_AT_ONCE):
                part.copy_(self._evolved(part))
        value = _split_heads(self.value(to_windows(features)))
        return weights, from_windows(_join_heads(weights @ value), features.shape[-2], features.shape[-1])

    def _evolved(self, weights: Tensor) -> Tensor:
        return torch.softmax(torch.relu(self.over_heads(self.along_keys(weights))), -1)


class _Refinement(nn.Module):
    """Features modulated by themselves and by the details."""

    def __init__(self, features: int, details: int) -> None:
        super().__init__()
        self.local = nn.Sequential(_depthwise(features), nn.ReLU(), nn.Conv2d(features, features, 1))
        self.join = same(features + details, features)

    def forward(self, features: Tensor, detail: Tensor) -> Tensor:
        joined: Tensor = self.join(torch.cat([features + self.local(features), detail], 1))
        return features * joined


class _DetailStem(nn.Module):
    """What bands and PAN show beyond their surroundings, `[B, details, H, W]`."""

    def __init__(self, bands: int, details: int) -> None:
        super().__init__()
        self.start = nn.Sequential(_laplacian(bands), nn.Conv2d(bands, details, 1))
        self.pan = nn.Sequential(_laplacian(1), nn.Conv2d(1, details, 1))
        self.join = nn.Sequential(nn.Conv2d(2 * details, details, 1), *(ResidualBlock(details) for _ in range(4)))

    def forward(self, start: Tensor, pan: Tensor) -> Tensor:
        joined: Tensor = self.join(torch.cat([self.pan(pan), self.start(start)], 1))
        return joined


class _DetailStage(nn.Module):
    """Details for one stage, from its features and the stem."""

    def __init__(self, features: int, details: int) -> None:
        super().__init__()
        self.shrink = nn.Conv2d(features, details, 1)
        self.join = nn.Sequential(nn.Conv2d(2 * details, details, 1), ResidualBlock(details), ResidualBlock(details))

    def forward(self, features: Tensor, shown: Tensor) -> Tensor:
        joined: Tensor = self.join(torch.cat([self.shrink(features), shown], 1))
        return joined


def to_windows(image: Tensor) -> Tensor:
    """Cut `[B, C, H, W]` into windows, the pixels of each in order: `[B * H / 8 * W / 8, 64, C]`."""
    batch, channels, height, width = image.shape
    cut = image.view(batch, channels, height // _WINDOW, _WINDOW, width // _WINDOW, _WINDOW)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(-1, _WINDOW**2, channels)


def from_windows(windows: Tensor, height: int, width: int) -> Tensor:
    """Put windows together again: the inverse of `to_windows`."""
    rows, cols = height // _WINDOW, width // _WINDOW
    laid = windows.view(-1, rows, cols, _WINDOW, _WINDOW, windows.shape[-1])
    return laid.permute(0, 5, 1, 3, 2, 4).reshape(-1, windows.shape[-1], height, width)


def to_heads(image: Tensor) -> Tensor:
    """The windows of `[B, C, H, W]` with their channels dealt out to the heads: `[N, heads, 64, C / heads]`."""
    return _split_heads(to_windows(image))


def _split_heads(windows: Tensor) -> Tensor:
    return windows.reshape(*windows.shape[:2], _HEADS, -1).transpose(1, 2)


def _join_heads(heads: Tensor) -> Tensor:
    return heads.transpose(1, 2).flatten(2)


def _normalised(image: Tensor, scale: Tensor) -> Tensor:
    if image.shape[1] > 1:
        image = image / (image.square().mean(1, keepdim=True) + 1e-5).sqrt()
    return image * scale[:, None, None]


def _projection(inputs: int, features: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, features, 1), _depthwise(features))


def _depthwise(features: int) -> nn.Conv2d:
    return nn.Conv2d(features, features, 3, padding=1, groups=features)


def _laplacian(channels: int) -> nn.Conv2d:
    """A 3x3 filter of each channel by itself that begins as a Laplacian."""
    layer = _depthwise(channels)
    kernel = torch.tensor([[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]])
    with torch.no_grad():
        layer.weight.copy_(kernel.expand_as(layer.weight))
    return layer


SPEC = BackboneSpec(
    name="lformer",
    title="LFormer: window attention whose map evolves from stage to stage",
    network=LFormer,
    options={"features": 64, "details": 64, "stages": 3},
    tile_mode="exact",
    halo=ByBands(39),
    overlap=39,
    padding="zero",
    align=_WINDOW,
    cost=Cost(
        macs=ByBands(1_830_000, 331),
        training_bytes=ByBands(33_000, 16),
        working_bytes=ByBands(5400, 4),
        cpu_seconds=ByBands(27),
    ),
    training=Training(learning_rate=5e-4, batch=1),
    provenance=Provenance(
        paper='Hou, Cao, Zheng, Li, Chen, Liu, Cong, Zhou, Hong, "Linearly-evolved transformer for pan-sharpening", '
        "ACM Multimedia 2024",
        doi="10.48550/arXiv.2404.12804",
        deviations=(
            "windows are merged as they were cut",
            "per-pixel normalisation by the root mean square, none for PAN",
            "no dropout",
        ),
    ),
)
