"""Are streamed moments those of the whole?"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clippan_models.errors import InputError
from clippan_models.ops import moments as module
from clippan_models.ops.moments import Moments


def sample(offset: float = 1e4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    mixing = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.3, 0.0], [-0.4, 0.2, 2.0]], dtype=torch.float64)
    noise = torch.randn(3, 97 * 61, generator=generator, dtype=torch.float64)
    return (mixing @ noise + offset).reshape(3, 97, 61)


def test_equals_numpy_on_the_whole() -> None:
    values, moments = sample(), Moments()
    moments.update(values, torch.ones(97, 61, dtype=torch.bool))
    flat = values.flatten(1).numpy()
    assert moments.count == 97 * 61
    np.testing.assert_allclose(moments.mean, flat.mean(1), rtol=1e-14)
    np.testing.assert_allclose(moments.cov, np.cov(flat), rtol=1e-10)
    np.testing.assert_allclose(moments.gram, flat @ flat.T, rtol=1e-13)


@given(
    rows=st.lists(st.integers(1, 96), max_size=5, unique=True).map(sorted),
    chunk=st.sampled_from([7, 64, 1000, 1 << 16]),
    offset=st.sampled_from([0.0, 300.0, 6e4]),
)
@settings(max_examples=25, deadline=None)
def test_does_not_depend_on_the_tiling(rows: list[int], chunk: int, offset: float) -> None:
    values = sample(offset)
    mask = (torch.arange(97)[:, None] + torch.arange(61)) % 7 != 0
    flat = values[:, mask].numpy()
    moments = Moments()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module._CHUNK, "cpu", chunk)
        for top, bottom in zip((0, *rows), (*rows, 97), strict=True):
            moments.update((values[:2, top:bottom], values[2:, top:bottom]), mask[top:bottom])
    assert moments.count == int(mask.sum())
    np.testing.assert_allclose(moments.mean, flat.mean(1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moments.cov, np.cov(flat), rtol=1e-10)


def test_masked_samples_are_never_looked_at() -> None:
    values = torch.tensor([[1.0, torch.nan, 3.0], [2.0, torch.inf, 8.0]])
    moments = Moments()
    moments.update(values, torch.tensor([True, False, True]))
    moments.update(values, torch.zeros(3, dtype=torch.bool))
    assert moments.mean.tolist() == [2.0, 5.0]
    assert moments.cov.tolist() == [[2.0, 6.0], [6.0, 18.0]]


def test_a_brief_start_far_from_the_mean_costs_no_accuracy() -> None:
    values, moments = sample(0.0).flatten(1), Moments()
    moments.update(torch.full((3, 1), 6e4, dtype=torch.float64), torch.ones(1, dtype=torch.bool))
    for part in torch.split(values, 500, dim=1):
        moments.update(part, torch.ones(part.shape[1], dtype=torch.bool))
    everything = np.concatenate([np.full((3, 1), 6e4), values.numpy()], axis=1)
    np.testing.assert_allclose(moments.cov, np.cov(everything), rtol=1e-12)


def test_single_samples_and_constants_have_no_covariance() -> None:
    moments = Moments()
    moments.update(torch.tensor([[5.0], [7.0]]), torch.ones(1, dtype=torch.bool))
    assert moments.cov.count_nonzero() == 0
    moments.update(torch.tensor([[5.0, 5.0], [8.0, 9.0]]), torch.ones(2, dtype=torch.bool))
    assert moments.flat.tolist() == [True, False]


def test_rounding_noise_of_float32_counts_as_constant() -> None:
    noisy = torch.full((1, 10000), 1234.5) * (1 + torch.rand(1, 10000) * 2**-24)
    moments = Moments()
    moments.update(noisy, torch.ones(10000, dtype=torch.bool))
    assert moments.flat.all()


def test_inputs_stay_as_they_are() -> None:
    values = sample()
    before = values.clone()
    Moments().update(values, torch.ones(97, 61, dtype=torch.bool))
    assert torch.equal(values, before)


def test_nothing_counted_is_an_error_for_the_user() -> None:
    moments = Moments()
    moments.update(torch.ones(2, 4), torch.zeros(4, dtype=torch.bool))
    with pytest.raises(InputError, match="no pixel is valid"):
        moments.nonempty()


def test_a_sample_that_is_not_finite_is_an_error_for_the_user() -> None:
    moments = Moments()
    moments.update(torch.tensor([[1.0, torch.inf, 3.0]]), torch.tensor([True, False, True]))
    assert moments.nonempty().count == 2
    moments.update(torch.tensor([[torch.inf]]), torch.ones(1, dtype=torch.bool))
    with pytest.raises(InputError, match="not finite"):
        moments.nonempty()
