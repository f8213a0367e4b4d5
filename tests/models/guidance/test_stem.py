"""Stems: what CLIP is shown of any number of bands."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from clippan_models.errors import UsageError
from clippan_models.guidance.options import STEMS, StemKind
from clippan_models.guidance.stem import ConvStem, build_stem, repeat_pan


def image(bands: int = 4, seed: int = 0) -> Tensor:
    return torch.rand(2, bands, 12, 9, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 9), st.sampled_from(STEMS), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_any_number_of_bands_becomes_three_finite_channels(bands: int, kind: StemKind, seed: int) -> None:
    x = image(bands, seed)
    shown = build_stem(kind, (bands - 1, bands // 2, 0), x, nir=bands - 1)(x)
    assert shown.shape == (2, 3, 12, 9) and bool(torch.isfinite(shown).all())


@pytest.mark.parametrize("kind", ["conv", "rgb"])
def test_before_it_has_learnt_red_green_and_blue_are_shown_as_they_are(kind: StemKind) -> None:
    x = image(8) - 0.3  # values outside 0 .. 1 must pass
    torch.testing.assert_close(build_stem(kind, (4, 2, 1), x)(x), x[:, [4, 2, 1]])


def test_gbnir_shows_green_blue_and_near_infrared_and_needs_one() -> None:
    x = image(4)
    torch.testing.assert_close(build_stem("gbnir", (2, 1, 0), x, nir=3)(x), x[:, [1, 0, 3]])
    with pytest.raises(UsageError, match="needs a near infrared band"):
        build_stem("gbnir", (2, 1, 0), x)


def test_an_unknown_stem_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="available: conv, pca, rgb, gbnir"):
        build_stem("cnov", (2, 1, 0), image())  # type: ignore[arg-type]


def test_principal_components_are_uncorrelated_and_fill_the_unit_range() -> None:
    x = image(6) @ torch.rand(9, 9, generator=torch.Generator().manual_seed(1))
    shown = build_stem("pca", (2, 1, 0), x)(x).transpose(0, 1).flatten(1)
    torch.testing.assert_close(shown.mean(1), torch.full((3,), 0.5), atol=1e-3, rtol=0)
    torch.testing.assert_close(torch.cov(shown, correction=0), 0.04 * torch.eye(3), atol=1e-3, rtol=0)


def test_principal_components_of_one_flat_band_are_numbers() -> None:
    flat = torch.full((1, 1, 8, 8), 0.5)
    torch.testing.assert_close(build_stem("pca", (0, 0, 0), flat)(flat), torch.full((1, 3, 8, 8), 0.5))


def test_only_the_convolution_learns_and_all_of_it() -> None:
    assert [kind for kind in STEMS if list(build_stem(kind, (2, 1, 0), image(), 3).parameters())] == ["conv"]
    stem = ConvStem(4, (2, 1, 0))
    optimiser = torch.optim.Adam(stem.parameters(), lr=1e-2)
    before = [p.detach().clone() for p in stem.parameters()]
    target = torch.rand(2, 3, 12, 9, generator=torch.Generator().manual_seed(5))
    for _ in range(3):
        optimiser.zero_grad()
        torch.autograd.backward(nn.functional.mse_loss(stem(image()), target))
        optimiser.step()
    assert all(not torch.equal(old, new) for old, new in zip(before, stem.parameters(), strict=True))


def test_a_patch_is_shown_the_same_whoever_is_beside_it() -> None:
    stem = ConvStem(4, (2, 1, 0)).train()
    nn.init.normal_(stem.residual[-1].weight)  # type: ignore[arg-type]
    x = image()
    torch.testing.assert_close(stem(x)[:1], stem(x[:1]))


def test_pan_is_grey() -> None:
    shown = repeat_pan(image(1))
    assert shown.shape == (2, 3, 12, 9) and torch.equal(shown[:, 0], shown[:, 2])
