"""Fill invalid pixels from their valid neighbours; for arrays of numpy and tensors of torch alike, so free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from clippan_models.ops.box import bounding_box

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Image = TypeVar("Image", Tensor, NDArray[Any])


def fill_invalid(image: Image, valid: Image, steps: int) -> Image:
    """Extrapolate valid values into invalid pixels up to `steps` pixels away; farther ones become 0.

    Each step gives every empty pixel with filled neighbours the mean of those; so a pixel only depends on values at
    most twice its distance away, the same in every tile.

    Args:
        image: `[C, h, w]`; invalid pixels may hold anything, NaN included.
        valid: `[C, h, w]` bool.
        steps: reach in pixels.

    Returns:
        `[C, h, w]` in the type of the image; the image itself where all is valid.
    """
    if bool(valid.all()):
        return image
    whole, box = image * 1, bounding_box(~valid, margin=1)
    filled, known = whole[box], valid[box] * 1.0
    filled[~valid[box]] = 0
    for _ in range(steps):
        total, count = _box3(filled), _box3(known)
        new = (known == 0) & (count > 0)
        filled[new] = total[new] / count[new]
        known[new] = 1
    return whole


def _box3(image: Image) -> Image:
    """Sum over the 3 x 3 neighbourhood, zero beyond the border."""
    rows = image * 1
    rows[:, 1:] += image[:, :-1]
    rows[:, :-1] += image[:, 1:]
    total = rows * 1
    total[..., 1:] += rows[..., :-1]
    total[..., :-1] += rows[..., 1:]
    return total
