"""The contract of a method: it fits to a scene, which it reads through a source, and says what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from clippan_models.adaptation.options import AdaptOptions
from clippan_models.contracts import Observation, Sharpener, Tile

if TYPE_CHECKING:  # what a classical method does without is not imported for it
    import torch
    from torch import nn

    from clippan_models.adaptation.scene import Guide
    from clippan_models.adaptation.trainer import Adapted
    from clippan_models.store.checkpoint import Checkpoint


class SceneSource(Protocol):
    """A scene as a method reads it while it fits: tile by tile, all of it or a sample."""

    @property
    def observation(self) -> Observation:
        """The model of the scene."""

    @property
    def saturation(self) -> tuple[float, float]:
        """DN from which (MS, PAN) are saturated; infinite where there is no such level."""

    @property
    def device(self) -> torch.device:
        """Where to compute."""

    def tiles(self, halo: int) -> AbstractContextManager[Iterator[Tile]]:
        """Tiles on `device` that give the statistics of the scene; they are read before they are needed.

        They are all tiles of the scene, or, for a large one, a bounded number from all over it, each pixel in the core
        of at most one. Which they are, and their order, does not depend on the tiles that are fused later.

        Args:
            halo: PAN pixels to read around each.
        """

    def training_tiles(self, core: int, halo: int) -> Sequence[Tile]:
        """A bounded number of disjoint tiles on the CPU, stratified by how much detail they hold.

        Args:
            core: side of each, in PAN pixels.
            halo: PAN pixels to read around each.

        Raises:
            InputError: none holds a valid pixel.
        """

    def stage(self, name: str) -> AbstractContextManager[None]:
        """A part of the fit whose wall time is recorded under a name."""

    def report(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Tell how far a stage is; raises where the user has asked to stop."""


@dataclass(frozen=True)
class MethodCost:
    """What a method takes on a scene.

    Attributes:
        halo: PAN pixels to read around a tile for an exact result.
        tile_bytes: memory per PAN pixel of a tile, its halo included.
        fixed_bytes: memory that fusing takes whatever the tile.
        side_by_side: several tiles are fused at a time, each on one core; otherwise one tile on all.
        learning_bytes: memory of a step of learning; 0 for a method that does not learn.
    """

    halo: int
    tile_bytes: float
    fixed_bytes: float = 0.0
    side_by_side: bool = False
    learning_bytes: float = 0.0


@dataclass(frozen=True)
class Learned:
    """What a network learned on a scene.

    Attributes:
        adapted: how it went.
        checkpoint: the network, to be used again.
        guide: the CLIP and the prompts that judged it; None: no language.
    """

    adapted: Adapted
    checkpoint: Checkpoint
    guide: Guide | None


@dataclass(frozen=True)
class Fitted:
    """A method fitted to a scene.

    Attributes:
        sharpener: fuses any tile of the scene.
        tags: what the tags of the result say of the fit, beside `Method.tags`.
        learned: what it learned, where it is a network.
        note: what a user must know of the result, if anything.
    """

    sharpener: Sharpener
    tags: dict[str, str] = field(default_factory=dict)
    learned: Learned | None = None
    note: str = ""


@dataclass(frozen=True)
class MethodOptions:
    """What a method is built with; classical methods need the weights only.

    Attributes:
        adapt: how the network learns.
        guide: the CLIP and the prompts that judge it; None: no language.
        initial: a network of the backbone to begin with, which is left as it is; None: one with random weights.
        pan_weights: the share of each band in the intensity that PAN replaces; None: as the method finds it.
    """

    adapt: AdaptOptions = AdaptOptions()
    guide: Guide | None = None
    initial: nn.Module | None = None
    pan_weights: tuple[float, ...] | None = None


class Method(Protocol):
    """A sharpening method with its options, not yet fitted to a scene."""

    def cost(self, observation: Observation) -> MethodCost:
        """What it takes on a scene of this model."""

    def tags(self) -> dict[str, str]:
        """What the tags of a result say of its options."""

    def fit(self, source: SceneSource) -> Fitted:
        """The method fitted to a scene.

        Raises:
            InputError: the scene holds too few valid pixels.
            UsageError: it cannot work with its options on this scene.
        """
