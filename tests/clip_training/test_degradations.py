"""Each fault does what its name says, measured by other means than those that made it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.registration import phase_cross_correlation
from torch import Tensor

from clip_training.corpus import draw_crop
from clip_training.degradations import FAULTS, WORK, Crop, as_ms, fused, independent, middle
from clip_training.scenes import synthetic_scene

Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def crop() -> Crop:
    """A built-up place with fields: seed chosen for its many edges."""
    return draw_crop(synthetic_scene(2), np.random.default_rng(1))


def crop_of(bands: Tensor) -> Crop:
    flat = bands.flatten(1)
    pan = bands.mean(0, keepdim=True)
    return Crop(bands, flat.mean(1), flat.std(1) + 1.0, pan, pan.mean()[None], pan.std()[None] + 1.0)


def spoil(family: str, crop: Crop, strength: float, seed: int = 0) -> Tensor:
    return FAULTS[family](crop, strength, np.random.default_rng(seed))


def seen(image: Tensor) -> Array:
    return np.asarray(middle(image).numpy(), np.float64)


def fine_power(image: Tensor) -> float:
    """Mean power above a quarter cycle a pixel, after a window that hides the edges."""
    values = seen(image)
    window = np.hanning(values.shape[-1])
    spectrum = np.abs(np.fft.fft2((values - values.mean((1, 2), keepdims=True)) * window * window[:, None])) ** 2
    frequency = np.abs(np.fft.fftfreq(values.shape[-1]))
    return float(spectrum[:, np.maximum(frequency[:, None], frequency) > 0.25].mean())


def displacement(moved: Tensor, still: Tensor) -> Array:
    found = phase_cross_correlation(moved.numpy(), still.numpy(), upsample_factor=20)  # type: ignore[no-untyped-call]
    return np.asarray(found[0])


def spectral_angle(one: Tensor, other: Tensor) -> float:
    a, b = seen(one).reshape(4, -1), seen(other).reshape(4, -1)
    cosine = (a * b).sum(0) / np.linalg.norm(a, axis=0) / np.linalg.norm(b, axis=0)
    return float(np.degrees(np.arccos(cosine.clip(-1, 1)).mean()))


@pytest.mark.parametrize("family", FAULTS)
def test_every_fault_gives_a_finite_image_and_leaves_the_truth_alone(family: str, crop: Crop) -> None:
    before = crop.bands.clone()
    for seed in range(6):
        spoilt = spoil(family, crop, 1.0, seed)
        assert spoilt.shape == (4, WORK, WORK)
        assert bool(torch.isfinite(spoilt).all())
    assert torch.equal(crop.bands, before)


@pytest.mark.parametrize("family", FAULTS)
def test_a_stronger_fault_is_further_from_the_truth(family: str, crop: Crop) -> None:
    scale = crop.std[:, None, None]
    errors = [
        np.mean(
            [float(middle((spoil(family, crop, s, seed) - crop.bands) / scale).square().mean()) for seed in range(8)]
        )
        for s in (0.2, 0.55, 0.95)
    ]
    assert 0 < errors[0] < errors[1] < errors[2]


def test_blur_takes_fine_detail_away() -> None:
    crop = draw_crop(synthetic_scene(2), np.random.default_rng(1))
    powers = [fine_power(crop.bands), *(fine_power(spoil("blur", crop, s)) for s in (0.1, 0.4, 0.9))]
    assert all(later < 0.5 * earlier for earlier, later in pairwise(powers))


def test_band_blur_takes_fine_detail_from_some_of_the_visible_bands_only() -> None:
    crop = draw_crop(synthetic_scene(2), np.random.default_rng(1))
    for seed in range(8):
        spoilt = spoil("band-blur", crop, 0.9, seed)
        softer = [fine_power(spoilt[[b]]) < 0.2 * fine_power(crop.bands[[b]]) for b in range(4)]
        assert sum(softer) in (1, 2)
        assert torch.equal(spoilt[3], crop.bands[3])


def test_bleeding_colours_are_coarse_and_the_brightness_stays_sharp(crop: Crop) -> None:
    spoilt = (spoil("bleeding", crop, 1.0) - crop.mean[:, None, None]) / crop.std[:, None, None]
    truth = (crop.bands - crop.mean[:, None, None]) / crop.std[:, None, None]
    assert np.allclose(seen(spoilt).mean(0), seen(truth).mean(0), atol=1e-4)
    assert fine_power(spoilt[[2]] - spoilt[[0]]) < 0.1 * fine_power(truth[[2]] - truth[[0]])


def test_misregistered_bands_lie_apart_by_what_a_correlator_finds(crop: Crop) -> None:
    for strength, nearest, farthest in ((0.2, 0.7, 1.5), (0.95, 3.3, 4.4)):
        spoilt = spoil("misregistration", crop, strength)
        places = [displacement(spoilt[b], crop.bands[b]) for b in range(4)]
        spread = max(float(np.hypot(*(a - b))) for a in places for b in places)
        assert nearest < spread < farthest


def test_a_ghost_is_the_detail_of_pan_some_pixels_off(crop: Crop) -> None:
    added = spoil("ghosts", crop, 0.95, seed=3) - crop.bands
    distance = float(np.hypot(*displacement(added[1], crop.pan[0])))
    assert 0.4 < distance < 5.5


def test_noise_is_white_and_as_loud_as_asked(crop: Crop) -> None:
    added = seen(spoil("noise", crop, 0.95, seed=1) - crop.bands) / crop.std.numpy()[:, None, None]
    assert added.std() == pytest.approx(0.65, rel=0.05)
    assert abs(np.corrcoef(added[0, :, 1:].ravel(), added[0, :, :-1].ravel())[0, 1]) < 0.06


def test_aliasing_turns_fine_stripes_into_coarse_ones_and_a_camera_does_not() -> None:
    stripes = 100 + 20 * torch.sin(2 * torch.pi * torch.arange(WORK) / 2.3).expand(4, WORK, WORK)
    coarse = {}
    for name, image in {"aliased": spoil("aliasing", crop_of(stripes), 0.95), "camera": as_ms(stripes)}.items():
        power = np.abs(np.fft.rfft(seen(image)[1, 20] - seen(image)[1, 20].mean())) ** 2
        coarse[name] = power[np.fft.rfftfreq(64) < 0.12].sum()
    assert coarse["aliased"] > 1000 * coarse["camera"]


def test_over_sharpening_leaves_a_light_and_a_dark_rim_along_an_edge() -> None:
    edge = torch.full((4, WORK, WORK), 100.0)
    edge[:, :, WORK // 2 :] = 200.0
    profile = seen(spoil("halos", crop_of(edge), 0.55, seed=0))[0, 30]
    assert profile.max() > 215
    assert profile.min() < 85
    assert profile[0] == pytest.approx(100, abs=1)
    assert profile[-1] == pytest.approx(200, abs=1)


def test_a_seam_is_a_step_across_one_line_in_the_visible_part() -> None:
    flat = crop_of(torch.full((4, WORK, WORK), 100.0))
    for seed in range(10):
        image = seen(spoil("seams", flat, 0.55, seed))[0]
        columns = int((np.abs(np.diff(image, axis=1)) > 1e-4).any(0).sum())
        rows = int((np.abs(np.diff(image, axis=0)) > 1e-4).any(1).sum())
        assert columns <= 1
        assert rows <= 1
        assert columns + rows >= 1


def test_a_cast_shifts_bands_to_different_sides_and_keeps_their_structure(crop: Crop) -> None:
    for seed in range(10):
        spoilt = spoil("cast", crop, 0.95, seed)
        moved = ((spoilt - crop.bands).mean((1, 2)) / crop.std).numpy()
        assert (moved > 0.1).sum() == (moved < -0.1).sum() == 2
        for b in range(4):
            assert np.corrcoef(seen(spoilt)[b].ravel(), seen(crop.bands)[b].ravel())[0, 1] > 0.999


def test_wrong_colours_are_wrong_between_bands_and_not_less_sharp(crop: Crop) -> None:
    for seed in range(6):
        spoilt = spoil("colours", crop, 0.95, seed)
        assert spectral_angle(spoilt.clamp(min=0.01), crop.bands) > 3
        assert fine_power(spoilt) > 0.1 * fine_power(crop.bands)


def test_component_substitution_is_sharp_and_distorts_colours_more_than_a_pyramid(crop: Crop) -> None:
    pyramid = fused(crop, 1.0, np.random.default_rng(0))
    angles = []
    for seed in range(8):
        spoilt = spoil("substitution", crop, 0.95, seed)
        assert fine_power(spoilt) > 3 * fine_power(as_ms(crop.bands))
        angles.append(spectral_angle(spoilt.clamp(min=0.01), crop.bands))
    assert np.mean(angles) > 1.1 * spectral_angle(pyramid, crop.bands)


def test_the_classical_fusion_is_better_than_interpolation_and_worse_than_the_truth(crop: Crop) -> None:
    pyramid, exp = fused(crop, 1.0, np.random.default_rng(0)), as_ms(crop.bands)
    fusion_error = float(middle(pyramid - crop.bands).square().mean())
    assert 0 < fusion_error < 0.5 * float(middle(exp - crop.bands).square().mean())


def test_an_independent_image_does_not_correlate_with_the_place(crop: Crop) -> None:
    found = [
        abs(
            np.corrcoef(seen(independent(crop, 1.0, np.random.default_rng(s)))[1].ravel(), seen(crop.bands)[1].ravel())[
                0, 1
            ]
        )
        for s in range(8)
    ]
    assert np.median(found) < 0.25


@pytest.mark.parametrize("ratio", [2, 3, 4])
def test_ms_stays_where_it_is_whatever_the_ratio_and_the_lag(ratio: int, crop: Crop) -> None:
    for lag in range(ratio):
        ms = as_ms(crop.bands, ratio, 0.3, lag)
        assert np.abs(displacement(middle(ms)[1], middle(crop.bands)[1])).max() <= 0.15


def test_ms_keeps_a_slow_wave_by_the_gain_of_its_gaussian() -> None:
    period = 32  # a quarter of the MS Nyquist frequency at ratio 4: gain 0.3 there is 0.3 ** (1 / 16) here
    wave = 100 + 10 * torch.sin(2 * torch.pi * torch.arange(WORK) / period).expand(4, WORK, WORK)
    profile = seen(as_ms(wave, 4, 0.3))[0, 32]
    amplitude = 2 * np.abs(np.fft.rfft(profile))[64 // period] / 64
    assert amplitude == pytest.approx(10 * 0.3 ** (1 / 16), rel=0.02)
