"""A scene in memory, as methods read it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from clippan_models.contracts import MS_MARGIN, Observation, Sampling, Tile, Window
from clippan_models.ops.resample import decimate

RATIO = 4
OBSERVATION = Observation(Sampling.area_registered(RATIO, 3), (0.3,) * 3, 0.15, (0.25, 0.35, 0.4), 0.0, 1.0)
"""Of a `MadeScene`: three bands, which explain all of PAN."""


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
        """All tiles."""
        yield iter(self.cut)

    def training_tiles(self, core: int, halo: int) -> Sequence[Tile]:
        """All tiles."""
        return self.cut

    def stage(self, name: str) -> AbstractContextManager[None]:
        """A stage that nobody times."""
        return nullcontext()

    def report(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Remember the stage."""
        self.reports.append(stage)


@dataclass(frozen=True)
class MadeScene:
    """A scene by formula, which lies all around the windows that are asked for.

    Attributes:
        truth: the sharp image, `[3, H, W]`.
        ms: `[3, h, w]`.
        ms_valid: `[3, h, w]` bool.
        pan: `[1, H, W]`.
        pan_valid: `[1, H, W]` bool.
    """

    truth: Tensor
    ms: Tensor
    ms_valid: Tensor
    pan: Tensor
    pan_valid: Tensor

    @classmethod
    def of(cls, side: int) -> MadeScene:
        """A scene of `side` x `side` PAN pixels, a multiple of 16: fields with texture, bands of different levels."""
        generator = torch.Generator().manual_seed(3)
        y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        fields = torch.rand(3, side // 16, side // 16, generator=generator)
        fields = fields.repeat_interleave(16, 1).repeat_interleave(16, 2)
        fine = torch.sin(0.9 * x + 0.35 * y) + torch.rand(side, side, generator=generator)
        truth = 400 + 400 * torch.arange(3)[:, None, None] + 300 * fields + 60 * fine
        assert OBSERVATION.pan_weights is not None
        pan = torch.einsum("b,bhw->hw", torch.tensor(OBSERVATION.pan_weights), truth)[None]
        whole, samples = Window(0, 0, side, side), Window(0, 0, side // RATIO, side // RATIO)
        ms = decimate(truth, whole, samples, OBSERVATION.sampling, OBSERVATION.ms_gain)
        return cls(truth, ms, torch.ones_like(ms, dtype=torch.bool), pan, torch.ones_like(pan, dtype=torch.bool))

    def without(self, samples: Window, pixels: Window, filler: float) -> MadeScene:
        """The scene with nodata in MS and in PAN, where the files hold `filler`."""
        changed = replace(
            self,
            ms=self.ms.clone(),
            ms_valid=self.ms_valid.clone(),
            pan=self.pan.clone(),
            pan_valid=self.pan_valid.clone(),
        )
        for image, valid, hole in (
            (changed.ms, changed.ms_valid, samples),
            (changed.pan, changed.pan_valid, pixels),
        ):
            place = (..., slice(hole.row, hole.row_stop), slice(hole.col, hole.col_stop))
            image[place], valid[place] = filler, False
        return changed

    def tile(self, core: Window, halo: int) -> Tile:
        """A tile with its halo; `core` and `halo` are multiples of the ratio."""
        window = core.grown(halo)
        below = Window(*(length // RATIO for length in (window.row, window.col, window.height, window.width)))
        ms_window = below.grown(MS_MARGIN)
        at, at_ms = (..., *window.inside(Window(0, 0, 0, 0))), (..., *ms_window.inside(Window(0, 0, 0, 0)))
        nearest = self.ms_valid.repeat_interleave(RATIO, 1).repeat_interleave(RATIO, 2)
        pan_valid = self.pan_valid[at]
        return Tile(
            self.ms[at_ms],
            self.ms_valid[at_ms],
            self.pan[at],
            pan_valid,
            nearest[at] & pan_valid,
            ms_window,
            window,
            core,
        )
