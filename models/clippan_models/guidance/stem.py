"""Stems: any number of bands to the three channels that CLIP sees (CLIPPan table 4).

`conv` learns, starting from the bands that look like red, green and blue, and is best in the paper; `rgb`, `gbnir` and
`pca` are fixed. Values stay about 0 .. 1, so there is neither a final ReLU nor a normalisation by batches, which would
make a patch's feature depend on its neighbours. PAN has no stem: it is repeated three times.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clippan_models.errors import UsageError, unknown_name
from clippan_models.guidance.options import STEMS, StemKind
from clippan_models.guidance.radiometry import UNIT_MEAN, UNIT_STD

_WIDTH = 16  # of the bottleneck
_VARIANCE_FLOOR = 1e-8  # of a principal component, in the unit range


class LinearStem(nn.Module):
    """A fixed weighted sum of bands: `[B, C, H, W] -> [B, 3, H, W]`.

    Args:
        weight: `[3, C]`.
        bias: `[3]`.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, image: Tensor) -> Tensor:
        """Three channels of an image, in its unit."""
        return torch.einsum("tc,bchw->bthw", self.weight, image) + self.bias[:, None, None]


class ConvStem(nn.Module):
    """The learnable residual convolution: a 1x1 convolution and a bottleneck that at first adds nothing.

    Args:
        bands: C.
        rgb: the bands it shows before it has learnt, 0-based.
    """

    def __init__(self, bands: int, rgb: tuple[int, int, int]) -> None:
        super().__init__()
        self.linear = nn.Conv2d(bands, 3, 1)
        self.residual = nn.Sequential(
            nn.Conv2d(bands, _WIDTH, 1),
            nn.ReLU(),
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, padding_mode="replicate"),
            nn.ReLU(),
            nn.Conv2d(_WIDTH, 3, 1),
        )
        last = self.residual[-1]
        with torch.no_grad():
            self.linear.weight.copy_(_selection(bands, rgb)[..., None, None])
            for zero in (self.linear.bias, last.weight, last.bias):
                nn.init.zeros_(zero)  # type: ignore[arg-type]  # convolutions have a bias unless told otherwise

    def forward(self, image: Tensor) -> Tensor:
        """Three channels of an image, about in its unit."""
        channels: Tensor = self.linear(image) + self.residual(image)
        return channels


def build_stem(kind: StemKind, rgb: tuple[int, int, int], sample: Tensor, nir: int | None = None) -> nn.Module:
    """A stem `[B, C, H, W] -> [B, 3, H, W]` for images of the unit range.

    Args:
        kind: one of `STEMS`.
        rgb: bands of red, green and blue, 0-based.
        sample: MS images of the scene `[N, C, H, W]`, to which `pca` is fitted.
        nir: band of near infrared, for `gbnir`.

    Raises:
        UsageError: no such kind, or `gbnir` without a near infrared band.
    """
    bands = sample.shape[1]
    if kind == "conv":
        return ConvStem(bands, rgb).to(sample.device)
    if kind == "pca":
        return _principal(sample)
    if kind == "rgb":
        return LinearStem(_selection(bands, rgb), torch.zeros(3)).to(sample.device)
    if kind == "gbnir":
        if nir is None:
            raise UsageError("the stem gbnir needs a near infrared band, and none is known here; choose another stem")
        return LinearStem(_selection(bands, (rgb[1], rgb[2], nir)), torch.zeros(3)).to(sample.device)
    raise unknown_name("stem", kind, STEMS)


def repeat_pan(pan: Tensor) -> Tensor:
    """`[B, 1, H, W] -> [B, 3, H, W]`."""
    return pan.expand(-1, 3, -1, -1)


def _selection(bands: int, chosen: tuple[int, int, int]) -> Tensor:
    weight = torch.zeros(3, bands)
    weight[torch.arange(3), torch.tensor(chosen)] = 1
    return weight


def _principal(sample: Tensor) -> LinearStem:
    """The three strongest principal components, each brought to the mean and spread of the unit range."""
    pixels = sample.transpose(0, 1).flatten(1).cpu().double()  # not every device has float64
    mean = pixels.mean(1)
    centred = pixels - mean[:, None]
    variance, vectors = torch.linalg.eigh(centred @ centred.T / pixels.shape[1])
    strongest = torch.arange(len(variance) - 1, -1, -1)[:3]
    axes = vectors[:, strongest].T
    # an eigenvector has no sign of its own; this one makes bright places bright
    axes = axes * torch.where(axes.sum(1, keepdim=True) < 0, -1.0, 1.0)
    axes = UNIT_STD * axes / variance[strongest].clamp(min=_VARIANCE_FLOOR).sqrt()[:, None]
    weight = axes[torch.arange(3) % len(axes)]  # fewer than three bands: the first again
    return LinearStem(weight.float(), (UNIT_MEAN - weight @ mean).float()).to(sample.device)
