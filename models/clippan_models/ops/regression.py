"""How PAN follows from the bands, over all samples and in windows: what the observation model is estimated by."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

SAMPLES_PER_WEIGHT = 8
"""Valid MS pixels for each band, and one more, below which nothing is regressed: the R2 is then 0."""

_HIGHPASS = 7  # MS pixels: the neighbourhood whose mean is removed before bands are compared with PAN
_ROUNDING = 1e-6  # of the level: what float32 leaves of a constant image
_LOCAL = 8  # MS pixels: side of the windows of the local correlation


def regress(pan: Sequence[tuple[Tensor, Tensor]], bands: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, float]:
    """Least squares of PAN on the bands and a constant over all samples: (weights and intercept, R2)."""
    targets, designs = [], []
    for (values, seen), (ms, valid) in zip(pan, bands, strict=True):
        use = seen & valid
        targets.append(values[use])
        designs.append(ms[:, use].T)
    target, design = torch.cat(targets), torch.cat(designs)
    count = design.shape[1]
    if len(target) < SAMPLES_PER_WEIGHT * (count + 1):
        return torch.zeros(count + 1, dtype=torch.float64), 0.0
    design = torch.cat([design, torch.ones(len(design), 1, dtype=torch.float64)], 1)
    gram = design.T @ design
    power = gram.diagonal()
    ridge = torch.diag(torch.where(power > 0, 1e-9 * power, 1.0))  # a band of zeros has none, and gets no weight
    weights = torch.linalg.solve(gram + ridge, design.T @ target)
    total = float(((target - target.mean()) ** 2).sum())
    residual = float(((target - design @ weights) ** 2).sum())
    scale = float(target.abs().mean()) ** 2 * len(target)
    return weights, 1.0 - residual / total if total > 1e-12 * scale else 0.0


def highpass(image: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """The image less its local mean, 0 where invalid or where that is mere rounding, and the mask."""
    mask = valid.double()
    image = torch.where(valid, image, torch.zeros_like(image))
    local = _box(image, _HIGHPASS, 1) / _box(mask, _HIGHPASS, 1).clamp(min=1e-6)
    detail = image - local
    return detail * mask * (detail.abs() > _ROUNDING * local.abs()), valid


def local_covariance(band: Tensor, pan: Tensor, valid: Tensor) -> tuple[float, float]:
    """Sums over windows of the band's variance that PAN explains there, and of its variance."""
    mask = valid.double()
    band = band * mask
    product, band2, pan2 = (_box(v, _LOCAL, _LOCAL // 2) for v in (band * pan, band * band, pan * pan))
    explained = product**2 / pan2.clamp(min=1e-9)
    return float(explained.sum()), float(band2.sum())


def _box(image: Tensor, side: int, stride: int) -> Tensor:
    padding = side // 2 if stride == 1 else 0
    pool: Callable[..., Tensor] = torch.nn.functional.avg_pool2d
    return pool(image[None, None], side, stride=stride, padding=padding)[0, 0]
