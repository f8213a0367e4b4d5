"""The losses of the alignment: their known values at the start, their floor, and which way they push."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from clippan_models.losses.contrastive import fusion_loss, inter_modal_loss, intra_modal_loss


def unit(*shape: int, seed: int) -> Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@given(st.integers(1, 9), st.integers(0, 1000))
@settings(deadline=None, max_examples=25)
def test_features_that_know_no_type_cost_ln_3(scenes: int, seed: int) -> None:
    constant = unit(1, 1, 16, seed=seed).expand(3, scenes, 16)
    text = unit(1, 16, seed=seed + 1).expand(3, 16)
    assert float(inter_modal_loss(constant, text)) == pytest.approx(math.log(3), abs=1e-5)


@given(st.integers(2, 6), st.integers(0, 1000))
@settings(deadline=None, max_examples=25)
def test_inter_is_the_clip_loss_with_a_prompt_repeated_for_every_image_less_log_b(scenes: int, seed: int) -> None:
    images, texts, tau = unit(3, scenes, 16, seed=seed), unit(3, 16, seed=seed + 1), 0.3
    logits = images.flatten(0, 1) @ texts.repeat_interleave(scenes, 0).T / tau
    labels = torch.arange(3 * scenes)
    # CLIP's symmetric loss: among 3B texts, B are the same, so each softmax holds log B that nothing can lower
    plain = torch.nn.functional.cross_entropy(logits, labels) + torch.nn.functional.cross_entropy(logits.T, labels)
    assert float(inter_modal_loss(images, texts, tau)) == pytest.approx(float(plain) / 2 - math.log(scenes), abs=1e-4)


def test_types_that_lie_on_their_prompts_cost_almost_nothing() -> None:
    texts = torch.eye(3, 16)
    assert float(inter_modal_loss(texts[:, None].expand(3, 4, 16), texts)) < 1e-4
    assert float(inter_modal_loss(texts[[1, 2, 0], None].expand(3, 4, 16), texts)) > 5


@pytest.mark.parametrize("scenes", [2, 3, 8])
def test_equal_similarities_cost_ln_of_the_candidates(scenes: int) -> None:
    constant = unit(1, 1, 16, seed=0).expand(3, scenes, 16)
    assert float(intra_modal_loss(constant)) == pytest.approx(math.log(1 + 3 * (scenes - 1)), abs=1e-5)


def test_intra_falls_as_the_images_of_a_scene_come_together_and_reaches_zero() -> None:
    scene, own = torch.eye(4, 16)[None], unit(3, 4, 16, seed=1)
    costs = [float(intra_modal_loss(normalize(share * scene + (1 - share) * own, dim=-1))) for share in (0, 0.5, 1)]
    assert costs[0] > costs[1] > costs[2]
    assert costs[2] < 1e-2


def test_intra_does_not_push_the_images_of_a_scene_apart() -> None:
    images = normalize(torch.eye(4, 16)[None] + 0.3 * unit(3, 4, 16, seed=2), dim=-1).requires_grad_()
    torch.autograd.backward(intra_modal_loss(images))
    assert images.grad is not None
    toward_others = images.detach().sum(0, keepdim=True) - images.detach()
    assert float((images.grad * toward_others).sum()) < 0  # closer costs less


def test_intra_refuses_a_single_scene() -> None:
    with pytest.raises(ValueError, match="two types of two scenes, not 3 of 1"):
        intra_modal_loss(unit(3, 1, 16, seed=0))


def test_inter_and_intra_can_be_met_together() -> None:
    free = torch.randn(3, 4, 16, generator=torch.Generator().manual_seed(0)).requires_grad_()
    words = torch.randn(3, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
    optimiser = torch.optim.Adam([free, words], lr=0.05)
    for _ in range(300):
        images, texts = normalize(free, dim=-1), normalize(words, dim=-1)
        inter, intra = inter_modal_loss(images, texts), intra_modal_loss(images)
        optimiser.zero_grad()
        torch.autograd.backward(inter + intra)
        optimiser.step()
    assert float(inter.detach()) < 0.05 and float(intra.detach()) < 0.05


def test_the_fusion_loss_is_zero_at_its_targets_and_moves_only_what_is_fused() -> None:
    hrms, text = unit(4, 16, seed=0).requires_grad_(), unit(16, seed=1).requires_grad_()
    assert float(fusion_loss(hrms, hrms, text, text)) == 0
    fused, fused_text = unit(4, 16, seed=2).requires_grad_(), unit(16, seed=3).requires_grad_()
    torch.autograd.backward(fusion_loss(fused, hrms, fused_text, text))
    assert hrms.grad is None and text.grad is None
    assert fused.grad is not None and fused.grad.any() and fused_text.grad is not None and fused_text.grad.any()


def test_the_fusion_loss_does_not_grow_with_the_dimension() -> None:
    values = [
        float(fusion_loss(unit(8, d, seed=0), unit(8, d, seed=1), unit(d, seed=2), unit(d, seed=3))) for d in (64, 1024)
    ]
    assert values[0] == pytest.approx(values[1], rel=0.2)
