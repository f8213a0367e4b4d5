"""Are invalid pixels filled from their neighbours only, as far as asked, and alike for arrays and tensors?"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_cdt

from clippan_models.ops.fill import fill_invalid


def test_filling_reaches_as_far_as_asked_and_leaves_valid_pixels_alone() -> None:
    image = torch.full((1, 9, 9), 7.0)
    valid = torch.zeros(1, 9, 9, dtype=torch.bool)
    valid[0, 4, 4] = True
    image[~valid] = float("nan")
    before = image.clone()
    filled = fill_invalid(image, valid, 2)
    assert torch.equal(filled[0, 2:7, 2:7], torch.full((5, 5), 7.0))
    assert float(filled[0, 0, 0]) == 0
    torch.testing.assert_close(image, before, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_an_array_is_filled_as_a_tensor_is(share: float) -> None:
    rng = np.random.default_rng(1)
    image, valid = rng.uniform(0, 4000, (3, 40, 50)).astype(np.float32), rng.random((3, 40, 50)) < share
    filled = fill_invalid(image, valid, 3)
    assert filled.dtype == np.float32
    assert np.array_equal(filled, fill_invalid(torch.from_numpy(image), torch.from_numpy(valid), 3).numpy())
    assert np.array_equal(filled[valid], image[valid])
    for band, mask, values in zip(image, valid, filled, strict=True):
        near = distance_transform_cdt(~mask, "chessboard") <= 3
        assert not values[~near].any()
        assert bool((values[near] >= band[mask].min() - 1e-3).all() and (values[near] <= band[mask].max() + 1e-3).all())


def test_where_all_is_valid_nothing_is_copied() -> None:
    image = torch.rand(2, 5, 5)
    assert fill_invalid(image, torch.ones(2, 5, 5, dtype=torch.bool), 3) is image
