"""Images of a scene by another method: what stage I takes for a sharp image, and what stage II learns from (L_ship).

A teacher is fitted to the same tiles that the network trains on, and each tile's core is fused once: its images are
constants of the training. The paper's teacher is a network, SHIP, trained at reduced resolution (Wald's protocol). Here
any backbone can be, `ship` among them, trained so on the scene itself; `SELF` is one of the kind that learns from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from clippan_models.adaptation.options import NO_TEACHER
from clippan_models.classical.bdsd_pc import BdsdPcFitter
from clippan_models.classical.gsa import GsaFitter
from clippan_models.classical.mtf_glp import MtfGlpHpmRFitter
from clippan_models.contracts import Fitter, Observation, Sharpener, Tile
from clippan_models.networks.registry import BACKBONES
from clippan_models.ops.views import TileViews

SELF = "self"
"""The fusion network's own kind, trained at reduced resolution only."""

CLASSICAL_TEACHERS: dict[str, Callable[[], Fitter]] = {
    "bdsd-pc": BdsdPcFitter,
    "mtf-glp-hpm-r": MtfGlpHpmRFitter,
    "gsa": GsaFitter,
}
"""Teachers that need no training."""

TEACHERS = (SELF, *CLASSICAL_TEACHERS, *BACKBONES, NO_TEACHER)


@torch.inference_mode()
def fit_classical(teacher: str, views: Iterable[TileViews]) -> Sharpener:
    """A classical method fitted to tiles; `teacher` is a key of `CLASSICAL_TEACHERS`."""
    fitter = CLASSICAL_TEACHERS[teacher]()
    for view in views:
        fitter.update(view)
    return fitter.finish()


def core_image(method: Sharpener, views: TileViews) -> Tensor:
    """The core of a tile by a method, `[C, H, W]`, DN."""
    with torch.inference_mode():
        image = method.sharpen(views)[:, *views.tile.core.inside(views.pan_window)]
    return image.clone()  # one that a training may use


def classical_images(teacher: str, tiles: Sequence[Tile], observation: Observation) -> Tensor:
    """The cores of tiles fused by a classical method that is fitted to all of them, `[N, C, H, W]`, DN.

    Args:
        teacher: a key of `CLASSICAL_TEACHERS`.
        tiles: with cores of one size.
        observation: the scene's model.
    """
    views = [TileViews(tile, observation) for tile in tiles]
    method = fit_classical(teacher, views)
    return torch.stack([core_image(method, view) for view in views])
