"""EXP: the MS interpolated to the PAN grid, the baseline that adds no detail (Aiazzi et al. 2002).

B. Aiazzi, L. Alparone, S. Baronti, A. Garzelli, "Context-driven fusion of high spatial and spectral resolution images
based on oversampled multiresolution analysis", IEEE TGRS 40(10), 2002. How to interpolate is the business of the views.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clippan_models.contracts import Views


class ExpFitter:
    """There is nothing to fit: it may be finished without having seen a tile."""

    halo = 0

    def update(self, views: Views) -> None:
        """Nothing of the scene matters."""

    def finish(self) -> ExpSharpener:
        """The method."""
        return ExpSharpener()


@dataclass(frozen=True)
class ExpSharpener:
    """Gives the interpolated MS."""

    halo = 0  # every pixel is computed from itself alone

    def sharpen(self, views: Views) -> Tensor:
        """The interpolated MS, `[C, H, W]`, DN; a copy that the caller may change."""
        return views.ms_up.clone()
