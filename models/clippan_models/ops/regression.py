"""How PAN follows from the bands, over all samples and in windows: what the observation model is estimated by."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from clippan_models.ops.descent import Look

SAMPLES_PER_WEIGHT = 8
"""Valid MS pixels for each band, and one more, below which nothing is regressed: the R2 is then 0."""

_HIGHPASS = 7  # MS pixels: the neighbourhood whose mean is removed before bands are compared with PAN
_ROUNDING = 1e-6  # of the level: what float32 leaves of a constant image
_LOCAL = 8  # MS pixels: side of the windows of the local correlation


def regress(pan: Sequence[tuple[Tensor, Tensor]], bands: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, float]:
    """Least squares of PAN on the bands and a constant over all samples: (weights and intercept, R2)."""
    use = [seen & valid for (_, seen), (_, valid) in zip(pan, bands, strict=True)]
    target = torch.cat([values[u] for (values, _), u in zip(pan, use, strict=True)])
    rows = torch.cat([values[:, u] for (values, _), u in zip(bands, use, strict=True)], 1)
    design = torch.cat([rows, torch.ones_like(rows[:1])])
    total = _to_explain(target, design)
    if not total:
        return torch.zeros(len(design), dtype=torch.float64), 0.0
    weights = fit_rows(target[None], design)[0]
    return weights, 1.0 - float((target - weights @ design).square().sum() / total)


def _to_explain(signal: Tensor, design: Tensor) -> Tensor:
    """Sum of squares of a signal about its mean; 0 where it is constant, or has too few samples for the design."""
    total = (signal - signal.mean()).square().sum()
    varies = total > 1e-12 * signal.abs().mean() ** 2 * len(signal)
    return total if varies and len(signal) >= SAMPLES_PER_WEIGHT * len(design) else torch.zeros_like(total)


def fit_rows(rows: Tensor, design: Tensor) -> Tensor:
    """Least squares of rows `[k, n]` on the rows of `design [m, n]`: weights `[k, m]`."""
    gram = design @ design.T
    power = gram.diagonal()
    ridge = torch.diag(torch.where(power > 0, 1e-9 * power, 1.0))  # a band of zeros has none, and gets no weight
    solution: Tensor = torch.linalg.solve(gram + ridge, design @ rows.T)
    return solution.T


def unexplained_by(design: Tensor, joint: Tensor) -> Look:
    """How much of the variance of a signal is beyond least squares on `design`, and how that changes with the signal.

    The change of the weights is left out of the slopes (variable projection: Golub, Pereyra 1973; Kaufman 1975).

    Args:
        design: `[m, n]`.
        joint: the signal and its slopes by `k` parameters, `[1 + k, n]`.
    """
    total = _to_explain(joint[0], design)
    if not total:
        return Look.at_nothing(len(joint) - 1)
    centred = joint - joint.mean(1, keepdim=True)
    left = joint - fit_rows(joint, design) @ design
    # the variance changes with the point too
    slopes = left[1:] - (centred[1:] @ centred[0] / total)[:, None] * left[0]
    unexplained = left[0].square().sum() / total
    return Look(float(unexplained), (slopes @ left[0] / total).numpy(), (slopes @ slopes.T / total).numpy())


def highpass(image: Tensor, valid: Tensor) -> Tensor:
    """The image `[h, w]` less its local mean, 0 where it is invalid or where that is mere rounding."""
    mask = valid.double()
    image = torch.where(valid, image, torch.zeros_like(image))
    total, count = _around(torch.stack([image, mask]))
    local = total / count.clamp(min=1e-6)
    detail = image - local
    found: Tensor = detail * mask * (detail.abs() > _ROUNDING * local.abs())
    return found


def unexplained_in_windows(pieces: Sequence[tuple[Tensor, Tensor]]) -> Look:
    """How much of the variance of a band is beyond a regression on PAN in each window, and how that changes.

    Args:
        pieces: of a scene: the band `[h, w]`, and PAN with its slopes by `k` parameters `[1 + k, h, w]`, all without
            their local means, and 0 where they are invalid.
    """
    means = torch.cat([_products(torch.cat([pan, band[None]])).flatten(2) for band, pan in pieces], 2)
    power, shared = means[0, 0].clamp(min=1e-9), means[0, -1]
    variance = float(means[-1, -1].sum())
    if not variance > 0:
        return Look.at_nothing(len(means) - 2)
    weight = shared / power
    gradient = (weight * (means[1:-1, -1] - weight * means[1:-1, 0])).sum(-1)
    beyond = means[1:-1, 1:-1] - means[1:-1, :1] * means[:1, 1:-1] / power
    curvature = (weight**2 * beyond).sum(-1)
    covered = float((shared * weight).sum())
    return Look(1.0 - covered / variance, -gradient.numpy() / variance, curvature.numpy() / variance)


def _products(images: Tensor) -> Tensor:
    """Means of the products of each two images over windows that lie side by side: `[k, h, w] -> [k, k, ...]`."""
    return torch.nn.functional.avg_pool2d(images[:, None] * images, _LOCAL)


def _around(images: Tensor) -> Tensor:
    """Means over the neighbourhood of each pixel, `[k, h, w]`, with zeros beyond the edge."""
    middle = _HIGHPASS // 2
    rows = torch.nn.functional.avg_pool2d(images, (_HIGHPASS, 1), stride=1, padding=(middle, 0))
    return torch.nn.functional.avg_pool2d(rows, (1, _HIGHPASS), stride=1, padding=(0, middle))
