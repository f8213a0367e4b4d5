"""Between the grids: do samples land where they belong, whatever the ratio, the phase and the tile?"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from clippan_models.contracts import Sampling, Window
from clippan_models.ops.resample import blur_radius, coverage, decimate, upsample

RATIOS = [2.0, 4.0, 2.00011, 4.015, 3.7, 6.0]


def plane(rows: np.ndarray, cols: np.ndarray) -> torch.Tensor:
    """A slanted plane over scene coordinates, `[1, h, w]`."""
    return torch.from_numpy((100 + 2.0 * rows[:, None] - 0.5 * cols)[None].astype(np.float32))


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("phase", [0.0, 1.5, -0.73])
def test_a_plane_is_interpolated_where_it_lies(ratio: float, phase: float) -> None:
    sampling = Sampling(ratio, ratio, (phase,), (phase,))
    index = np.arange(-8, 42)
    ms = plane(phase + ratio * index, phase + ratio * index)
    pan_window = Window(5, 9, 40, 50)
    up = upsample(ms, Window(-8, -8, 50, 50), pan_window, sampling)
    expected = plane(np.arange(5, 45), np.arange(9, 59))
    # Lanczos ripples on a slope, by less than 3 % of its rise per MS pixel; half a PAN pixel out of place would be 12 %
    torch.testing.assert_close(up, expected, atol=0.03 * 2.5 * ratio, rtol=0)


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_plane_is_decimated_where_it_lies(ratio: float) -> None:
    sampling = Sampling(ratio, ratio, (1.3,), (0.4,))
    pan = plane(np.arange(-60, 140), np.arange(-60, 140))
    low = decimate(pan, Window(-60, -60, 200, 200), Window(2, 3, 6, 7), sampling, (0.3,))
    expected = plane(1.3 + ratio * np.arange(2, 8), 0.4 + ratio * np.arange(3, 10))
    torch.testing.assert_close(low, expected, atol=1e-3, rtol=1e-5)


def test_the_blur_has_the_gain_it_is_named_after() -> None:
    """A wave at the MS Nyquist frequency loses exactly the gain."""
    ratio, gain = 4, 0.28
    x = np.arange(400)
    wave = torch.from_numpy(np.cos(np.pi * x / ratio)[None, None].repeat(400, 1).astype(np.float32))
    sampling = Sampling(ratio, ratio, (0.0,), (0.0,))
    low = decimate(wave, Window(0, 0, 400, 400), Window(30, 30, 20, 20), sampling, (gain,))
    assert float(low.abs().max()) == pytest.approx(gain, rel=2e-3)


def test_the_blur_is_scipys_gaussian() -> None:
    rng = np.random.default_rng(0)
    pan = rng.normal(500, 100, (120, 120)).astype(np.float32)
    gain, ratio = 0.3, 4
    sigma = ratio * math.sqrt(-2 * math.log(gain)) / math.pi
    expected = gaussian_filter(pan.astype(np.float64), sigma, truncate=6)[2::4, 2::4][8:20, 8:20]
    sampling = Sampling(ratio, ratio, (2.0,), (2.0,))
    low = decimate(torch.from_numpy(pan)[None], Window(0, 0, 120, 120), Window(8, 8, 12, 12), sampling, (gain,))
    np.testing.assert_allclose(low[0].numpy(), expected, rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    row=st.integers(-20, 300),
    col=st.integers(-20, 300),
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    ratio=st.sampled_from(RATIOS),
)
def test_a_pixel_has_the_same_bits_in_every_window(row: int, col: int, height: int, width: int, ratio: float) -> None:
    sampling = Sampling(ratio, ratio, (0.31,), (-0.2,))
    ms_window = Window(-20, -20, 300, 300)
    ms = torch.rand((1, 300, 300), generator=torch.Generator().manual_seed(1)) * 2047
    whole_window = Window(-20, -20, 520, 520)
    whole = upsample(ms, ms_window, whole_window, sampling)
    part_window = Window(row, col, height, width)
    part = upsample(ms, ms_window, part_window, sampling)
    assert torch.equal(part, whole[:, *part_window.inside(whole_window)])


def test_bands_keep_their_own_phase() -> None:
    sampling = Sampling(4.0, 4.0, (1.5, 1.5, 2.5), (1.5, 0.5, 1.5))
    index = np.arange(0, 20)
    ms = torch.cat(
        [plane(py + 4 * index, px + 4 * index) for py, px in zip(sampling.phase_y, sampling.phase_x, strict=True)]
    )
    up = upsample(ms, Window(0, 0, 20, 20), Window(20, 20, 30, 30), sampling)
    expected = plane(np.arange(20, 50), np.arange(20, 50)).expand(3, -1, -1)
    torch.testing.assert_close(up, expected, atol=0.3, rtol=0)


def test_coverage_is_what_decimating_ones_gives() -> None:
    sampling = Sampling(4.015, 3.9, (0.2, 1.0), (0.1, 0.3))
    pan_window, ms_window, gain = Window(3, -5, 90, 80), Window(-3, -3, 30, 30), (0.3, 0.2)
    ones = decimate(torch.ones(2, 90, 80), pan_window, ms_window, sampling, gain)
    torch.testing.assert_close(coverage(pan_window, ms_window, sampling, gain), ones, atol=1e-6, rtol=0)


def test_the_blur_radius_holds_nearly_all_of_the_kernel() -> None:
    radius = blur_radius(0.3, 4)
    window = Window(-radius, -radius, 2 * radius + 1, 2 * radius + 1)
    share = coverage(window, Window(0, 0, 1, 1), Sampling(4, 4, (0.0,), (0.0,)), (0.3,))
    assert float(share) == pytest.approx(1, abs=1e-4)
