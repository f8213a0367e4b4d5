"""Is a displacement below a pixel found and taken back, whatever else differs between two images?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import fourier_shift, gaussian_filter
from torch import Tensor

from clippan_models.contracts import Window
from clippan_models.measuring.alignment import Moved, find_offset

SIDE = 96
WHOLE = [Window(0, 0, SIDE, SIDE)]


def scene() -> Tensor:
    """Two bands with edges, periodic, so that a Fourier transform moves them without a border."""
    noise = np.random.default_rng(0).normal(size=(2, SIDE, SIDE))
    fields = gaussian_filter(noise, (0, 5, 5), mode="wrap")
    return torch.from_numpy(500 + 200 * gaussian_filter(np.sign(fields), (0, 1, 1), mode="wrap"))


def displaced(image: Tensor, down: float, right: float) -> Tensor:
    spectra = [fourier_shift(np.fft.fft2(band), (down, right)) for band in image.numpy()]
    return torch.from_numpy(np.real(np.fft.ifft2(spectra)))


@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.5, -0.3), (-0.85, 0.1), (0.02, 0.6)], ids=str)
def test_a_displacement_is_found(offset: tuple[float, float], hold: Any) -> None:
    found = find_offset(hold(displaced(scene(), *offset)), hold(scene()), WHOLE)
    assert found == pytest.approx(offset, abs=0.02)


def test_it_does_not_matter_how_sharp_or_how_bright_an_image_is(hold: Any) -> None:
    reference = displaced(scene(), 0.4, -0.4)
    blurred = torch.from_numpy(gaussian_filter(scene().numpy(), (0, 1, 1), mode="wrap"))
    assert find_offset(hold(reference), hold(blurred), WHOLE) == pytest.approx((0.4, -0.4), abs=0.03)
    assert find_offset(hold(reference), hold(scene() * 0.9 + 30), WHOLE) == pytest.approx((0.4, -0.4), abs=0.03)


def test_windows_and_nodata_make_no_difference(hold: Any) -> None:
    mask = torch.ones(SIDE, SIDE, dtype=torch.bool)
    mask[20:50, 30:70] = False
    reference = hold(torch.where(mask, displaced(scene(), 0.3, 0.2), -9999.0), mask)
    parts = [Window(row, col, 48, 32) for row in (0, 48) for col in (0, 32, 64)]
    assert find_offset(reference, hold(scene()), parts) == pytest.approx((0.3, 0.2), abs=0.02)


def test_what_cannot_be_told_is_not_told(hold: Any) -> None:
    flat, stripes = torch.full((2, SIDE, SIDE), 7.0), scene()[:, :1].expand(2, SIDE, SIDE)
    far = torch.roll(scene(), 3, -1)
    for reference in (flat, stripes):
        assert find_offset(hold(reference), hold(reference), WHOLE) is None
    found = find_offset(hold(far), hold(scene()), WHOLE)
    assert found is not None and abs(found[1]) >= 1, "too far, which is told"


def test_an_image_is_moved_to_where_the_reference_lies(hold: Any) -> None:
    """Whatever the window, and without a value from where there is none."""
    mask = torch.ones(SIDE, SIDE, dtype=torch.bool)
    mask[40, 40] = False
    moved = Moved(hold(torch.where(mask, scene(), float("nan")), mask), 0.3, -0.4)
    window = Window(0, 0, SIDE, SIDE)
    valid, whole = moved.valid(window), moved.read(window)
    assert not valid[40, 40] and not valid[:3].any() and valid.float().mean() > 0.7
    error = (whole - displaced(scene(), 0.3, -0.4))[:, valid].abs()
    assert error.max() < 5 and (whole - scene())[:, valid].abs().max() > 60
    part = Window(10, 20, 30, 40)
    torch.testing.assert_close(moved.read(part), whole[:, 10:40, 20:60])
    assert torch.equal(moved.valid(part), valid[10:40, 20:60])
