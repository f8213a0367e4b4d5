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
from clippan_models.contracts import Fitter, Observation, Tile
from clippan_models.methods.method import Fitted, MethodCost, SceneSource
from clippan_models.ops.views import TileViews, fit_halo, lowpass_halo
from clippan_models.pipeline import side_by_side, workers_on

_FLOAT_BYTES = 4
_PYRAMID = ("ms_up", "pan_low", "core")


def _no_halo(observation: Observation) -> int:
    return 0


def _sr_d_halo(observation: Observation) -> int:
    return lowpass_halo(observation) + PatchGrid.for_ratio(observation.sampling.ratio).halo


@dataclass(frozen=True)
class ClassicalMethod:
    """A method by equations (`methods.method.Method`).

    Attributes:
        name: what a user types.
        fitter: makes the object that gathers the statistics of a scene; of some methods by the weights of the bands.
        halo: PAN pixels around a pixel that its result depends on; 0: none but the pixel.
        gathers: the views that its pass over the scene needs; empty: it needs no pass.
        gathering_halo: PAN pixels around a tile that those views need.
        planes: float32 images of the size of a tile that it holds at once, per band.
    """

    name: str
    fitter: Callable[..., Fitter]
    halo: Callable[[Observation], int] = _no_halo
    gathers: tuple[str, ...] = ("ms_up", "core")
    gathering_halo: Callable[[Observation], int] = fit_halo
    planes: int = 6

    def cost(self, observation: Observation) -> MethodCost:
        """What it takes on a scene."""
        bands = observation.sampling.bands
        return MethodCost(
            halo=self.halo(observation),
            tile_bytes=self.planes * bands * _FLOAT_BYTES,
            side_by_side=True,
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

        def look(tile: Tile) -> TileViews:
            views = TileViews(tile, observation)
            for view in self.gathers:
                getattr(views, view)  # computed when first asked for: here, beside others
            return views

        if self.gathers:
            halo = max(self.gathering_halo(observation), fitter.halo)
            workers = workers_on(source.device)
            with source.stage("fit"), source.tiles(halo) as tiles, side_by_side(look, tiles, workers) as views:
                for each in views:
                    fitter.update(each)
        return Fitted(fitter.finish())


CLASSICAL = (
    ClassicalMethod("exp", ExpFitter, gathers=(), planes=4),
    ClassicalMethod("brovey", BroveyFitter, gathering_halo=_no_halo),
    ClassicalMethod("gsa", GsaFitter, gathers=("ms_up", "core", "ms", "ms_core")),
    ClassicalMethod("mtf-glp-fs", MtfGlpFsFitter, lowpass_halo, _PYRAMID, planes=8),
    ClassicalMethod("mtf-glp-hpm-r", MtfGlpHpmRFitter, lowpass_halo, _PYRAMID, planes=9),
    ClassicalMethod("bdsd-pc", BdsdPcFitter, gathers=("pan_mtf_at_ms", "ms_low", "ms_core")),
    ClassicalMethod("sr-d", SrDFitter, _sr_d_halo, _PYRAMID, planes=40),
)
"""All of them."""
