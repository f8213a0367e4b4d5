"""Where the patches of SR-D lie: a grid anchored to the scene, and the blocks of patches that cover a tile."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import fold

PATCH = 7
"""Low-resolution samples across a patch."""

STEP = 3
"""Samples from one patch to the next."""

LARGEST_SPACING = 8
"""PAN pixels per sample; bounds the halo for ratios that are not known yet."""

_GAIN = 0.3  # nominal gain of L at the MS Nyquist frequency
_BLOCK = 8  # patches across the blocks that are solved at once


@dataclass(frozen=True)
class PatchGrid:
    """Where patches lie: patch (i, j) starts at PAN pixel (`step_px` i, `step_px` j) of the scene, i and j any integer.

    Attributes:
        spacing: PAN pixels between low-resolution samples; sample k is PAN pixel `spacing k + spacing // 2`.
    """

    spacing: int

    @classmethod
    def for_ratio(cls, ratio: float) -> PatchGrid:
        """The grid whose samples lie about as dense as those of the MS, at least 2 and at most 8 PAN pixels apart."""
        return cls(min(max(round(ratio), 2), LARGEST_SPACING))

    @property
    def patch_px(self) -> int:
        """PAN pixels across a patch."""
        return PATCH * self.spacing

    @property
    def step_px(self) -> int:
        """PAN pixels from one patch to the next."""
        return STEP * self.spacing

    @property
    def reach(self) -> int:
        """PAN pixels around a patch that its low-resolution details depend on: the radius of L."""
        return math.ceil(3 * self._sigma)

    @property
    def footprint_px(self) -> int:
        """PAN pixels across all that a patch depends on."""
        return self.patch_px + 2 * self.reach

    @property
    def halo(self) -> int:
        """PAN pixels around a pixel that it depends on: all patches that hold it, and the reach of L around them."""
        return self.patch_px - 1 + self.reach

    @property
    def _sigma(self) -> float:
        # A Gaussian of deviation s has gain exp(-2 (pi s f)^2), and the MS Nyquist frequency is f = 1 / (2 spacing).
        return self.spacing * math.sqrt(-2 * math.log(_GAIN)) / math.pi

    def kernel(self) -> list[float]:
        """The taps of L along one axis, of sum 1, from `-reach` to `reach`."""
        taps = [math.exp(-0.5 * (t / self._sigma) ** 2) for t in range(-self.reach, self.reach + 1)]
        return [tap / sum(taps) for tap in taps]

    def samples(self, first: int, count: int) -> Tensor:
        """PAN indices of the samples `first .. first + count` of one axis of the scene."""
        return torch.arange(first, first + count) * self.spacing + self.spacing // 2

    def low_details(self, image: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
        """`image - L(image)` at the given rows and columns of `[C, H, W]`; beyond its edge the image is continued."""
        blurred = _blur(_blur(image, rows, 1, self.kernel()), cols, 2, self.kernel())
        return take(take(image, rows, 1), cols, 2).sub_(blurred)


def take(image: Tensor, indices: Tensor, dim: int) -> Tensor:
    """The rows (`dim` 1) or columns (2) of `[C, H, W]` at these indices; beyond the edge it is repeated."""
    return image.index_select(dim, indices.clamp(0, image.shape[dim] - 1).to(image.device))


def _blur(image: Tensor, indices: Tensor, dim: int, taps: list[float]) -> Tensor:
    """Low-pass along one axis, only at the indices asked for; tap by tap, so that no pixel depends on the tile."""
    reach = len(taps) // 2
    blurred = take(image, indices - reach, dim).mul_(taps[0])
    for shift, tap in enumerate(taps[1:], start=1 - reach):
        blurred.add_(take(image, indices + shift, dim).mul_(tap))
    return blurred


@dataclass(frozen=True)
class PatchBlocks:
    """Blocks of 8 patches along one axis, anchored to the scene, that cover one axis of a tile."""

    grid: PatchGrid
    start: int
    length: int
    first: int
    count: int

    @classmethod
    def over(cls, grid: PatchGrid, start: int, length: int) -> PatchBlocks:
        """The blocks whose patches hold the pixels `start .. start + length`."""
        first_patch = -((grid.patch_px - 1 - start) // grid.step_px)
        last_patch = (start + length - 1) // grid.step_px
        first = first_patch // _BLOCK
        return cls(grid, start, length, first, last_patch // _BLOCK - first + 1)

    @property
    def extent(self) -> int:
        """PAN pixels from the first to the last of all blocks."""
        return ((self.count * _BLOCK - 1) * STEP + PATCH) * self.grid.spacing

    @property
    def _origin(self) -> int:
        return self.first * _BLOCK * self.grid.step_px - self.start

    def samples(self) -> Tensor:
        """Tile indices of the low-resolution samples of all blocks."""
        count = (self.count * _BLOCK - 1) * STEP + PATCH
        return self.grid.samples(self.first * _BLOCK * STEP, count) - self.start

    def sample_slice(self, block: int) -> slice:
        """Those of one block, within all."""
        begin = block * _BLOCK * STEP
        return slice(begin, begin + (_BLOCK - 1) * STEP + PATCH)

    def pixel_slice(self, block: int) -> slice:
        """PAN pixels of one block, within all."""
        samples = self.sample_slice(block)
        return slice(samples.start * self.grid.spacing, samples.stop * self.grid.spacing)

    def pixels(self, block: int) -> Tensor:
        """Tile indices of the PAN pixels of one block."""
        pixels = self.pixel_slice(block)
        return torch.arange(pixels.start, pixels.stop) + self._origin

    def inside(self) -> slice:
        """The tile within all blocks."""
        return slice(-self._origin, -self._origin + self.length)

    def overlaps(self, device: torch.device) -> Tensor:
        """How many patches hold each PAN pixel of the tile, along this axis."""
        pixel = torch.arange(self.start, self.start + self.length, device=device)
        before = torch.div(pixel - self.grid.patch_px, self.grid.step_px, rounding_mode="floor")
        return torch.div(pixel, self.grid.step_px, rounding_mode="floor") - before


def cut(block: Tensor, size: int, step: int) -> Tensor:
    """The overlapping patches of `[C, H, W]`, row by row: `[64, C, size ** 2]`."""
    patches = block.unfold(1, size, step).unfold(2, size, step)
    return patches.permute(1, 2, 0, 3, 4).reshape(_BLOCK * _BLOCK, len(block), size * size)


def paste(patches: Tensor, grid: PatchGrid) -> Tensor:
    """The block in which the patches `[64, C, size ** 2]` are added up, `[C, H, W]`."""
    side = (_BLOCK - 1) * grid.step_px + grid.patch_px
    columns = patches.permute(1, 2, 0).reshape(-1, _BLOCK * _BLOCK)
    return fold(columns, (side, side), kernel_size=grid.patch_px, stride=grid.step_px)
