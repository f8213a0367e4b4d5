"""The box of what is True in a mask, for numpy and torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from clippan_models.ops.box import bounding_box

MAKERS = [np.array, torch.tensor]


@pytest.mark.parametrize("make", MAKERS)
def test_the_box_holds_all_that_is_true_and_no_more(make: Callable[..., Any]) -> None:
    mask = make([[[False] * 5, [False, False, True, False, False], [False, True, False, False, False], [False] * 5]])
    assert bounding_box(mask) == (slice(0, 1), slice(1, 3), slice(1, 3))


@pytest.mark.parametrize("make", MAKERS)
def test_a_margin_ends_where_the_mask_ends(make: Callable[..., Any]) -> None:
    mask = make([True, False, False, False, False])
    assert mask[bounding_box(mask, margin=2)].tolist() == [True, False, False]
    assert mask[bounding_box(~mask, margin=3)].tolist() == mask.tolist()


@pytest.mark.parametrize("make", MAKERS)
def test_nothing_gives_an_empty_box(make: Callable[..., Any]) -> None:
    mask = make([[False, False], [False, False]])
    assert mask[bounding_box(mask, margin=1)].shape == (0, 0)
