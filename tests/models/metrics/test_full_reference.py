"""Do the indices with a reference reward what they should, and agree with other people's programs?"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clippan_models.errors import InputError
from clippan_models.metrics.ergas import ergas
from clippan_models.metrics.psnr import psnr, psnr_global
from clippan_models.metrics.q2n import block_q2n, q2n
from clippan_models.metrics.q_avg import q_avg
from clippan_models.metrics.sam import sam
from clippan_models.metrics.scc import scc
from clippan_models.metrics.ssim import ssim
from clippan_models.metrics.uiqi import uiqi

Index = Callable[[Tensor, Tensor], float]


def mean_uiqi(reference: Tensor, fused: Tensor) -> float:
    return float(uiqi(reference, fused).mean())


QUALITIES: dict[str, Index] = {
    "Q2n": q2n,
    "Q_avg": q_avg,
    "Q": mean_uiqi,
    "SSIM": partial(ssim, peak=2047),
    "SCC": scc,
}
ERRORS: dict[str, Index] = {"SAM": sam, "ERGAS": partial(ergas, ratio=4)}
DECIBELS: dict[str, Index] = {"PSNR": partial(psnr, peak=2047), "PSNR global": partial(psnr_global, peak=2047)}


def random_image(seed: int, bands: int = 4, height: int = 64, width: int = 64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(bands, height, width, generator=generator, dtype=torch.float64) * 1500 + 100).round()


@pytest.mark.parametrize("name", QUALITIES)
def test_an_equal_image_has_quality_one(name: str) -> None:
    image = random_image(0)
    assert QUALITIES[name](image, image.clone()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", ERRORS)
def test_an_equal_image_has_no_error(name: str) -> None:
    image = random_image(0)
    assert ERRORS[name](image, image.clone()) == pytest.approx(0, abs=1e-5)  # acos near 1 keeps half the digits


@pytest.mark.parametrize("name", DECIBELS)
def test_an_equal_image_has_infinite_psnr(name: str) -> None:
    image = random_image(0)
    assert DECIBELS[name](image, image.clone()) == math.inf


@pytest.mark.parametrize("name", [*QUALITIES, *ERRORS, *DECIBELS])
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1000))
def test_more_noise_is_worse(name: str, seed: int) -> None:
    image, noise = random_image(seed), random_image(seed + 1) - 850
    index = (QUALITIES | ERRORS | DECIBELS)[name]
    values = [index(image, (image + share * noise).clamp(min=0)) for share in (0.05, 0.2, 0.8)]
    assert values == sorted(values, reverse=name not in ERRORS)


@pytest.mark.parametrize("name", QUALITIES)
def test_quality_never_leaves_its_range(name: str) -> None:
    assert -1 <= QUALITIES[name](random_image(3), 1600 - random_image(3)) <= 1


def test_inputs_are_not_changed(make_scene: Any) -> None:
    scene = make_scene(4)
    truth, fused = scene.truth.clone(), scene.fused.clone()
    for index in (QUALITIES | ERRORS | DECIBELS).values():
        index(truth, fused)
    assert torch.equal(truth, scene.truth) and torch.equal(fused, scene.fused)


def test_ssim_and_psnr_agree_with_scikit_image(make_scene: Any) -> None:
    skimage = pytest.importorskip("skimage.metrics")
    scene = make_scene(4)
    pairs = list(zip(scene.truth.numpy(), scene.fused.numpy(), strict=True))
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 2047}
    assert ssim(scene.truth, scene.fused, 2047) == pytest.approx(
        np.mean([skimage.structural_similarity(x, y, **gaussian) for x, y in pairs]), rel=1e-12
    )
    assert psnr(scene.truth, scene.fused, 2047) == pytest.approx(
        np.mean([skimage.peak_signal_noise_ratio(x, y, data_range=2047) for x, y in pairs]), rel=1e-12
    )


def test_sam_and_ergas_agree_with_torchmetrics(make_scene: Any, oracle: Any) -> None:
    torchmetrics = oracle("torchmetrics.functional.image")
    scene = make_scene(8)
    truth, fused = scene.truth[None], scene.fused[None]
    radians = torchmetrics.spectral_angle_mapper(fused, truth)
    assert sam(scene.truth, scene.fused) == pytest.approx(math.degrees(radians), rel=1e-9)
    relative = torchmetrics.error_relative_global_dimensionless_synthesis(fused, truth, ratio=4)
    assert ergas(scene.truth, scene.fused, 4) == pytest.approx(float(relative), rel=1e-9)


def test_q_avg_is_the_mean_of_q_over_all_positions() -> None:
    image, fused = random_image(1, 2, 36, 34), random_image(2, 2, 36, 34)
    cuts = [(slice(None), slice(row, row + 32), slice(col, col + 32)) for row in range(5) for col in range(3)]
    expected = np.mean([mean_uiqi(image[cut], fused[cut]) for cut in cuts])
    assert q_avg(image, fused) == pytest.approx(expected, rel=1e-9)


def test_sam_leaves_out_pixels_without_a_spectrum() -> None:
    reference = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]])
    fused = torch.tensor([[[1.0, 5.0]], [[1.0, 5.0]]])
    assert sam(reference, fused) == pytest.approx(45)
    assert sam(torch.zeros(2, 3, 3), torch.ones(2, 3, 3)) == 0


def test_ergas_refuses_a_reference_without_level() -> None:
    with pytest.raises(InputError, match="mean 0"):
        ergas(torch.zeros(2, 4, 4), torch.ones(2, 4, 4), 4)


def test_scc_of_images_without_edges() -> None:
    empty = torch.zeros(1, 8, 8)
    assert scc(empty, empty) == 1
    assert scc(empty, random_image(0, 1, 8, 8)) == 0


def test_flat_blocks_give_numbers() -> None:
    flat, brighter, noisy = torch.full((4, 32, 32), 500.0), torch.full((4, 32, 32), 800.0), random_image(0, 4, 32, 32)
    for index in (q2n, mean_uiqi, q_avg):
        assert index(flat, flat) == pytest.approx(1)
        assert 0 <= index(flat, brighter) < 1
        assert abs(index(flat, noisy)) < 1e-6
        assert index(torch.zeros(4, 32, 32), torch.zeros(4, 32, 32)) == 1


def test_two_flat_blocks_score_the_closeness_of_their_means() -> None:
    q = uiqi(torch.full((1, 32, 32), 500.0), torch.full((1, 32, 32), 1000.0))
    assert float(q) == pytest.approx(0.8)


@settings(max_examples=20, deadline=None)
@given(gain=st.floats(0.1, 10), seed=st.integers(0, 100))
def test_q_is_symmetric_and_blind_to_a_common_gain(gain: float, seed: int) -> None:
    x, y = random_image(seed, 2), random_image(seed + 1, 2)
    q = uiqi(x, y)
    assert torch.allclose(uiqi(y, x), q, rtol=1e-9)
    assert torch.allclose(uiqi(gain * x, gain * y), q, rtol=1e-9)


def test_q_can_be_learned_from() -> None:
    image = torch.full((1, 32, 32), 0.5, dtype=torch.float64, requires_grad=True)
    uiqi(image, random_image(0, 1, 32, 32)).sum().backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None and bool(image.grad.isfinite().all())


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 8])
def test_q2n_takes_any_number_of_bands(bands: int) -> None:
    image = random_image(4, bands)
    assert q2n(image, image) == pytest.approx(1)
    assert q2n(image, 0.5 * image + 400) < 0.9


def test_q2n_of_one_band_is_q() -> None:
    x = random_image(5, 1)
    y = (x + 0.1 * random_image(6, 1)).round()
    normalised = block_q2n(x.reshape(1, 1, -1), y.reshape(1, 1, -1))
    # Q2n first brings the reference to mean 1 and deviation 1, which is Q after the same change of both images.
    mean, deviation = x.mean(), x.std()
    expected = uiqi((x - mean) / deviation + 1, (y - mean) / deviation + 1, block=64)
    assert float(normalised) == pytest.approx(float(expected), rel=1e-9)


def test_q2n_sees_a_change_in_one_band_only() -> None:
    image = random_image(7)
    changed = image.clone()
    changed[2] = random_image(8)[2]
    assert 0.5 < q2n(image, changed) < 0.95


def test_q2n_counts_in_digital_numbers() -> None:
    image = random_image(9)
    assert q2n(image, image + 0.4) == pytest.approx(1)
    assert q2n(image, image - 1e6) < 0.1  # clipped to 0, not wrapped around


def test_q2n_of_a_size_that_does_not_divide_mirrors_the_rest() -> None:
    image, fused = random_image(10, height=40, width=70), random_image(11, height=40, width=70)
    grown, fused_grown = (
        torch.from_numpy(np.pad(x.numpy(), ((0, 0), (0, 24), (0, 26)), mode="symmetric")) for x in (image, fused)
    )
    assert q2n(image, fused) == pytest.approx(q2n(grown, fused_grown), rel=1e-12)


def test_blocks_must_divide_the_image() -> None:
    with pytest.raises(ValueError, match="40 x 64"):
        uiqi(torch.zeros(1, 40, 64), torch.zeros(1, 40, 64))
