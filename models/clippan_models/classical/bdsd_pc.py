"""BDSD-PC: band-dependent spatial detail with physical constraints (Vivone 2019).

G. Vivone, "Robust band-dependent spatial-detail approaches for panchromatic sharpening", IEEE TGRS 57(9), 2019; after
A. Garzelli, F. Nencini, L. Capobianco, "Optimal MMSE pan sharpening of very high resolution multispectral images", IEEE
TGRS 46(1), 2008. The detail of a band is a combination of PAN (which may only add) and of all bands (which may only
subtract), learned one scale down, where the missing detail is known. With L_b the MS blurred once more and p the PAN
blurred with its own MTF, both at the MS samples, and M the interpolated MS:

    g_k = argmin || MS_k - L_k - g_0 p - sum_b g_b L_b ||^2,   g_0 >= 0, g_b <= 0
    F_k = M_k + g_0 P + sum_b g_b M_b

It is a non-negative least-squares problem in [p, -L]; all it needs of the scene is the Gram matrix, which is streamed.

The toolbox of Vivone et al. (2015) takes for MS the bicubic decimation of its own interpolated MS, which moves the
samples by 1/8 pixel against L; here the views give the MS itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clippan_models.contracts import Views
from clippan_models.ops.moments import Moments

# Eigenvalues of the normalised Gram matrix below this share of the largest are rounding, not information.
_COLLINEAR = 1e-13


class BdsdPcFitter:
    """Gathers the products of PAN, blurred MS and MS at the MS scale."""

    halo = 0

    def __init__(self) -> None:
        self._moments = Moments()

    def update(self, views: Views) -> None:
        """Take one tile into account."""
        self._moments.update((views.pan_mtf_at_ms, views.ms_low, views.ms), views.ms_core)

    def finish(self) -> BdsdPcSharpener:
        """The fitted method; InputError when no MS sample of the scene is valid."""
        moments = self._moments.nonempty()
        gram = moments.gram.numpy()
        bands = len(gram) // 2
        if moments.flat[0]:
            return BdsdPcSharpener(((0.0,) * (bands + 1),) * bands)
        sign = np.array([1.0] + [-1.0] * bands)
        predictors = gram[: bands + 1, : bands + 1] * np.outer(sign, sign)
        details = (gram[: bands + 1, bands + 1 :] - gram[: bands + 1, 1 : bands + 1]) * sign[:, None]
        solutions = (sign * _nonnegative_least_squares(predictors, detail) for detail in details.T)
        return BdsdPcSharpener(tuple(tuple(solution.tolist()) for solution in solutions))


def _nonnegative_least_squares(gram: NDArray[np.float64], products: NDArray[np.float64]) -> NDArray[np.float64]:
    """The x >= 0 that minimises |A x - y|^2, given A'A and A'y."""
    from scipy.optimize import nnls  # takes a second to import

    scale = np.sqrt(np.diag(gram))
    scale = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(gram / np.outer(scale, scale))
    kept = values > _COLLINEAR * values[-1]
    root, basis = np.sqrt(values[kept]), vectors[:, kept]
    solution: NDArray[np.float64] = nnls(root[:, None] * basis.T, basis.T @ (products / scale) / root)[0]
    return solution / scale


@dataclass(frozen=True)
class BdsdPcSharpener:
    """BDSD-PC with the scene's coefficients.

    Attributes:
        coefficients: for each band those of PAN (>= 0) and of all the bands (<= 0), in this order; all 0 when PAN is
            constant.
    """

    coefficients: tuple[tuple[float, ...], ...]

    halo = 0  # every pixel is computed from itself alone

    def sharpen(self, views: Views) -> Tensor:
        """The fused image `[C, H, W]`, DN."""
        sources = (views.pan[0], *views.ms_up)
        fused = views.ms_up.clone()
        scratch = torch.empty_like(fused[0])
        for result, coefficients in zip(fused, self.coefficients, strict=True):
            for source, coefficient in zip(sources, coefficients, strict=True):
                if coefficient != 0.0:
                    result.add_(torch.mul(source, coefficient, out=scratch))
        return fused
