"""Pixels of a source beyond its border, as a filter sees them there: mirrored, repeated, zero, or filled in."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from clippan_models.contracts import Window
from clippan_models.measuring.planes import PlaneSource
from clippan_models.ops.toolbox import correlate_axis


def read_padded(read: Callable[[Window], Tensor], window: Window, shape: tuple[int, int]) -> Tensor:
    """A window that may reach beyond the scene, where it is 0 or False."""
    row, col = max(window.row, 0), max(window.col, 0)
    row_stop, col_stop = min(window.row_stop, shape[0]), min(window.col_stop, shape[1])
    image = read(Window(row, col, row_stop - row, col_stop - col))
    return pad(image, (col - window.col, window.col_stop - col_stop, row - window.row, window.row_stop - row_stop))


def fetch(read: Callable[[Window], Tensor], rows: Tensor, cols: Tensor) -> Tensor:
    """The pixels at any rows and columns of the scene, `[.., len(rows), len(cols)]`, in as few reads as they allow."""
    return torch.cat(
        [torch.cat([_fetch_run(read, run, across) for across in _runs(cols)], dim=-1) for run in _runs(rows)], dim=-2
    )


def fetch_filled(source: PlaneSource, rows: Tensor, cols: Tensor, reach: int) -> Tensor:
    """The pixels at these rows and columns, less `reach` on each side, `[C, .., ..]` float64; invalid ones filled."""
    image, valid = fetch(source.read, rows, cols), fetch(source.valid, rows, cols)
    return fill_by_distance(image.double(), valid, reach)


def fill_by_distance(image: Tensor, valid: Tensor, reach: int) -> Tensor:
    """Replace each invalid pixel by a mean of the valid ones within `reach` rows and columns, weighted by distance.

    Weights fall by e per row and per column: steep enough to continue the image beyond its border rather than to level
    it. Only what is near decides, so the result does not depend on where a window was cut. `ops.fill.fill_invalid`,
    which methods use, takes one step per pixel of reach; the filters of the toolbox reach 20 pixels.

    Args:
        image: `[C, H, W]`, any finite or NaN filler at invalid pixels, which is never looked at.
        valid: `[H, W]` bool.
        reach: pixels.

    Returns:
        `[C, H - 2 reach, W - 2 reach]`: the middle of the image; valid pixels as they were, invalid ones without any
        valid neighbour 0.
    """
    height, width = valid.shape
    middle = (slice(reach, height - reach), slice(reach, width - reach))
    if valid[middle].all():
        return image[:, *middle]
    weights = [math.exp(-abs(offset)) for offset in range(-reach, reach + 1)]
    known = torch.where(valid, image, 0.0)
    both = torch.cat([known, valid[None].to(known)])
    spread = correlate_axis(correlate_axis(both, weights, -2), weights, -1)
    amount = spread[-1:]
    nearby = spread[:-1] / torch.where(amount > 0, amount, 1.0)
    return torch.where(valid[middle], image[:, *middle], nearby)


def _fetch_run(read: Callable[[Window], Tensor], rows: Tensor, cols: Tensor) -> Tensor:
    """The pixels at rows and columns that lie close together, by one read."""
    row, col = int(rows.min()), int(cols.min())
    image = read(Window(row, col, int(rows.max()) - row + 1, int(cols.max()) - col + 1))
    for dim, index in ((-2, rows - row), (-1, cols - col)):
        if len(index) != image.shape[dim] or index[0] != 0:
            image = image.index_select(dim, index.to(image.device))
    return image


def _runs(index: Tensor) -> tuple[Tensor, ...]:
    """Cut where neighbours are not neighbours in the scene: a circular border jumps, the others do not."""
    jumps = torch.nonzero(index.diff().abs() > 1)[:, 0] + 1
    return torch.tensor_split(index, jumps)
