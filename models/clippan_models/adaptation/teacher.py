"""Images of a scene by another method: what stage I takes for a sharp image, and what stage II learns from (L_ship).

A teacher is fitted to the same tiles that the network trains on, and each tile's core is fused once: its images are
constants of the training. The paper's teacher is a network, SHIP, trained at reduced resolution (Wald's protocol). Here
any backbone can be, `ship` among them, trained so on the scene itself; `SELF` is one of the kind that learns from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from clippan_models.classical.bdsd_pc import BdsdPcFitter
from clippan_models.classical.gsa import GsaFitter
from clippan_models.classical.mtf_glp import MtfGlpHpmRFitter
from clippan_models.contracts import Fitter, Observation, Tile
from clippan_models.networks.registry import BACKBONES
from clippan_models.ops.views import TileViews

SELF = "self"
"""The fusion network's own kind, trained at reduced resolution only."""

NO_TEACHER = "none"

CLASSICAL_TEACHERS: dict[str, Callable[[], Fitter]] = {
    "bdsd-pc": BdsdPcFitter,
    "mtf-glp-hpm-r": MtfGlpHpmRFitter,
    "gsa": GsaFitter,
}
"""Teachers that need no training."""

TEACHERS = (SELF, *CLASSICAL_TEACHERS, *BACKBONES, NO_TEACHER)


@torch.inference_mode()
def classical_images(teacher: str, tiles: Sequence[Tile], observation: Observation) -> Tensor:
    """The cores of tiles fused by a classical method that is fitted to all of them, `[N, C, H, W]`, DN.

    Args:
        teacher: a key of `CLASSICAL_TEACHERS`.
        tiles: with cores of one size.
        observation: the scene's model.
    """
    fitter = CLASSICAL_TEACHERS[teacher]()
    views = [TileViews(tile, observation) for tile in tiles]
    for view in views:
        fitter.update(view)
    method = fitter.finish()
    cores = [(slice(None), *tile.core.inside(tile.pan_window)) for tile in tiles]
    fused = torch.stack([method.sharpen(view)[core] for view, core in zip(views, cores, strict=True)])
    return fused.clone()
