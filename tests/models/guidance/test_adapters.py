"""Adapters: nothing before they learn, any direction after."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from clippan_models.guidance.adapters import Adapter, FusionAdapter


def unit(*shape: int, seed: int = 0) -> Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_before_it_has_learnt_an_adapter_changes_nothing() -> None:
    f = unit(5, 32)
    torch.testing.assert_close(Adapter(32, 0.2)(f), f)


def test_features_stay_of_unit_length_and_can_turn_to_entries_of_any_sign() -> None:
    f, target = unit(5, 32), unit(32, seed=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        adapter, fusion = Adapter(32, 0.5), FusionAdapter(32)
    optimiser = torch.optim.Adam([*adapter.parameters(), *fusion.parameters()], lr=1e-2)
    for _ in range(150):
        adapted, fused = adapter(f), fusion(f, f.flip(0))
        optimiser.zero_grad()
        torch.autograd.backward(2 - (adapted @ target).mean() - (fused @ target).mean())
        optimiser.step()
    torch.testing.assert_close(adapted.norm(dim=-1), torch.ones(5))
    torch.testing.assert_close(fused.norm(dim=-1), torch.ones(5))
    assert bool((adapted @ target > 0.98).all()) and bool((fused @ target > 0.98).all())
    assert bool((target < 0).any())


def test_the_fusion_adapter_looks_at_both_images() -> None:
    ms, pan = unit(1, 32).requires_grad_(), unit(1, 32, seed=1).requires_grad_()
    torch.autograd.backward(FusionAdapter(32)(ms, pan)[0, 0])
    assert ms.grad is not None and ms.grad.any() and pan.grad is not None and pan.grad.any()
