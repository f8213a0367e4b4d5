"""How the images were made: is a known blur, shift and spectral response found, and nothing where there is nothing?"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from clippan_models.contracts import Observation, Sampling, Tile, Window
from clippan_models.observation import estimate_observation, shift_drift
from clippan_models.ops.resample import decimate

WEIGHTS = (0.2, 0.3, 0.4, 0.1)
SIDE, RATIO = 256, 4


def textured(bands: int = 4, seed: int = 0) -> torch.Tensor:
    """Bands that share edges but not contrast: sums of smooth blobs and checks."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.nn.functional.interpolate(
        torch.rand(1, 6, SIDE // 4, SIDE // 4, generator=generator), size=(SIDE, SIDE), mode="bicubic"
    )[0]
    fine = torch.nn.functional.interpolate(
        torch.rand(1, 6, SIDE, SIDE, generator=generator), size=(SIDE, SIDE), mode="nearest"
    )[0]
    mix = torch.rand(bands, 6, generator=generator) + 0.3
    return 300 + 600 * torch.einsum("bk,khw->bhw", mix, base + 0.2 * fine)


def scene(shifts: list[tuple[float, float]], gain: float, *, noise_pan: bool = False) -> Tile:
    truth = textured()
    sampling = Sampling.area_registered(RATIO, 4).shifted([s[0] for s in shifts], [s[1] for s in shifts])
    count = SIDE // RATIO
    pan_window, inner = Window(0, 0, SIDE, SIDE), Window(5, 5, count - 10, count - 10)
    ms = decimate(truth, pan_window, inner, sampling, (gain,) * 4)
    pan = sum(w * b for w, b in zip(WEIGHTS, truth, strict=True))
    assert isinstance(pan, torch.Tensor)
    if noise_pan:
        pan = 500 + 100 * torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(9))
    everywhere = torch.ones(1, SIDE, SIDE, dtype=torch.bool)
    return Tile(
        ms=ms,
        ms_valid=torch.ones_like(ms, dtype=torch.bool),
        pan=pan[None],
        pan_valid=everywhere,
        valid=everywhere.expand(4, -1, -1),
        ms_window=inner,
        pan_window=pan_window,
        core=pan_window,
    )


NOMINAL = Observation(Sampling.area_registered(RATIO, 4), (0.3,) * 4, 0.15)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.5, 0.5), (-1.2, 0.7), (1.5, -1.4)])
def test_a_common_shift_is_found_to_a_tenth_of_a_pixel(shift: tuple[float, float]) -> None:
    _, found = estimate_observation([scene([shift] * 4, 0.3)], NOMINAL)
    for y, x in zip(found.shift_y, found.shift_x, strict=True):
        assert (y, x) == pytest.approx(shift, abs=0.1)


def test_bands_that_differ_get_shifts_of_their_own() -> None:
    shifts = [(0.0, 0.0), (0.4, -0.3), (-0.5, 0.2), (1.1, 0.9)]
    _, found = estimate_observation([scene(shifts, 0.3)], NOMINAL)
    for band, shift in enumerate(shifts):
        assert (found.shift_y[band], found.shift_x[band]) == pytest.approx(shift, abs=0.25)


@pytest.mark.parametrize("gain", [0.15, 0.3, 0.5])
def test_the_blur_is_read_off_the_pair(gain: float) -> None:
    model, found = estimate_observation([scene([(0.3, 0.2)] * 4, gain)], NOMINAL)
    assert found.blur_estimated or gain == 0.3
    assert model.ms_gain == pytest.approx((gain,) * 4, abs=0.03)


def test_the_spectral_response_of_pan_is_found() -> None:
    model, _ = estimate_observation([scene([(0.0, 0.0)] * 4, 0.3)], NOMINAL)
    assert model.pan_weights == pytest.approx(WEIGHTS, abs=0.05)
    assert model.pan_r2 > 0.99


def test_detail_that_pan_alone_sees_does_not_pass_for_blur() -> None:
    tile = scene([(0.0, 0.0)] * 4, 0.3)
    unseen = torch.randn(1, 1, SIDE // RATIO, SIDE // RATIO, generator=torch.Generator().manual_seed(5))
    unseen = torch.nn.functional.interpolate(unseen, scale_factor=RATIO)[0] * 0.57 * tile.pan.std()
    model, _ = estimate_observation([replace(tile, pan=tile.pan + unseen)], NOMINAL)
    assert 0.8 < model.pan_r2 < 0.95
    assert model.ms_gain == pytest.approx((0.3,) * 4, abs=0.025)


def test_an_uncertain_blur_lies_between_the_estimate_and_the_sensors() -> None:
    tile = scene([(0.0, 0.0)] * 4, 0.7)
    unseen = torch.randn(1, 1, SIDE // RATIO, SIDE // RATIO, generator=torch.Generator().manual_seed(5))
    unseen = torch.nn.functional.interpolate(unseen, scale_factor=RATIO)[0] * 0.45 * tile.pan.std()
    model, _ = estimate_observation([replace(tile, pan=tile.pan + unseen)], replace(NOMINAL, ms_gain=(0.2,) * 4))
    assert 0.8 < model.pan_r2 < 0.95
    assert 0.2 < model.ms_gain[0] < 0.5 and model.pan_weights is not None


def test_nothing_is_found_where_pan_is_noise() -> None:
    model, found = estimate_observation([scene([(1.0, 1.0)] * 4, 0.3, noise_pan=True)], NOMINAL)
    assert found.shift_y == found.shift_x == (0.0,) * 4
    assert not found.blur_estimated
    assert model.pan_weights is None


def test_constant_images_are_left_where_they_are() -> None:
    tile = scene([(0.0, 0.0)] * 4, 0.3)
    flat = Tile(**{**tile.__dict__, "ms": torch.full_like(tile.ms, 100.0), "pan": torch.full_like(tile.pan, 300.0)})
    model, found = estimate_observation([flat], NOMINAL)
    assert found.shift_y == (0.0,) * 4
    assert model.ms_gain == NOMINAL.ms_gain
    assert all(math.isfinite(c) for c in found.correlation)


def test_invalid_pixels_do_not_matter() -> None:
    tile = scene([(0.6, -0.4)] * 4, 0.3)
    hole = torch.ones_like(tile.pan_valid)
    hole[:, 40:120, 60:150] = False
    spoilt = torch.where(hole, tile.pan, torch.full_like(tile.pan, 65535.0))
    masked = Tile(**{**tile.__dict__, "pan": spoilt, "pan_valid": hole, "valid": hole.expand(4, -1, -1)})
    _, found = estimate_observation([masked], NOMINAL)
    assert (found.shift_y[0], found.shift_x[0]) == pytest.approx((0.6, -0.4), abs=0.1)


def test_coregistration_can_be_turned_off() -> None:
    model, found = estimate_observation([scene([(0.6, -0.4)] * 4, 0.3)], NOMINAL, coregister=False)
    assert model.sampling == NOMINAL.sampling
    assert found.shift_y == (0.0,) * 4


def part(row: int, col: int, shift: tuple[float, float]) -> Tile:
    """A piece of a larger scene whose MS lies so many PAN pixels off there."""
    place = Window(row, col, SIDE, SIDE)
    return replace(scene([shift] * 4, 0.3), core=place)


@pytest.mark.parametrize("slope", [0.0, 0.001, 0.004])
def test_a_shift_that_varies_is_measured(slope: float) -> None:
    tiles = [part(r, c, (slope * (r - 500), -slope * (c - 500))) for r in (0, 500, 1000) for c in (0, 500, 1000)]
    assert shift_drift(tiles, NOMINAL) == pytest.approx(slope * 1000 * math.sqrt(2), abs=0.1)


def test_one_place_that_differs_is_no_drift() -> None:
    odd = [part(r, c, (1.5 * (r == c == 0), 0.0)) for r in (0, 500, 1000) for c in (0, 500, 1000)]
    assert shift_drift(odd, NOMINAL) < 0.1
    assert shift_drift(odd[:4], NOMINAL) == 0
