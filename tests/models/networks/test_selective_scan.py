"""Is the scan in chunks the scan step by step, forward and backward, and does it stay small?"""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import Tensor

from clippan_models.networks.selective_scan import selective_scan


def inputs(
    batch: int, length: int, width: int = 5, states: int = 3, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(length)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    u, dt = draw(batch, length, width), draw(batch, length, width).exp() * 0.3
    return [u, dt, -draw(width, states).exp(), draw(batch, length, states), draw(batch, length, states)]


def step_by_step(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    h, out = torch.zeros(u.shape[0], *a.shape, dtype=u.dtype), []
    for t in range(u.shape[1]):
        h = torch.exp(dt[:, t, :, None] * a) * h + (dt * u)[:, t, :, None] * b[:, t, None]
        out.append((h * c[:, t, None]).sum(-1))
    return torch.stack(out, 1)


@pytest.mark.parametrize("length", [1, 2, 7, 64, 100, 4097])
def test_chunks_do_not_show(length: int) -> None:
    given = inputs(2, length)
    torch.testing.assert_close(selective_scan(*given), step_by_step(*given), rtol=1e-12, atol=1e-12)


def test_single_precision_is_near_the_exact_result() -> None:
    given = inputs(1, 3000)
    exact, single = step_by_step(*given), selective_scan(*(g.float() for g in given))
    assert float((single - exact).norm() / exact.norm()) < 1e-6


@pytest.mark.parametrize("length", [1, 5, 19])
def test_gradients_are_those_of_differences(length: int) -> None:
    given = [g.requires_grad_() for g in inputs(2, length, 3, 2)]
    assert torch.autograd.gradcheck(selective_scan, given)


def test_gradients_of_a_long_sequence_are_those_of_the_plain_loop() -> None:
    wanted, found = ([g.requires_grad_() for g in inputs(2, 500, 8, 4)] for _ in range(2))
    weights = torch.randn(2, 500, 8, dtype=torch.float64)
    by_loop = torch.autograd.grad((step_by_step(*wanted) * weights).sum(), wanted)
    by_scan = torch.autograd.grad((selective_scan(*found) * weights).sum(), found)
    torch.testing.assert_close(by_scan, by_loop, rtol=1e-9, atol=1e-9)


def test_the_backward_pass_keeps_no_states() -> None:
    given = [g.requires_grad_() for g in inputs(1, 4096, 16, 16, torch.float32)]
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        selective_scan(*given)
    assert sum(kept) < 1.5 * sum(g.numel() for g in given) < 4096 * 16 * 16 / 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same() -> None:
    given = inputs(2, 1000, 64, 16, torch.float32)
    found = selective_scan(*(g.cuda() for g in given)).cpu()
    torch.testing.assert_close(found, step_by_step(*given), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(
    not (torch.cuda.is_available() and importlib.util.find_spec("mamba_ssm")), reason="needs a GPU and mamba_ssm"
)
def test_the_kernel_is_used_where_it_can_be() -> None:
    from clippan_models.networks.selective_scan import _kernel

    assert _kernel() is not None
