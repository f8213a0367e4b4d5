"""A network over a large image in pieces, so that its many feature maps exist for one piece at a time.

Pieces lie fixed in the scene where that matters to the network, so that a run in tiles is the run in one piece.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clippan_models.errors import UsageError
from clippan_models.networks.spec import STRETCH, BackboneSpec
from clippan_models.networks.statistics import is_recorded

_BLOCK = 256
"""Pixels a side. Feature maps of 48 planes then stay below the size from which allocators ask the system for fresh
pages, and convolutions are half as fast again as on images of 1024 pixels."""

_ORIENTATIONS = tuple(
    (transposed, flips) for transposed in (False, True) for flips in ((), (-2,), (-1,), (-2, -1))
)  # whether transposed, after the axes that are mirrored


def run_network(
    spec: BackboneSpec,
    network: nn.Module,
    images: Sequence[Tensor],
    origin: tuple[int, int] = (0, 0),
    memory: float = 0.0,
) -> Tensor:
    """The output of a network for a piece of a scene of any size, exact `spec.overlap` pixels from its edge.

    Args:
        spec: what kind of network it is.
        network: in evaluation mode; called with the images.
        images: what it looks at, each `[B, any, H, W]`; the first is like its output.
        origin: row and column of the first pixel on the PAN grid of the scene.
        memory: bytes that it may take, where there are enough pixels; it takes what a small block needs in any case.

    Raises:
        UsageError: it cannot fuse scenes, or its statistics of the scene are not recorded.
    """
    if not spec.fuses:
        raise UsageError(f"the backbone {spec.name} works on patches of one size and cannot fuse a scene")
    if not is_recorded(network):
        raise UsageError(f"the backbone {spec.name} has not seen a scene: adapt it, which records its statistics")
    if spec.window is not None:
        return run_in_windows(network, images, spec.window, spec.stride, origin)
    grid = BlockGrid(spec.block_overlap, spec.block_side(images[0].shape[1], memory), spec.align)
    return run_in_blocks(network, images, grid, origin)


def run_in_orientations(
    spec: BackboneSpec,
    network: nn.Module,
    images: Sequence[Tensor],
    origin: tuple[int, int] = (0, 0),
    memory: float = 0.0,
    count: int = 8,
) -> Tensor:
    """The mean of the outputs for several orientations of the images, each turned back.

    Fusion has no preferred direction, so the mean of several answers is nearer to the truth than one (self-ensemble:
    Timofte, Rothe, Van Gool, CVPR 2016). Of two, the second is upside down; four are not transposed.

    Args:
        spec: what kind of network it is.
        network: in evaluation mode.
        images: see `run_network`.
        origin: row and column of the first pixel on the PAN grid of the scene.
        memory: see `run_network`.
        count: of orientations: 1, 2, 4 or 8.
    """
    size = images[0].shape[-2:]
    total = torch.zeros_like(images[0])
    for transposed, flips in _ORIENTATIONS[:count]:
        rows, cols = (
            _mirrored(spec, first, length) if axis in flips else first
            for axis, first, length in zip((-2, -1), origin, size, strict=True)
        )
        seen = [image.flip(flips) for image in images] if flips else images
        if transposed:
            turned = [image.transpose(-2, -1).contiguous() for image in seen]
            result = run_network(spec, network, turned, (cols, rows), memory).transpose(-2, -1)
        else:
            result = run_network(spec, network, seen, (rows, cols), memory)
        total += result.flip(flips)
    return total / count


def _mirrored(spec: BackboneSpec, first: int, length: int) -> int:
    """Where a mirrored image has to begin so that the network pairs the same pixels as before, along one axis."""
    side, stride = (spec.window, spec.stride) if spec.window is not None else (spec.align, spec.align)
    return (side - length - first) % stride


@dataclass(frozen=True)
class BlockGrid:
    """Blocks that lie side by side.

    Attributes:
        halo: pixels around an output pixel that it depends on, a multiple of `align`.
        side: of the blocks; up to `STRETCH` times as much where that avoids a narrow one.
        align: blocks begin at multiples of so many pixels of the scene.
    """

    halo: int
    side: int = _BLOCK
    align: int = 1

    def fitting(self, length: int) -> int:
        """The side of equal blocks, so that no narrow one is left whose halo costs more than itself."""
        count = max(1, math.ceil(length / (STRETCH * self.side)))
        return self.align * max(1, math.ceil(length / (count * self.align)))


def run_in_blocks(
    network: nn.Module, images: Sequence[Tensor], grid: BlockGrid, origin: tuple[int, int] = (0, 0)
) -> Tensor:
    """The output of a network, block by block: what it gives in one piece, up to rounding.

    Args:
        network: called with pieces of the images.
        images: see `run_network`; what lies between the first block and the image is replicated.
        grid: the blocks.
        origin: row and column of the first pixel in the scene.
    """
    halo = grid.halo
    above, before = origin[0] % grid.align, origin[1] % grid.align
    if above or before:
        images = [nn.functional.pad(image, (before, 0, above, 0), mode="replicate") for image in images]
    height, width = images[0].shape[-2:]
    out = torch.empty_like(images[0])
    tall, wide = grid.fitting(height), grid.fitting(width)
    for row in range(0, height, tall):
        for col in range(0, width, wide):
            top, left = max(row - halo, 0), max(col - halo, 0)
            seen = (..., slice(top, row + tall + halo), slice(left, col + wide + halo))
            core = (..., slice(row, row + tall), slice(col, col + wide))
            target = out[core]
            result = network(*(image[seen] for image in images))
            target.copy_(result[..., row - top :, col - left :][..., : target.shape[-2], : target.shape[-1]])
    return out[..., above:, before:]


@dataclass(frozen=True)
class WindowGrid:
    """Windows of one size that overlap.

    Attributes:
        side: of a window.
        overlap: outer pixels over which its weight falls.
        rows: where windows begin, in the image or before it.
        cols: likewise.
    """

    side: int
    overlap: int
    rows: Sequence[int]
    cols: Sequence[int]


def run_in_windows(
    network: nn.Module, images: Sequence[Tensor], side: int, stride: int, origin: tuple[int, int] = (0, 0)
) -> Tensor:
    """The output of a network in windows that lie fixed in the scene, blended where they overlap.

    A pixel depends on the windows that it lies in, wherever the image was cut out. Only windows wholly within the image
    count, if there are any, so its outermost `side - 1` pixels depend on the cut, and some of them keep the initial
    fusion.

    Args:
        network: called with windows of the images.
        images: see `run_network`.
        side: of a window.
        stride: distance of the windows, at most `side`.
        origin: row and column of the first pixel in the scene.
    """
    lengths = zip(origin, images[0].shape[-2:], strict=True)
    rows, cols = (_anchored(first, length, side, stride) for first, length in lengths)
    return blend_windows(network, images, WindowGrid(side, side - stride, rows, cols))


def blend_windows(network: nn.Module, images: Sequence[Tensor], grid: WindowGrid) -> Tensor:
    """The output of a network in the windows of a grid; what lies in none keeps the first image, the initial fusion.

    Windows may reach beyond the image, which is replicated there. Where several overlap, their weighted mean counts;
    the weights fall smoothly over the outer `overlap` pixels.
    """
    (height, width), side = images[0].shape[-2:], grid.side
    above, before = max(0, -grid.rows[0]), max(0, -grid.cols[0])
    below, behind = max(0, grid.rows[-1] + side - height), max(0, grid.cols[-1] + side - width)
    margins = (before, behind, above, below)
    wide = [nn.functional.pad(image, margins, mode="replicate") for image in images]
    weight = _window_weight(side, grid.overlap).to(images[0])
    total, weights = torch.zeros_like(wide[0]), torch.zeros_like(wide[0][:1, :1])
    for row in grid.rows:
        for col in grid.cols:
            place = (..., slice(row + above, row + above + side), slice(col + before, col + before + side))
            total[place] += weight * network(*(image[place] for image in wide))
            weights[place] += weight
    inner = (..., slice(above, above + height), slice(before, before + width))
    mean = total[inner] / weights[inner].clamp(min=torch.finfo(weights.dtype).tiny)
    return torch.where(weights[inner] > 0, mean, images[0])


class InWindows(nn.Module):
    """A network that only takes patches of one size, over images that are larger: in windows within the image."""

    def __init__(self, network: nn.Module, side: int) -> None:
        """Wrap a network that takes patches of `side` pixels; windows overlap by a third or more."""
        super().__init__()
        self.network = network
        self.side = side

    def forward(self, start: Tensor, pan: Tensor) -> Tensor:
        """The blended output `[B, C, H, W]` of an image of at least one window."""
        rows, cols = (self._spread(length) for length in start.shape[-2:])
        return blend_windows(self.network, (start, pan), WindowGrid(self.side, self.side // 3, rows, cols))

    def _spread(self, length: int) -> list[int]:
        count = max(1, -(-(length - self.side) // (self.side * 2 // 3)) + 1)
        return [round(i * (length - self.side) / max(1, count - 1)) for i in range(count)]


def _anchored(first: int, length: int, side: int, stride: int) -> list[int]:
    """Where windows at multiples of the stride begin, within `first .. first + length` or, if none are, touching it."""
    touching = range((first - side) // stride + 1, (first + length - 1) // stride + 1)
    begins = [number * stride - first for number in touching]
    return [begin for begin in begins if 0 <= begin <= length - side] or begins


def _window_weight(side: int, overlap: int) -> Tensor:
    """Weight of each pixel of a window, `[side, side]`: 1 inside, falling to nearly 0 at the edge."""
    overlap = max(1, min(overlap, side // 2))
    position = torch.arange(side, dtype=torch.float64)
    nearest_edge = torch.minimum(position, side - 1 - position) + 0.5
    ramp = torch.sin(torch.pi / 2 * (nearest_edge / overlap).clamp(max=1)).square()
    return ramp[:, None] * ramp
