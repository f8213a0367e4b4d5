"""Stage I and its judge: it tells a sharp image from a blurred one, changes nothing else, and is repeatable."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from clippan_models.adaptation.clip_adaptation import ClipAdaptationImages, ClipAdaptationOptions, Judge, adapt_clip
from clippan_models.errors import UsageError
from clippan_models.guidance.embedded import SIDE, build_embedded, embedded_tokenizer
from clippan_models.guidance.encoder import ClipEncoder, ClipIdentity
from clippan_models.guidance.options import STAGE1_TERMS, STEMS, StemKind
from clippan_models.guidance.prompts import PROMPTS, find_prompts

FAST = ClipAdaptationOptions(steps=4, batch=3, stem="rgb")


def make_encoder(native: bool = True) -> ClipEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_embedded()
    return ClipEncoder(model, embedded_tokenizer(), ClipIdentity("random", "embedded", "", SIDE, native))


@pytest.fixture(scope="module")
def encoder() -> ClipEncoder:
    return make_encoder()


def scenes(count: int, side: int = SIDE, bands: int = 4, seed: int = 0) -> ClipAdaptationImages:
    """Smooth colours with fine texture: MS has lost the texture, PAN the colours."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, bands, side // 8, side // 8, generator=generator)
    fine = 0.15 * torch.randn(count, 1, side // 2, side // 2, generator=generator)
    hrms = enlarge(coarse, side) + enlarge(fine, side)
    ms_up = enlarge(nn.functional.avg_pool2d(hrms, 4), side)
    return ClipAdaptationImages(ms_up, hrms.mean(1, keepdim=True), hrms)


def enlarge(image: Tensor, side: int) -> Tensor:
    return nn.functional.interpolate(image, size=(side, side), mode="bicubic")


def digest(module: nn.Module) -> str:
    state = module.state_dict()
    return hashlib.sha256(b"".join(state[k].cpu().numpy().tobytes() for k in sorted(state))).hexdigest()


@pytest.fixture(scope="module")
def judge(encoder: ClipEncoder) -> Judge:
    return adapt_clip(encoder, find_prompts("wald"), scenes(24), ClipAdaptationOptions(steps=100, stem="rgb"))


@pytest.mark.parametrize("term", STAGE1_TERMS)
def test_each_term_of_the_loss_counts(term: str, encoder: ClipEncoder) -> None:
    images, prompts = scenes(6), find_prompts("wald")
    others = tuple(name for name in STAGE1_TERMS if name != term)
    everything = adapt_clip(encoder, prompts, images, FAST)
    without = adapt_clip(encoder, prompts, images, replace(FAST, terms=others))
    alone = adapt_clip(encoder, prompts, images, replace(FAST, terms=(term,)))
    assert digest(without.branches) not in (digest(everything.branches), digest(alone.branches))


def test_the_loss_falls(encoder: ClipEncoder) -> None:
    losses: list[tuple[str, int, int, float]] = []
    adapt_clip(
        encoder,
        find_prompts("wald"),
        scenes(12),
        ClipAdaptationOptions(steps=12, batch=4, lr=5e-3),
        lambda *step: losses.append(step),
    )
    assert [step[:3] for step in losses] == [("CLIP adaptation", i, 12) for i in range(1, 13)]
    assert losses[-1][3] < losses[0][3] - 1


def test_a_sharper_image_goes_more_the_way_of_the_prompt_on_patches_it_has_not_seen(judge: Judge) -> None:
    patches = scenes(8, seed=1)
    ms, pan = judge.embed_ms(patches.ms_up), judge.embed_pan(patches.pan)
    half = (patches.ms_up + patches.hrms) / 2
    blurred, between, sharp = (float(judge.direction(x, ms, pan)) for x in (patches.ms_up, half, patches.hrms))
    assert 0 <= sharp < between < blurred <= 2
    cosines = [float((judge.embed(image) @ judge.text["hrms"]).mean()) for image in (patches.ms_up, patches.hrms)]
    assert cosines[0] < cosines[1]


@pytest.mark.parametrize("native", [True, False])
def test_only_the_output_receives_a_gradient(native: bool) -> None:
    looking = make_encoder(native)
    patches = scenes(2, side=96)
    judge = adapt_clip(looking, find_prompts("wald"), patches, ClipAdaptationOptions(steps=2, batch=2))
    out = ((patches.ms_up + patches.hrms) / 2).requires_grad_()
    ms, pan = judge.embed_ms(patches.ms_up).requires_grad_(), judge.embed_pan(patches.pan).requires_grad_()
    loss = judge.direction(out, ms, pan)
    torch.autograd.backward(loss)
    assert out.grad is not None and bool(torch.isfinite(out.grad).all())
    assert (out.grad.abs().amax((1, 2, 3)) > 0).all()
    assert ms.grad is None and pan.grad is None
    assert all(p.grad is None and not p.requires_grad for p in judge.parameters())
    assert not any(module.training for module in judge.modules())


def test_descending_the_direction_loss_makes_an_image_the_judge_likes_better(judge: Judge) -> None:
    patches = scenes(2, seed=2)
    ms, pan = judge.embed_ms(patches.ms_up), judge.embed_pan(patches.pan)
    out = patches.ms_up.clone().requires_grad_()
    optimiser = torch.optim.Adam([out], lr=2e-3)
    losses = []
    for _ in range(8):
        loss = judge.direction(out, ms, pan)
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize("stem", STEMS)
def test_neither_clip_nor_random_numbers_of_the_caller_are_changed(stem: StemKind, encoder: ClipEncoder) -> None:
    before, state = digest(encoder), torch.random.get_rng_state()
    adapt_clip(encoder, find_prompts("wald"), scenes(3), ClipAdaptationOptions(steps=2, batch=2, stem=stem, nir=3))
    assert digest(encoder) == before
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_same_seed_gives_the_same_judge_and_another_seed_another(encoder: ClipEncoder) -> None:
    images, prompts = scenes(5), find_prompts("wald")

    def made(seed: int, disturbance: int) -> str:
        torch.manual_seed(disturbance)
        return digest(adapt_clip(encoder, prompts, images, ClipAdaptationOptions(steps=3, batch=2, seed=seed)))

    assert made(0, disturbance=1) == made(0, disturbance=2) != made(1, disturbance=1)


def test_without_steps_the_features_are_those_of_clip(encoder: ClipEncoder) -> None:
    patches, prompts = scenes(2), find_prompts("wald")
    judge = adapt_clip(encoder, prompts, patches, ClipAdaptationOptions(steps=0))
    torch.testing.assert_close(judge.embed(patches.hrms), encoder.images(patches.hrms[:, [2, 1, 0]]))
    torch.testing.assert_close(torch.stack(list(judge.text.values())), encoder.texts(prompts.texts()))


def test_types_share_their_branch_unless_told_otherwise(encoder: ClipEncoder) -> None:
    patches = scenes(4)

    def apart(shared: bool) -> float:
        options = ClipAdaptationOptions(steps=6, batch=3, lr=5e-3, shared=shared)
        judge = adapt_clip(encoder, find_prompts("wald"), patches, options)
        return float((judge.embed(patches.hrms) - judge.embed_ms(patches.hrms)).norm(dim=-1).mean())

    assert apart(shared=True) == 0
    assert apart(shared=False) > 0.01


@pytest.mark.parametrize("name", PROMPTS)
def test_every_set_of_prompts_gives_numbers(name: str, encoder: ClipEncoder) -> None:
    assert_numbers(adapt_clip(encoder, find_prompts(name), scenes(3), FAST))


def test_prompts_that_are_all_the_same_give_numbers(encoder: ClipEncoder) -> None:
    prompts = find_prompts("wald").with_hrms("a panchromatic image")
    assert_numbers(adapt_clip(encoder, prompts, scenes(3), ClipAdaptationOptions(steps=0)))
    assert_numbers(adapt_clip(encoder, prompts, scenes(3), FAST))


@pytest.mark.parametrize("shape", [(1, 40, 4), (1, 64, 4), (2, 100, 1), (3, 64, 8)])
def test_scenes_of_any_size_and_number_of_bands_give_numbers(encoder: ClipEncoder, shape: Sequence[int]) -> None:
    patches, side, bands = shape
    rgb = (min(2, bands - 1), min(1, bands - 1), 0)
    judge = adapt_clip(
        encoder, find_prompts("wald"), scenes(patches, side, bands), ClipAdaptationOptions(steps=2, batch=2, rgb=rgb)
    )
    assert_numbers(judge, scenes(2, side, bands, seed=3))


def test_flat_images_give_numbers(encoder: ClipEncoder) -> None:
    flat = ClipAdaptationImages(*(torch.full((2, bands, SIDE, SIDE), 0.5) for bands in (4, 1, 4)))
    assert_numbers(adapt_clip(encoder, find_prompts("wald"), flat, FAST), flat)


def assert_numbers(judge: Judge, patches: ClipAdaptationImages | None = None) -> None:
    patches = patches or scenes(2, seed=3)
    out = patches.ms_up.clone().requires_grad_()
    loss = judge.direction(out, judge.embed_ms(patches.ms_up), judge.embed_pan(patches.pan))
    torch.autograd.backward(loss)
    assert 0 <= float(loss.detach()) <= 2
    assert out.grad is not None and bool(torch.isfinite(out.grad).all())
    assert all(bool(torch.isfinite(value).all()) for value in judge.state_dict().values())


def test_views_of_a_patch_do_not_overlap_and_belong_together() -> None:
    number = torch.arange(2.0 * 130 * 200).reshape(2, 1, 130, 200)
    views = ClipAdaptationImages(number.expand(-1, 4, -1, -1), number, number.expand(-1, 4, -1, -1)).views(64)
    assert views.pan.shape == (2 * 2 * 3, 1, 64, 64)
    assert torch.unique(views.pan).numel() == views.pan.numel()
    assert torch.equal(views.ms_up[:, 2:3], views.pan) and torch.equal(views.hrms[:, :1], views.pan)


def test_a_prompt_too_long_for_the_model_is_refused_before_the_work(encoder: ClipEncoder) -> None:
    with pytest.raises(UsageError, match="tokens"):
        adapt_clip(encoder, find_prompts("wald").with_hrms("fine " * 60), scenes(2), FAST)


@pytest.mark.parametrize("wrong", [{"steps": -1}, {"batch": 0}, {"fresh": 0}, {"lr": 0.0}, {"lr": float("nan")}])
def test_options_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="stage I cannot do"):
        ClipAdaptationOptions(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("fresh", [1, 2, 9])
def test_the_stem_learns_from_the_patches_encoded_again(encoder: ClipEncoder, fresh: int) -> None:
    patches = scenes(4)
    judge = adapt_clip(encoder, find_prompts("wald"), patches, ClipAdaptationOptions(steps=3, batch=3, fresh=fresh))
    shown = judge.branches.show("hrms", patches.hrms)
    assert float((shown - patches.hrms[:, [2, 1, 0]]).detach().abs().max()) > 1e-4


def test_a_callback_may_stop_it(encoder: ClipEncoder) -> None:
    def stop(stage: str, step: int, steps: int, loss: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt_clip(encoder, find_prompts("wald"), scenes(2), FAST, stop)
