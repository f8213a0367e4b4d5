"""A network over a large image in blocks, so that its many feature maps exist for one block at a time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_BLOCK = 256
"""Pixels a side. Feature maps of 48 planes then stay below the size from which allocators ask the system for fresh
pages, and convolutions are half as fast again as on images of 1024 pixels."""


def run_in_blocks(network: nn.Module, ms_up: Tensor, pan: Tensor, halo: int) -> Tensor:
    """The output of a network, block by block: what it gives in one piece, up to rounding.

    Args:
        network: `(ms_up, pan) -> [B, C, H, W]`.
        ms_up: `[B, C, H, W]`.
        pan: `[B, 1, H, W]`.
        halo: pixels around an output pixel that it depends on.
    """
    height, width = ms_up.shape[-2:]
    out = torch.empty_like(ms_up)
    for row in range(0, height, _BLOCK):
        for col in range(0, width, _BLOCK):
            top, left = max(row - halo, 0), max(col - halo, 0)
            seen = (..., slice(top, row + _BLOCK + halo), slice(left, col + _BLOCK + halo))
            core = (..., slice(row, row + _BLOCK), slice(col, col + _BLOCK))
            target = out[core]
            result = network(ms_up[seen], pan[seen])
            target.copy_(result[..., row - top :, col - left :][..., : target.shape[-2], : target.shape[-1]])
    return out
