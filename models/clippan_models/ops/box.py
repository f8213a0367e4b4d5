"""The part of an array where something is; for arrays of numpy and tensors of torch alike, so free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


def bounding_box(mask: Tensor | NDArray[Any], margin: int = 0) -> tuple[slice, ...]:
    """The smallest box with all that is True, one slice for each axis; empty slices where nothing is.

    Args:
        mask: bool, of any number of axes.
        margin: samples to add on every side, as far as there are any.
    """
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        along: Any = mask.any(others) if others else mask
        used = [index for index, here in enumerate(along.tolist()) if here]
        box.append(slice(max(used[0] - margin, 0), used[-1] + 1 + margin) if used else slice(0, 0))
    return tuple(box)
