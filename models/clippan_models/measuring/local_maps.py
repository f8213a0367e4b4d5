"""Local values of the no-reference indices, gathered into small maps while a scene streams by.

A map has one value for each block of 32 x 32 PAN pixels (D_rho: for each 8 x 8), the value that the index takes in that
block alone. Where a scene is so large that a map would exceed 1024 values a side, a value stands for 2 x 2 blocks, or
4 x 4, and so on. Indices take the absolute difference after averaging over the scene, local maps before, so the mean of
a map is larger than the index: a map says where, the index how much.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clippan_models.contracts import Window

_MOST = 1024
_FIELD_CELL = 8


class LocalMaps:
    """Gathers the maps D_lambda, D_s, QNR, D_lambda_K and D_rho of one scene.

    Attributes:
        cell: PAN pixels a side of one value of the maps over blocks.
        field_cell: the same for D_rho.
    """

    def __init__(self, shape: tuple[int, int], block: int = 32) -> None:
        """Make empty maps.

        Args:
            shape: PAN rows and columns.
            block: side of the blocks.
        """
        self.shape = shape
        self.block = block
        self.cell = _cell(shape, block)
        self.field_cell = _cell(shape, _FIELD_CELL)
        self._maps = {name: _Map(shape, self.cell) for name in ("D_lambda", "D_s", "QNR", "D_lambda_K")}
        self._maps["D_rho"] = _Map(shape, self.field_cell)

    @property
    def names(self) -> tuple[str, ...]:
        """The maps there are."""
        return tuple(self._maps)

    def cell_of(self, name: str) -> int:
        """PAN pixels a side of one value of a map."""
        return self._maps[name].cell

    def image(self, name: str) -> Tensor:
        """A map, `[rows, columns]` float32 on the CPU; NaN where nothing is known."""
        return self._maps[name].image()

    def add_blocks(
        self, window: Window, chosen: Tensor | None, q_fused: Tensor, q_reference: Tensor, q2n: Tensor
    ) -> None:
        """Take the blocks of one window.

        Args:
            window: starts on a whole block.
            chosen: index of each block among all of the window, row by row; None: all.
            q_fused: Q between bands, and with PAN in the last column, `[N, C, C + 1]`.
            q_reference: the same of the reference.
            q2n: Q2n of the blurred image and the interpolated MS, `[N]`.
        """
        across = -(-window.width // self.block)
        index = torch.arange(len(q2n)) if chosen is None else chosen.cpu()
        rows, cols = window.row + index // across * self.block, window.col + index % across * self.block
        distance = (q_fused - q_reference).abs().cpu()
        upper = torch.triu_indices(distance.shape[1], distance.shape[1], offset=1)
        pairs = distance[:, upper[0], upper[1]]
        d_lambda = pairs.mean(dim=1) if pairs.shape[1] else torch.zeros(len(pairs), dtype=pairs.dtype)
        d_s = distance[:, :, -1].mean(dim=1)
        values = {
            "D_lambda": d_lambda,
            "D_s": d_s,
            "QNR": (1 - d_lambda) * (1 - d_s),
            "D_lambda_K": 1 - q2n.cpu(),
        }
        for name, value in values.items():
            self._maps[name].add(rows, cols, value, torch.ones_like(value))

    def add_field(self, row: int, col: int, distance: Tensor, usable: Tensor) -> None:
        """Take 1 - rho of the pixels from (row, col) on, `[h, w]`; those not usable hold 0."""
        distance, usable = distance.cpu(), usable.cpu()
        height, width = min(distance.shape[0], self.shape[0] - row), min(distance.shape[1], self.shape[1] - col)
        rows = torch.arange(row, row + height)[:, None].expand(height, width)
        cols = torch.arange(col, col + width)[None, :].expand(height, width)
        inside = (slice(0, height), slice(0, width))
        counted = usable[inside].to(distance.dtype).flatten()
        self._maps["D_rho"].add(rows.flatten(), cols.flatten(), distance[inside].flatten(), counted)


class _Map:
    """Sums and counts of one map."""

    def __init__(self, shape: tuple[int, int], cell: int) -> None:
        self.cell = cell
        size = (-(-shape[0] // cell), -(-shape[1] // cell))
        self._sum = torch.zeros(size, dtype=torch.float64)
        self._count = torch.zeros(size, dtype=torch.float64)

    def add(self, rows: Tensor, cols: Tensor, values: Tensor, counts: Tensor) -> None:
        index = (rows // self.cell, cols // self.cell)
        self._sum.index_put_(index, values.double(), accumulate=True)
        self._count.index_put_(index, counts.double(), accumulate=True)

    def image(self) -> Tensor:
        mean = self._sum / self._count.clamp(min=1)
        return torch.where(self._count > 0, mean, float("nan")).float()


def _cell(shape: tuple[int, int], smallest: int) -> int:
    cell = smallest
    while max(shape) > _MOST * cell:
        cell *= 2
    return cell
