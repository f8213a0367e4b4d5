"""What the bands of AnyBand tell each other."""

import pytest
import torch

from clippan_models.networks.anyband import _over_bands


@pytest.mark.parametrize("ties", [False, True])
def test_the_gradient_of_pooling_is_that_which_pytorch_finds_through_its_own_operations(ties: bool) -> None:
    bands, values = 3, torch.randn(2 * 3, 4, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    own = (values.round() if ties else values).requires_grad_()
    theirs = own.detach().clone().requires_grad_()
    by_bands = theirs.view(-1, bands, *theirs.shape[1:])
    expected = torch.cat([by_bands.mean(1), by_bands.amax(1)], 1)
    weights = torch.rand(expected.shape, dtype=torch.float64)
    pooled = _over_bands(own, bands)
    torch.testing.assert_close(pooled, expected)
    torch.autograd.backward((pooled * weights).sum())
    torch.autograd.backward((expected * weights).sum())
    torch.testing.assert_close(own.grad, theirs.grad)  # `amax` shares the gradient evenly among the largest, too
