"""The blocks of a window that count: those of which at least half of the pixels are valid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from clippan_models.metrics.blocks import block_moments, split_blocks
from clippan_models.metrics.q2n import block_q2n
from clippan_models.metrics.uiqi import pairwise_uiqi


@dataclass(frozen=True)
class Blocks:
    """The blocks of a window that count, in the order of the rows.

    Attributes:
        side: of a block, pixels.
        chosen: their indices among all blocks of the window, or None: all of them.
        valid: their valid pixels, `[N, P]` bool, or None: all of them.
        count: N.
    """

    side: int
    chosen: Tensor | None
    valid: Tensor | None
    count: int

    @classmethod
    def of(cls, valid: Tensor, side: int, chosen: Tensor | None = None) -> Blocks:
        """Choose the blocks of which at least half is valid, `[h, w]` bool, unless the choice is given."""
        parts = split_blocks(pad_to_blocks(valid[None], side), side)[:, 0]
        if parts.all():
            return cls(side, None, None, len(parts))
        if chosen is None:
            chosen = torch.nonzero(2 * parts.sum(dim=1) >= side**2)[:, 0]
        return cls(side, chosen, parts[chosen], len(chosen))

    def cut(self, image: Tensor) -> Tensor:
        """The blocks, `[N, C, P]`, of a plane of the window `[C, h, w]`."""
        parts = split_blocks(pad_to_blocks(image, self.side), self.side)
        return parts if self.chosen is None else parts[self.chosen]

    def q2n(self, reference: Tensor, fused: Tensor) -> Tensor:
        """Q2n of each block, `[N]`, of two planes `[C, h, w]`."""
        return block_q2n(self.cut(reference), self.cut(fused), self.valid)

    def q_table(self, image: Tensor, pan: Tensor) -> Tensor:
        """Q of each band with each band and with PAN in each block, `[N, C, C + 1]`.

        Args:
            image: `[C, h, w]`.
            pan: `[1, h, w]`, or `[C, h, w]` when each band has a PAN of its own.
        """
        bands = image.shape[0]
        both = torch.cat([self.cut(image), self.cut(pan)], dim=1)
        table = pairwise_uiqi(block_moments(both, self.valid))
        across = table[:, :bands, bands:]
        with_pan = across[:, :, 0] if pan.shape[0] == 1 else across.diagonal(dim1=1, dim2=2)
        return torch.cat([table[:, :bands, :bands], with_pan[:, :, None]], dim=2)


def pad_to_blocks(image: Tensor, side: int) -> Tensor:
    """An image `[C, h, w]` with zeros at the right and bottom, up to whole blocks."""
    height, width = image.shape[-2:]
    return pad(image, (0, -width % side, 0, -height % side))
