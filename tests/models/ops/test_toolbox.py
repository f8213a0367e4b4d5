"""Does resampling put pixels where the toolbox puts them, and do its filters do what filters should?"""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from clippan_models.ops import toolbox


@pytest.fixture
def image() -> Tensor:
    return torch.rand(3, 24, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2000


@pytest.mark.parametrize("ratio", [1, 2, 4, 8])
def test_interpolation_keeps_the_samples_where_decimation_takes_them(ratio: int, image: Tensor) -> None:
    up = toolbox.interp23(image, ratio)
    assert up.shape == (3, ratio * 24, ratio * 40)
    assert torch.equal(toolbox.decimate(up, ratio), image)


@pytest.mark.parametrize("ratio", [2, 4, 8])
def test_interpolation_follows_a_slow_wave(ratio: int) -> None:
    def wave(row: Tensor, col: Tensor) -> Tensor:
        return torch.sin(2 * math.pi * row / 16)[:, None] * torch.cos(2 * math.pi * col / 32 + 1)[None, :]

    rows, cols = torch.arange(16).double(), torch.arange(32).double()
    fine_rows, fine_cols = torch.arange(16 * ratio).double(), torch.arange(32 * ratio).double()
    expected = wave((fine_rows - ratio / 2) / ratio, (fine_cols - ratio / 2) / ratio)
    up = toolbox.interp23(wave(rows, cols)[None], ratio)[0]
    assert torch.allclose(up, expected, atol=1e-3)


def test_interpolation_is_circular(image: Tensor) -> None:
    rolled = toolbox.interp23(image.roll((5, -7), dims=(1, 2)), 4)
    assert torch.equal(rolled, toolbox.interp23(image, 4).roll((20, -28), dims=(1, 2)))


@pytest.mark.parametrize("ratio", [2, 4, 8, 16])
def test_interpolation_looks_no_further_than_it_says(ratio: int) -> None:
    impulse = torch.zeros(1, 1, 64)
    impulse[0, 0, 32] = 1
    touched = toolbox.interp23(impulse, ratio)[0].abs().sum(dim=0).nonzero()[:, 0] // ratio
    assert 32 - touched.min() <= toolbox.interp23_halo(ratio) and touched.max() - 32 <= toolbox.interp23_halo(ratio)


def test_interpolation_accepts_images_smaller_than_its_kernel() -> None:
    assert torch.allclose(toolbox.interp23(torch.full((1, 1, 2), 700.0), 4), torch.tensor(700.0).double(), rtol=1e-8)


@pytest.mark.parametrize("ratio", [0, 3, 6])
def test_interpolation_refuses_what_it_cannot_double(ratio: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        toolbox.interp23(torch.zeros(1, 4, 4), ratio)


@pytest.mark.parametrize("ratio", [2, 3, 4])
def test_reduced_pixels_lie_in_the_middle_of_what_they_cover(ratio: int) -> None:
    ramp = torch.arange(24.0 * ratio).expand(1, 8 * ratio, -1)
    reduced = toolbox.imresize_bicubic(ramp, 1 / ratio)
    assert reduced.shape == (1, 8, 24)
    expected = ratio * torch.arange(24).double() + (ratio - 1) / 2
    assert torch.allclose(reduced[0, 0, 3:-3], expected[3:-3], rtol=1e-12)


def test_reduction_agrees_with_torch_away_from_the_border(image: Tensor) -> None:
    ours = toolbox.imresize_bicubic(image, 1 / 4)
    theirs = interpolate(image[None], scale_factor=1 / 4, mode="bicubic", antialias=True)[0]
    assert torch.allclose(ours[:, 2:-2, 2:-2], theirs[:, 2:-2, 2:-2], rtol=1e-6)


def test_reduction_sees_a_mirror_beyond_the_border(image: Tensor) -> None:
    around = torch.from_numpy(np.pad(image.numpy(), ((0, 0), (16, 16), (16, 16)), mode="symmetric"))
    wide = toolbox.imresize_bicubic(around, 1 / 4)[:, 4:-4, 4:-4]
    assert torch.allclose(toolbox.imresize_bicubic(image, 1 / 4), wide, rtol=1e-12)


def test_a_reduction_that_does_not_divide_rounds_the_size_up() -> None:
    assert toolbox.imresize_bicubic(torch.ones(1, 9, 12), 1 / 4).shape == (1, 3, 3)
    assert toolbox.imresize_bicubic(torch.ones(1, 9, 12), 1 / 3).shape == (1, 3, 4)


def test_low_resolution_pan_lies_half_a_pixel_further_than_pan() -> None:
    ramp = torch.arange(128.0).expand(1, 64, -1)
    there_and_back = toolbox.interp23(toolbox.imresize_bicubic(ramp, 1 / 4), 4)
    assert float(there_and_back[0, 30, 64]) == pytest.approx(63.5, abs=1e-6)


@pytest.mark.parametrize(("gain", "level"), [(0.35, 0.9989), (0.30, 0.9987), (0.23, 0.9985), (0.15, 0.9980)])
def test_the_mtf_kernel_is_slightly_darker_than_it_should_be(gain: float, level: float) -> None:
    kernel = toolbox.mtf_kernels((gain,), 4)[0]
    assert kernel.shape == (41, 41)
    assert float(kernel.sum()) == pytest.approx(level, abs=1e-4)


@pytest.mark.parametrize("gain", [0.15, 0.22, 0.30, 0.36])
@pytest.mark.parametrize("ratio", [2, 4])
def test_the_mtf_kernel_has_the_gain_asked_for_at_ms_nyquist(gain: float, ratio: int) -> None:
    kernel = toolbox.mtf_kernels((gain,), ratio)[0]
    wave = torch.cos(math.pi / ratio * torch.arange(-20, 21).double())
    assert float(kernel.sum(dim=0) @ wave) == pytest.approx(gain ** ((41 / 40) ** 2), rel=0.01)
    assert torch.allclose(kernel, kernel.T) and torch.allclose(kernel, kernel.flip(0))


def test_the_mtf_kernel_of_a_caller_is_its_own() -> None:
    toolbox.mtf_kernels((0.3,), 4).zero_()
    assert float(toolbox.mtf_kernels((0.3,), 4).sum()) > 0.9


def test_mtf_filter_agrees_with_scipy(image: Tensor) -> None:
    gains = (0.34, 0.30, 0.22)
    blurred = toolbox.mtf_filter(image, gains, 4)
    for band, gain, result in zip(image, gains, blurred, strict=True):
        kernel = toolbox.mtf_kernels((gain,), 4)[0].numpy()
        expected = scipy.ndimage.correlate(band.numpy(), kernel, mode="nearest")
        assert np.allclose(result.numpy(), expected, rtol=1e-12)


def test_correlation_does_not_flip_the_kernel() -> None:
    generator = torch.Generator().manual_seed(2)
    image, kernel = torch.rand(1, 20, 31, generator=generator), torch.rand(1, 4, 3, generator=generator)
    expected = torch.nn.functional.conv2d(image[None].double(), kernel[None].double())[0]
    assert torch.allclose(toolbox.correlate(image, kernel), expected, rtol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_mirror_agrees_with_numpy(size: int) -> None:
    index = toolbox.mirror(torch.arange(-11, size + 11), size)
    assert index.tolist() == np.pad(np.arange(size), 11, mode="symmetric").tolist()


def test_gradients_pass_through() -> None:
    image = torch.rand(1, 8, 8, dtype=torch.float64, requires_grad=True)
    there_and_back = toolbox.imresize_bicubic(toolbox.mtf_filter(toolbox.interp23(image, 4), (0.3,), 4), 1 / 4)
    there_and_back.sum().backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None and float(image.grad.sum()) == pytest.approx(64, rel=0.01)
