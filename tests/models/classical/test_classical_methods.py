"""What every classical method must do, whatever its equations: the questions of a user with a large, flawed scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from clippan_models.classical.exp import ExpFitter
from clippan_models.classical.gsa import GsaFitter
from clippan_models.classical.mtf_glp import MtfGlpFsFitter, MtfGlpHpmRFitter
from clippan_models.classical.sr_d import SrDFitter
from clippan_models.contracts import Fitter, Sharpener, Views, Window
from clippan_models.errors import InputError

Fit = Callable[..., Sharpener]
Make = Callable[..., Any]

ROWS, COLS = (17, 50, 91), (5, 77)  # uneven cuts of the 128 x 128 scene, none on a MS pixel


def test_result_is_float32_and_inputs_stay_as_they_are(views: Views, new_fitter: type[Fitter], fit: Fit) -> None:
    before = [views.ms_up.clone(), views.pan.clone(), views.pan_low.clone()]
    fused = fit(new_fitter(), [views]).sharpen(views)
    assert fused.shape == views.ms_up.shape and fused.dtype == torch.float32
    fused.zero_()  # a caller may round in place
    assert all(torch.equal(a, b) for a, b in zip(before, [views.ms_up, views.pan, views.pan_low], strict=True))


def test_every_method_comes_closer_to_the_sharp_image(
    new_fitter: type[Fitter], fit: Fit, make_city: Make, make_views: Make
) -> None:
    scene, truth = make_city()
    views: Views = make_views(scene)
    fused = fit(new_fitter(), [views]).sharpen(views)
    error, blur = (fused - truth).square().mean().sqrt(), (views.ms_up - truth).square().mean().sqrt()
    assert error < 0.6 * blur or new_fitter is ExpFitter


def test_fitting_tile_by_tile_is_fitting_at_once(
    exact_views: Views, new_fitter: type[Fitter], fit: Fit, cut: Make
) -> None:
    tiles = cut(exact_views, ROWS, COLS, halo=new_fitter().halo)
    whole = fit(new_fitter(), [exact_views]).sharpen(exact_views)
    piecewise = fit(new_fitter(), reversed(list(tiles))).sharpen(exact_views)
    torch.testing.assert_close(piecewise, whole, rtol=0, atol=1e-8)


def test_tiles_of_the_result_agree_to_the_last_bit(views: Views, new_fitter: type[Fitter], fit: Fit, cut: Make) -> None:
    sharpener = fit(new_fitter(), [views])
    whole = sharpener.sharpen(views)
    for tile in cut(views, ROWS, COLS, halo=sharpener.halo):
        inside = Window(tile.pan_window.row, tile.pan_window.col, *tile.core.shape).inside(views.pan_window)
        assert torch.equal(sharpener.sharpen(tile)[:, tile.core], whole[(..., *inside)][:, tile.core])


def poison(views: Views, alter: Make) -> tuple[Views, Views]:
    """The views with a part masked, and the same with NaN in all that is masked."""
    core, ms_core = views.core.clone(), views.ms_core.clone()
    core[30:75, 40:101] = False
    ms_core[8:18, 10:25] = False
    pan_scale = {k: torch.where(core, getattr(views, k), torch.nan) for k in ("ms_up", "pan", "pan_low")}
    ms_names = ("ms", "ms_low", "pan_at_ms", "pan_mtf_at_ms")
    ms_scale = {k: torch.where(ms_core, getattr(views, k), torch.nan) for k in ms_names}
    clean = alter(views, core=core, ms_core=ms_core, valid=core.expand_as(views.valid))
    return clean, alter(clean, **pan_scale, **ms_scale)


def test_masked_pixels_never_influence_the_fit(views: Views, new_fitter: type[Fitter], fit: Fit, alter: Make) -> None:
    clean, poisoned = poison(views, alter)
    expected = fit(new_fitter(), [clean]).sharpen(views)
    found = fit(new_fitter(), [poisoned]).sharpen(views)
    assert torch.equal(found, expected)
    assert new_fitter is ExpFitter or not torch.equal(expected, fit(new_fitter(), [views]).sharpen(views))


def test_scene_without_a_valid_pixel_is_turned_down(
    views: Views, new_fitter: type[Fitter], fit: Fit, alter: Make
) -> None:
    if new_fitter is ExpFitter:
        pytest.skip("interpolation has nothing to fit, so nothing to miss")
    nothing = alter(views, core=views.core & False, ms_core=views.ms_core & False, valid=views.valid & False)
    with pytest.raises(InputError, match="no pixel is valid"):
        fit(new_fitter(), [nothing, nothing])
    with pytest.raises(InputError, match="no pixel is valid"):
        fit(new_fitter(), [])


def test_constant_pan_changes_nothing(views: Views, new_fitter: type[Fitter], fit: Fit, alter: Make) -> None:
    noise = 1 + (torch.rand(views.pan_low.shape, generator=torch.Generator().manual_seed(1)) - 0.5) * 2**-23
    constant = alter(
        views,
        pan=torch.full_like(views.pan, 321.7),
        pan_low=torch.full_like(views.pan_low, 321.7) * noise,  # as filters leave it
        pan_at_ms=torch.full_like(views.pan_at_ms, 321.7) * noise[:, ::4, ::4],
        pan_mtf_at_ms=torch.full_like(views.pan_mtf_at_ms, 321.7),
    )
    assert torch.equal(fit(new_fitter(), [constant]).sharpen(constant), views.ms_up)


@pytest.mark.parametrize("level", [0.0, 250.0])
def test_constant_ms_stays_constant(
    level: float, views: Views, new_fitter: type[Fitter], fit: Fit, alter: Make
) -> None:
    flat = {k: torch.full_like(getattr(views, k), level) for k in ("ms", "ms_up", "ms_low")}
    constant = alter(views, **flat)
    torch.testing.assert_close(fit(new_fitter(), [constant]).sharpen(constant), constant.ms_up)


def test_one_valid_pixel_is_enough_to_answer(views: Views, new_fitter: type[Fitter], fit: Fit, alter: Make) -> None:
    core, ms_core = torch.zeros_like(views.core), torch.zeros_like(views.ms_core)
    core[40, 40] = ms_core[10, 10] = True
    lonely = alter(views, core=core, ms_core=ms_core)
    assert fit(new_fitter(), [lonely]).sharpen(lonely).isfinite().all()


def test_equal_bands_are_sharpened_alike(views: Views, new_fitter: type[Fitter], fit: Fit, alter: Make) -> None:
    names = ("ms", "ms_up", "ms_low", "pan_at_ms", "pan_low")
    twins = alter(views, **{k: getattr(views, k)[:1].expand(4, -1, -1) for k in names})
    fused = fit(new_fitter(), [twins]).sharpen(twins)
    assert fused.isfinite().all()
    assert fused.sub(twins.ms_up).abs().max() < 5 * views.pan.sub(views.pan_low).abs().max()
    torch.testing.assert_close(fused[1:], fused[:1].expand(3, -1, -1), rtol=1e-4, atol=1e-2)


def test_dark_and_negative_pixels_do_not_explode(
    views: Views, new_fitter: type[Fitter], fit: Fit, scaled: Make
) -> None:
    dark = scaled(views, lambda image: image - 400)
    fused = fit(new_fitter(), [dark]).sharpen(dark)
    assert fused.isfinite().all()
    assert fused.abs().max() < 20 * dark.ms_up.abs().max()


@pytest.mark.parametrize("fitter", [MtfGlpFsFitter, MtfGlpHpmRFitter, SrDFitter])
def test_pan_without_detail_gives_back_the_interpolated_ms(
    fitter: type[Fitter], views: Views, fit: Fit, alter: Make
) -> None:
    soft = alter(views, pan=views.pan_low[:1], pan_low=views.pan_low[:1].expand(4, -1, -1))
    torch.testing.assert_close(fit(fitter(), [soft]).sharpen(soft), views.ms_up)


@pytest.mark.parametrize("fitter", [GsaFitter, ExpFitter])
def test_component_substitution_keeps_the_mean_of_each_band(fitter: type[Fitter], exact_views: Views, fit: Fit) -> None:
    fused = fit(fitter(), [exact_views]).sharpen(exact_views)
    torch.testing.assert_close(fused.mean((1, 2)), exact_views.ms_up.mean((1, 2)))


@given(factor=st.floats(1e-3, 1e3))
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_result_scales_with_the_unit_of_dn(
    factor: float, exact_views: Views, new_fitter: type[Fitter], fit: Fit, scaled: Make
) -> None:
    larger = scaled(exact_views, lambda image: image * factor)
    expected: Tensor = fit(new_fitter(), [exact_views]).sharpen(exact_views) * factor
    torch.testing.assert_close(fit(new_fitter(), [larger]).sharpen(larger), expected, rtol=1e-7, atol=1e-7 * factor)


@given(shift=st.floats(-200, 1000))
@settings(max_examples=4, deadline=None)
@pytest.mark.parametrize("fitter", [GsaFitter, MtfGlpFsFitter, SrDFitter])
def test_offset_of_pan_does_not_matter_where_only_its_detail_counts(
    shift: float, fitter: type[Fitter], exact_views: Views, fit: Fit, alter: Make
) -> None:
    brighter = {k: getattr(exact_views, k) + shift for k in ("pan", "pan_low", "pan_at_ms")}
    expected = fit(fitter(), [exact_views]).sharpen(exact_views)
    found_views = alter(exact_views, **brighter)
    torch.testing.assert_close(fit(fitter(), [found_views]).sharpen(found_views), expected, rtol=1e-7, atol=1e-7)
