"""The specification of a backbone: how far it looks, how it may be tiled, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn

TileMode = Literal["exact", "calibrated", "approximate", "fixed"]
"""How tiles of a scene relate to the scene in one piece.

- `exact`: they agree up to rounding, with the overlap of the spec;
- `calibrated`: they do so once the statistics of the scene are recorded (`networks.statistics`);
- `approximate`: the overlap is smaller than what the network could see, or the network runs in windows that lie fixed
  in the scene; tiles agree with each other, but not quite with the network on the whole scene;
- `fixed`: the network works on patches of the size that it was trained on, and cannot fuse a scene.
"""

Padding = Literal["replicate", "reflect", "zero"]

_BLOCKS = (256, 512, 1024, 2048)

STRETCH = 1.25
"""By how much a block may be wider than planned (`networks.blocks`)."""


@dataclass(frozen=True)
class ByBands:
    """A quantity that grows linearly with the number of bands.

    Attributes:
        fixed: without any band.
        each: more per band.
    """

    fixed: float
    each: float = 0.0

    def at(self, bands: int) -> float:
        """The quantity for a number of bands."""
        return self.fixed + self.each * bands


@dataclass(frozen=True)
class Cost:
    """What one PAN pixel costs, in float32.

    Attributes:
        macs: multiply-accumulates of convolutions and matrix products, forward; scans and FFTs are not counted.
        training_bytes: activations kept for the backward pass.
        working_bytes: peak of the activations while fusing.
        cpu_seconds: seconds of one CPU core per megapixel, forward; three times as much with the backward pass.
    """

    macs: ByBands
    training_bytes: ByBands
    working_bytes: ByBands
    cpu_seconds: ByBands


@dataclass(frozen=True)
class Training:
    """Defaults of the adaptation to a scene.

    Attributes:
        learning_rate: of Adam.
        batch: full-resolution patches per step; four times as many at reduced resolution.
    """

    learning_rate: float
    batch: int = 2


@dataclass(frozen=True)
class Provenance:
    """Where a backbone comes from.

    Attributes:
        paper: authors, title, place, year.
        doi: of the paper.
        deviations: in what we differ from it or from its code, and why; the module's docstring says more.
        licence: of our code, written from the paper; no weights come with it.
    """

    paper: str
    doi: str
    deviations: tuple[str, ...] = ()
    licence: str = "Apache-2.0, independent implementation, no weights included"


@dataclass(frozen=True)
class BackboneSpec:
    """A backbone and its contract.

    The network is called as `network(start [B, C, H, W], pan [B, 1, H, W]) -> [B, C, H, W]`, all normalised to about
    zero mean and unit variance. `start` is the initial fusion; the network adds a correction to it,
    which is 0 before training.

    Attributes:
        name: what a user types.
        title: what it is, in a line.
        network: makes it for a number of bands, with random weights from torch's generator.
        options: keyword arguments of `network`; the other attributes hold for these.
        tile_mode: see `TileMode`.
        halo: PAN pixels on every side that an output pixel depends on; None: all of them.
        overlap: PAN pixels around a tile that are read for it; at least `halo` where tiles are exact.
        padding: how it pads an image beyond its edge.
        cost: per pixel.
        training: defaults.
        provenance: paper, deviations, licence.
        align: tiles begin at multiples of so many PAN pixels of the scene.
        window: side of the windows, fixed in the scene, that it runs in; None: it takes any size.
        global_operations: operations that look at a whole image at once.
        extra: the extra of the package that makes it faster, if any.
        projections: onto MS before it sees the scene, each of which reaches as far as the blur does; where there are
            any, it is shown more than `start` and `pan` (`adaptation.evidence.network_inputs`).
        weights: file in `assets` that it starts from; None: it starts from random weights.
        version: increases when the meaning of stored weights changes.
    """

    name: str
    title: str
    network: Callable[..., nn.Module]
    tile_mode: TileMode
    halo: ByBands | None
    overlap: int
    padding: Padding
    cost: Cost
    training: Training
    provenance: Provenance
    options: Mapping[str, int | bool] = field(default_factory=dict)
    align: int = 1
    window: int | None = None
    global_operations: tuple[str, ...] = ()
    extra: str | None = None
    projections: int = 0
    weights: str | None = None
    version: int = 1

    def __post_init__(self) -> None:
        if self.tile_mode == "exact" and (self.halo is None or self.halo.each or self.overlap < self.halo.fixed):
            raise ValueError(f"{self.name}: exact tiles overlap by the halo")
        if self.window is not None and self.overlap < self.window - 1:
            raise ValueError(f"{self.name}: a pixel depends on all of the windows that it lies in")

    @property
    def fuses(self) -> bool:
        """It can fuse scenes, and not only patches of one size."""
        return self.tile_mode != "fixed"

    @property
    def block_overlap(self) -> int:
        """The overlap in whole windows of the alignment."""
        return -(-self.overlap // self.align) * self.align

    def build(self, bands: int) -> nn.Module:
        """The network for a number of bands, untrained."""
        network = self.network(bands, **self.options)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):  # CPUs then convolve a fifth to a half faster
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
        return network

    def parameters(self, bands: int) -> int:
        """Number of parameters."""
        with torch.device("meta"):  # neither memory nor random numbers
            return sum(parameter.numel() for parameter in self.build(bands).parameters())

    @property
    def stride(self) -> int:
        """Distance of the windows, which overlap by a quarter to be blended; 0 where it takes any size."""
        return self.window * 3 // 4 if self.window else 0

    def block_side(self, bands: int, memory: float = 0.0) -> int:
        """Side of the blocks in which a large image passes through the network, without their overlap.

        They are at least 256 pixels and eight overlaps wide, and beyond that no larger than `memory` bytes allow.
        """
        if self.window is not None:
            return self.stride
        side = next((block for block in _BLOCKS if block >= 8 * self.block_overlap), _BLOCKS[-1])
        while 2 * side <= _BLOCKS[-1] and self._block_bytes(2 * side, bands) <= memory:
            side *= 2
        return side

    def block_bytes(self, bands: int, memory: float = 0.0) -> float:
        """Memory of the network at work on one block."""
        return self._block_bytes(self.block_side(bands, memory), bands)

    def training_bytes(self, bands: int, pixels: int) -> float:
        """Memory of a training step over so many PAN pixels."""
        return self.cost.training_bytes.at(bands) * pixels

    def fusing_seconds(self, bands: int, memory: float = 0.0) -> float:
        """Seconds of one CPU core per megapixel of a large scene, the overlap of blocks included."""
        side = self.block_side(bands, memory)
        return self.cost.cpu_seconds.at(bands) * (self._seen(side) / side) ** 2

    def _seen(self, side: int) -> int:
        return self.window or side + 2 * self.block_overlap

    def _block_bytes(self, side: int, bands: int) -> float:
        return self.cost.working_bytes.at(bands) * self._seen(round(STRETCH * side)) ** 2
