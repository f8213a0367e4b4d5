"""Methods by equations: a pass over the scene for their statistics, then each tile by a closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clippan_models.classical.bdsd_pc import BdsdPcFitter
from clippan_models.classical.brovey import BroveyFitter
from clippan_models.classical.exp import ExpFitter
from clippan_models.classical.gsa import GsaFitter
from clippan_models.classical.mtf_glp import MtfGlpFsFitter, MtfGlpHpmRFitter
from clippan_models.classical.patches import PatchGrid
from clippan_models.classical.sr_d import SrDFitter
from clippan_models.contracts import Fitter, Observation
from clippan_models.methods.method import Fitted, MethodCost, SceneSource
from clippan_models.ops.views import TileViews, fit_halo, lowpass_halo

_FLOAT_BYTES = 4


def _no_halo(observation: Observation) -> int:
    return 0


def _sr_d_halo(observation: Observation) -> int:
    return lowpass_halo(observation) + PatchGrid.for_ratio(observation.sampling.ratio).halo


@dataclass(frozen=True)
class ClassicalMethod:
    """A method by equations (`methods.method.Method`).

    Attributes:
        name: what a user types.
        fitter: makes the object that gathers the statistics of a scene.
        halo: PAN pixels around a pixel that its result depends on; 0: none but the pixel.
        gathers: it needs a pass over the scene before it can sharpen.
        planes: float32 images of the size of a tile that it holds at once, per band.
    """

    name: str
    fitter: Callable[[], Fitter]
    halo: Callable[[Observation], int] = _no_halo
    gathers: bool = True
    planes: int = 6

    def cost(self, observation: Observation) -> MethodCost:
        """What it takes on a scene."""
        bands = observation.sampling.bands
        return MethodCost(
            halo=self.halo(observation),
            tile_bytes=self.planes * bands * _FLOAT_BYTES,
        )

    def tags(self) -> dict[str, str]:
        """Nothing: it has no options."""
        return {}

    def fit(self, source: SceneSource) -> Fitted:
        """The method with the statistics of a scene.

        Raises:
            InputError: no pixel is valid.
        """
        fitter, observation = self.fitter(), source.observation
        if self.gathers:
            halo = max(fit_halo(observation), fitter.halo)
            with source.stage("fit"), source.tiles(halo) as tiles:
                for tile in tiles:
                    fitter.update(TileViews(tile, observation))
        return Fitted(fitter.finish())


CLASSICAL = (
    ClassicalMethod("exp", ExpFitter, gathers=False, planes=4),
    ClassicalMethod("brovey", BroveyFitter),
    ClassicalMethod("gsa", GsaFitter),
    ClassicalMethod("mtf-glp-fs", MtfGlpFsFitter, lowpass_halo, planes=8),
    ClassicalMethod("mtf-glp-hpm-r", MtfGlpHpmRFitter, lowpass_halo, planes=9),
    ClassicalMethod("bdsd-pc", BdsdPcFitter),
    ClassicalMethod("sr-d", SrDFitter, _sr_d_halo, planes=40),
)
"""All of them."""
