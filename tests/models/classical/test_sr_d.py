"""Does SR-D build its details from the scene's own patches, within bounds?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from clippan_models.classical import sr_d
from clippan_models.classical.patches import PatchGrid
from clippan_models.classical.sr_d import SrDFitter, SrDSharpener
from clippan_models.contracts import Sampling, Views

Make = Callable[..., Any]
Fit = Callable[..., SrDSharpener]


@pytest.fixture(scope="module")
def large_views(make_scene: Make, make_views: Make, scaled: Make) -> Views:
    views: Views = scaled(make_views(make_scene(4, 80)), torch.Tensor.float)
    return views


@pytest.mark.parametrize(("ratio", "spacing"), [(1.2, 2), (2.0, 2), (3.7, 4), (4.015, 4), (6.0, 6), (20.0, 8)])
def test_patches_follow_the_ratio(ratio: float, spacing: int) -> None:
    grid = PatchGrid.for_ratio(ratio)
    assert grid.spacing == spacing
    assert sum(grid.kernel()) == pytest.approx(1)
    assert len(grid.kernel()) == 2 * grid.reach + 1


def test_fitter_reaches_far_enough_for_every_ratio() -> None:
    for ratio in (2, 3, 4, 6, 8, 12):
        grid = PatchGrid.for_ratio(ratio)
        assert 2 * SrDFitter().halo >= grid.footprint_px


def test_dictionary_does_not_depend_on_the_tiling(
    large_views: Views, fit: Fit, cut: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sr_d, "_RESERVOIR", 60)  # of about 500 patches
    whole = fit(SrDFitter(), [large_views])
    tiles = list(cut(large_views, (33, 100, 250), (61, 190), halo=SrDFitter().halo))
    for order in (tiles, tiles[::-1], tiles[::2] + tiles[1::2]):
        piecewise = fit(SrDFitter(), order)
        assert len(whole.low_atoms) == 60
        torch.testing.assert_close(piecewise.low_atoms, whole.low_atoms, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(piecewise.high_atoms, whole.high_atoms, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("side", "lost"), [(1, range(1)), (4, range(2)), (8, range(9, 99))])
def test_dictionary_holds_no_invalid_pixel(side: int, lost: range, views: Views, fit: Fit, alter: Make) -> None:
    """Single ones have no detail there; patches with more of them, or with one at their centre, are left out."""
    core = views.core.clone()
    core[60 : 60 + side, 60 : 60 + side] = False
    high = torch.where(core, views.pan, 1e6)
    fitted = fit(SrDFitter(), [alter(views, core=core, valid=core.expand_as(views.valid), pan=high)])
    assert 0 < len(fitted.low_atoms)
    assert len(fit(SrDFitter(), [views]).low_atoms) - len(fitted.low_atoms) in lost
    assert fitted.high_atoms.abs().max() < 1e3


def test_scene_smaller_than_a_patch_uses_its_own_pan(views: Views, fit: Fit, cut: Make) -> None:
    small = next(iter(cut(views, (20,), (20,), halo=0)))
    fitted = fit(SrDFitter(), [small])
    assert len(fitted.low_atoms) == 0
    fused = fitted.sharpen(small)
    assert fused.isfinite().all() and not torch.equal(fused, small.ms_up)


@pytest.mark.parametrize("atoms", [1, 3, 10])
def test_detail_of_pan_is_found_again_when_the_bands_are_multiples_of_it(
    atoms: int, views: Views, fit: Fit, alter: Make
) -> None:
    gains = torch.tensor([0.5, 1.0, 2.0, 0.0])[:, None, None]
    same = views.pan_low[:1].expand(4, -1, -1)
    model = alter(views, pan_low=same, ms_up=same * gains)  # then the truth is pan * gains
    fused = fit(SrDFitter(atoms), [model]).sharpen(model)
    torch.testing.assert_close(fused, views.pan * gains, rtol=1e-4, atol=0.05)


@pytest.mark.parametrize("ratio", [2.0, 3.3])
def test_other_ratios_tile_as_well(ratio: float, views: Views, fit: Fit, cut: Make, alter: Make) -> None:
    other = alter(views, sampling=Sampling.area_registered(ratio, 4))
    sharpener = fit(SrDFitter(), [other])
    whole = sharpener.sharpen(other)
    for tile in cut(other, (40, 83), (64,), halo=sharpener.halo):
        row, col = tile.pan_window.row, tile.pan_window.col
        inside = whole[:, row : row + tile.core.shape[0], col : col + tile.core.shape[1]]
        assert torch.equal(sharpener.sharpen(tile)[:, tile.core], inside[:, tile.core])
