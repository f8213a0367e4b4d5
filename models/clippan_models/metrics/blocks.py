"""Disjoint square blocks of an image and their moments, from which Q, Q2n, D_lambda and D_s are computed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BlockMoments:
    """First and second moments of K variables in each of N blocks, over the valid pixels of the block.

    Attributes:
        mean: `[N, K]`.
        cov: `[N, K, K]`, normalised by the number of pixels (the indices are ratios: any normaliser gives the same).
    """

    mean: Tensor
    cov: Tensor


def split_blocks(image: Tensor, block: int) -> Tensor:
    """Cut an image `[C, H, W]` into `[N, C, block * block]`, row by row.

    Raises:
        ValueError: a side is not a multiple of `block`.
    """
    bands, height, width = image.shape
    if height % block or width % block:
        raise ValueError(f"an image of {height} x {width} pixels does not divide into blocks of {block}")
    parts = image.reshape(bands, height // block, block, width // block, block)
    return parts.permute(1, 3, 0, 2, 4).reshape(-1, bands, block * block)


def block_moments(blocks: Tensor, valid: Tensor | None = None) -> BlockMoments:
    """Mean and covariance of each block.

    Args:
        blocks: `[N, K, P]`.
        valid: pixels to count, `[N, P]` bool; None counts all. Others never matter, whatever they hold.
    """
    blocks = blocks.double()
    if valid is None:
        mean = blocks.mean(dim=2)
        centred = blocks - mean[:, :, None]
        return BlockMoments(mean, centred @ centred.mT / blocks.shape[2])
    inside = valid[:, None, :]
    count = valid.sum(dim=1).clamp(min=1).to(blocks)[:, None]
    mean = torch.where(inside, blocks, 0.0).sum(dim=2) / count
    centred = torch.where(inside, blocks - mean[:, :, None], 0.0)
    return BlockMoments(mean, centred @ centred.mT / count[:, :, None])
