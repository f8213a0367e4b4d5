"""A scene in memory, as methods read it, and a network fitted to one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import torch

from clippan_models.adaptation.options import AdaptOptions
from clippan_models.adaptation.scene import Guide
from clippan_models.adaptation.trainer import Adapted
from clippan_models.contracts import Observation, Tile
from clippan_models.methods.method import MethodOptions
from clippan_models.methods.network import NetworkMethod, NetworkSharpener


@dataclass
class TileSource:
    """A scene (`SceneSource`) whose tiles have been cut."""

    cut: Sequence[Tile]
    observation: Observation
    saturation: tuple[float, float] = (math.inf, math.inf)
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - immutable
    reports: list[str] = field(default_factory=list)

    @contextmanager
    def tiles(self, halo: int) -> Iterator[Iterator[Tile]]:
        yield iter(self.cut)

    def training_tiles(self, core: int, halo: int) -> Sequence[Tile]:
        return self.cut

    def stage(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()

    def report(self, stage: str, done: int, total: int, note: str = "") -> None:
        self.reports.append(stage)


def fit_network(
    source: TileSource, options: AdaptOptions, guide: Guide | None = None
) -> tuple[NetworkSharpener, Adapted]:
    """A network after it learned on a scene, and how it learned."""
    fitted = NetworkMethod.of(MethodOptions(options, guide)).fit(source)
    assert isinstance(fitted.sharpener, NetworkSharpener) and fitted.learned is not None
    return fitted.sharpener, fitted.learned.adapted
