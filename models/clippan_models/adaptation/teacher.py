"""Teachers: their images of a scene are what stage II learns from (L_ship), and stage I's example of a sharp image.

A classical teacher is fitted to the same tiles that the network trains on. The paper's teacher is a network, SHIP,
trained at reduced resolution (Wald's protocol). Here any backbone can be, `ship` among them, trained so on the same
scenes; `SELF` is one of the kind that learns from it. Its images are constants of the training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from clippan_models.adaptation.batches import Batches
from clippan_models.adaptation.fusion import Prior
from clippan_models.adaptation.objective import fuse
from clippan_models.adaptation.options import SELF, AdaptOptions, LossWeights, OnStep
from clippan_models.adaptation.patches import REDUCED_SIDE, Patches
from clippan_models.adaptation.processes import Processes, to_device
from clippan_models.adaptation.trainer import Trainer, new_network
from clippan_models.classical.bdsd_pc import BdsdPcFitter
from clippan_models.classical.gsa import GsaFitter
from clippan_models.classical.mtf_glp import MtfGlpHpmRFitter
from clippan_models.contracts import Fitter, Sharpener
from clippan_models.networks.blocks import InWindows
from clippan_models.networks.registry import find_backbone
from clippan_models.ops.views import TileViews

_CLASSICAL: dict[str, Callable[[], Fitter]] = {
    "bdsd-pc": BdsdPcFitter,
    "mtf-glp-hpm-r": MtfGlpHpmRFitter,
    "gsa": GsaFitter,
}
"""By the names in `CLASSICAL_TEACHERS`."""

SHARP_EXAMPLE = "bdsd-pc"
"""The classical method whose images stand for sharp ones in stage I."""

_REDUCED_ONLY = LossWeights.only(reduced=LossWeights().reduced)


@torch.inference_mode()
def fit_classical(teacher: str, views: Iterable[TileViews]) -> Sharpener:
    """A classical method fitted to tiles; `teacher` is a key of `CLASSICAL_TEACHERS`."""
    fitter = _CLASSICAL[teacher]()
    for view in views:
        fitter.update(view)
    return fitter.finish()


def core_images(method: Sharpener, views: Iterable[TileViews]) -> Tensor:
    """The cores of tiles, all of one size, by a method, `[N, C, H, W]`, DN."""
    with torch.inference_mode():
        images = [method.sharpen(view)[:, *view.tile.core.inside(view.pan_window)] for view in views]
    return torch.stack(images)  # outside of inference mode: a training cannot use what is made in it


@dataclass(frozen=True)
class Teacher:
    """A trained network that another one learns from.

    Attributes:
        network: in evaluation mode.
        options: how it learned.
        device: of the network.
    """

    network: nn.Module
    options: AdaptOptions
    device: torch.device

    def with_images(self, patches: Patches, prior: Prior) -> Patches:
        """The patches of a scene with the teacher's images."""
        return replace(patches, teacher=self._images(patches, prior))

    def with_first_images(self, patches: Patches, prior: Prior) -> Patches:
        """The patches of a scene with the images by this network, which has not yet learned on it."""
        return replace(patches, before=self._images(patches, prior))

    @torch.no_grad()
    def _images(self, patches: Patches, prior: Prior) -> Tensor:
        """Images of the patches, made one by one to bound memory."""
        fuses = find_backbone(self.options.backbone).fuses
        network = self.network if fuses else InWindows(self.network, REDUCED_SIDE)
        prior, here = to_device(prior, self.device), to_device(patches, self.device)
        one_by_one = (here.take(torch.tensor([number])) for number in range(len(here)))
        images = torch.cat([fuse(network, prior, patch, self.options.rounds) for patch in one_by_one])
        return images.to(patches.ms.device)


def teacher_options(options: AdaptOptions) -> AdaptOptions:
    """How the teacher of a network learns: at reduced resolution only, in a third of the steps."""
    own = replace(options, weights=_REDUCED_ONLY, steps=options.steps // 3)
    return own if options.teacher == SELF else replace(own, backbone=options.teacher, batch=None, learning_rate=None)


def train_teacher(
    options: AdaptOptions, batches: Batches, bands: int, processes: Processes, on_step: OnStep | None
) -> Teacher:
    """Train a teacher; its random weights differ from those of the network that learns from it.

    Args:
        options: its own, see `teacher_options`.
        batches: with patches at reduced resolution.
        bands: of MS.
        processes: that train together.
        on_step: progress, of the stage "teacher".
    """
    network = new_network(find_backbone(options.backbone), bands, options.seed + 1, processes.device)
    trainer = Trainer(network, batches, options, processes=processes, stage="teacher")
    trainer.run(on_step)
    return Teacher(trainer.result().network, options, processes.device)
