"""Overshoot: rings count, sharp detail that PAN shows does not."""

from __future__ import annotations

import torch
from overshoot import overshoot
from torch import Tensor
from torch.nn import functional

RATIO = 4


def roofs() -> tuple[Tensor, Tensor, Tensor]:
    """Bright squares on dark ground, two bands of different contrast: truth, MS by nearest neighbour, PAN."""
    truth = torch.full((2, 64, 64), 100.0)
    truth[:, 20:36, 18:40] = torch.tensor([400.0, 250.0])[:, None, None]
    truth[:, 44:52, 44:52] = torch.tensor([300.0, 80.0])[:, None, None]
    ms = functional.avg_pool2d(truth, RATIO)
    near = ms.repeat_interleave(RATIO, 1).repeat_interleave(RATIO, 2)
    return truth, near, truth.mean(0, keepdim=True)


def test_a_ring_counts_and_grows_with_its_depth() -> None:
    truth, near, pan = roofs()
    blurred = functional.avg_pool2d(truth, 5, 1, 2, count_include_pad=False)
    found = [overshoot(truth + gain * (truth - blurred), near, pan, RATIO) for gain in (0.0, 0.5, 1.0)]
    assert found[0] < 0.3 * found[1] and found[1] < 0.6 * found[2]


def test_ms_itself_never_leaves_its_range() -> None:
    _, near, pan = roofs()
    assert overshoot(near, near, pan, RATIO) == 0


def test_units_do_not_matter_nor_what_lies_in_nodata() -> None:
    truth, near, pan = roofs()
    ringing = truth + (truth - functional.avg_pool2d(truth, 5, 1, 2, count_include_pad=False))
    expected = overshoot(ringing, near, pan, RATIO)
    torch.testing.assert_close(overshoot(3 * ringing + 7, 3 * near + 7, 0.5 * pan - 2, RATIO), expected)
    wide = [functional.pad(x, (0, 16)) for x in (ringing, near, pan)]
    wide[0][..., 64:] = 1e6
    valid = torch.ones(64, 80, dtype=torch.bool)
    valid[:, 64:] = False
    assert abs(overshoot(wide[0], wide[1], wide[2], RATIO, valid) - expected) < 0.05 * expected
