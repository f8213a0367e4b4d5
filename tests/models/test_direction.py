"""The direction loss: 0 along the prompts, 2 against them, finite where a displacement vanishes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from clippan_models.losses.direction import LENGTH_FLOOR, direction_loss, through_intensity


def unit(*shape: int, seed: int) -> Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def axis(*values: float) -> Tensor:
    return torch.tensor([values])


def test_the_way_of_the_prompts_costs_nothing_the_opposite_way_two() -> None:
    ms, pan = axis(0.0, 0.0, 1.0), axis(0.0, 1.0, 0.0)
    hrms = axis(1.0, 0.0, 0.0)
    assert float(direction_loss(hrms, ms, pan, ms[0], pan[0], hrms[0])) == pytest.approx(0, abs=1e-6)
    back_ms, back_pan = 2 * hrms - ms, 2 * hrms - pan
    assert float(direction_loss(hrms, back_ms, back_pan, ms[0], pan[0], hrms[0])) == pytest.approx(2, abs=1e-6)


def test_a_way_at_right_angles_costs_one() -> None:
    out, ms = axis(1.0, 0.0, 0.0, 0.0), axis(0.0, 1.0, 0.0, 0.0)
    text_out, text = axis(0.0, 0.0, 1.0, 0.0)[0], axis(0.0, 0.0, 0.0, 1.0)[0]
    assert float(direction_loss(out, ms, ms, text, text, text_out)) == pytest.approx(1, abs=1e-6)


@given(st.integers(0, 10_000), st.floats(0, 2))
@settings(deadline=None, max_examples=60)
def test_it_lies_between_0_and_2_and_its_gradient_is_finite(seed: int, near: float) -> None:
    ms, pan = unit(3, 8, seed=seed), unit(3, 8, seed=seed + 1)
    texts = unit(3, 8, seed=seed + 2)
    out = normalize(ms + near * unit(3, 8, seed=seed + 3), dim=-1).requires_grad_()
    loss = direction_loss(out, ms, pan, *texts)
    torch.autograd.backward(loss.sum())
    assert bool(((loss >= 0) & (loss <= 2)).all())
    assert out.grad is not None and bool(torch.isfinite(out.grad).all())
    assert float(out.grad.norm(dim=-1).max()) <= 1 / LENGTH_FLOOR


def test_an_output_that_is_the_ms_gives_numbers() -> None:
    ms, pan = unit(2, 8, seed=0), unit(2, 8, seed=1)
    out = ms.clone().requires_grad_()
    loss = direction_loss(out, ms, pan, *unit(3, 8, seed=2))
    torch.autograd.backward(loss.sum())
    assert bool(torch.isfinite(loss).all())
    assert out.grad is not None and bool(torch.isfinite(out.grad).all()) and float(out.grad.abs().max()) > 0


def test_equal_prompts_say_nothing() -> None:
    out = unit(2, 8, seed=0).requires_grad_()
    text = unit(8, seed=3)
    loss = direction_loss(out, unit(2, 8, seed=1), unit(2, 8, seed=2), text, text, text)
    torch.autograd.backward(loss.sum())
    assert loss.tolist() == [0, 0]
    assert out.grad is not None and not out.grad.any()


def test_a_prompt_equal_to_that_of_the_output_leaves_the_word_to_the_other() -> None:
    out, ms, pan = unit(1, 8, seed=0), unit(1, 8, seed=1), unit(1, 8, seed=2)
    hrms, text = unit(8, seed=3), unit(8, seed=4)
    cosine = torch.nn.functional.cosine_similarity(out - pan, (hrms - text)[None])
    torch.testing.assert_close(direction_loss(out, ms, pan, hrms, text, hrms), 1 - cosine)


def test_samples_are_judged_one_by_one() -> None:
    out, ms, pan = unit(4, 8, seed=0), unit(4, 8, seed=1), unit(4, 8, seed=2)
    texts = unit(3, 8, seed=3).unbind()
    alone = [direction_loss(out[i : i + 1], ms[i : i + 1], pan[i : i + 1], *texts) for i in range(4)]
    torch.testing.assert_close(direction_loss(out, ms, pan, *texts), torch.cat(alone))


def test_only_the_output_receives_a_gradient_and_following_it_helps() -> None:
    ms, pan = unit(1, 8, seed=1), unit(1, 8, seed=2)
    texts = unit(3, 8, seed=3).unbind()
    free = unit(1, 8, seed=4).requires_grad_()
    optimiser = torch.optim.SGD([free], lr=0.05)
    losses = []
    for _ in range(60):
        loss = direction_loss(normalize(free, dim=-1), ms, pan, *texts).mean()
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    assert losses[-1] < losses[0] - 0.3


@given(st.integers(0, 10_000), st.integers(1, 13))
@settings(deadline=None, max_examples=40)
def test_what_is_wrong_with_three_bands_moves_all_bands_alike(seed: int, bands: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scale = 1 + 99 * torch.rand(bands, 1, 1, generator=generator)
    image = (500 + scale * torch.randn(2, bands, 5, 4, generator=generator)).requires_grad_()
    shown = through_intensity(image, scale)
    assert torch.equal(shown, image)
    torch.autograd.backward((shown[:, :3] ** 2).sum())
    assert image.grad is not None and float(image.grad.abs().min()) > 0
    steps = image.grad * scale
    torch.testing.assert_close(steps, steps[:, :1].expand_as(steps))
