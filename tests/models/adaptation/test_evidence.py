"""Virtual pairs: are they what the sensor would have seen of the image, and do they ask for the image back?"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from clippan_models.adaptation.objective import fuse
from clippan_models.adaptation.patches import Patches, full_patches, virtual_pairs
from clippan_models.adaptation.scene import SceneTiles
from clippan_models.contracts import Observation, Sampling, Tile, Window
from clippan_models.networks.apnn import APNN
from clippan_models.ops.resample import coverage, decimate

SIDE, RATIO, GAIN = 128, 4, 0.3
SAMPLING = Sampling.area_registered(RATIO, 1)
WHOLE, SAMPLES = Window(0, 0, SIDE, SIDE), Window(0, 0, SIDE // RATIO, SIDE // RATIO)


def one_band() -> tuple[Tensor, Tile]:
    """A scene of one band that PAN shows as it is, so that the closed form finds it."""
    image = 100 + 50 * torch.nn.functional.interpolate(
        torch.rand(1, 1, 40, 40, generator=torch.Generator().manual_seed(0)), size=(SIDE, SIDE), mode="bicubic"
    ).squeeze(0)
    ms = decimate(image, WHOLE, SAMPLES, SAMPLING, (GAIN,))
    yes = torch.ones_like(image, dtype=torch.bool)
    tile = Tile(ms, torch.ones_like(ms, dtype=torch.bool), image, yes, yes, SAMPLES, WHOLE, WHOLE)
    return image, tile


@pytest.fixture(scope="module")
def patches() -> Patches:
    image, tile = one_band()
    observation = Observation(SAMPLING, (GAIN,), 0.15, (1.0,), 0.0, 1.0)
    return replace(full_patches([tile], observation), before=image[None])


@pytest.mark.parametrize("shift", [(0, 0), (1, -2), (-2, 2)])
def test_a_virtual_pair_is_what_the_sensor_sees_of_the_moved_image(patches: Patches, shift: tuple[int, int]) -> None:
    pair = virtual_pairs(patches, shift)
    moved = one_band()[0].roll(shift, (-2, -1))
    assert pair.truth is not None and torch.equal(pair.truth[0], moved) and torch.equal(pair.pan[0], moved)
    seen = decimate(moved, WHOLE, SAMPLES, SAMPLING, (GAIN,)) / coverage(WHOLE, SAMPLES, SAMPLING, (GAIN,))
    torch.testing.assert_close(pair.ms[0][pair.usable[0]], seen[pair.usable[0]], rtol=1e-4, atol=1e-2)
    assert int(pair.usable.sum()) > 0.6 * pair.ms.numel()
    assert not bool(pair.valid[..., :16].any()) and bool(pair.valid[..., 20:-20, 20:-20].all())


def test_an_image_that_the_closed_form_finds_comes_back(patches: Patches) -> None:
    """The network corrects nothing, as PAN is the band."""
    image, tile = one_band()
    observation = Observation(SAMPLING, (GAIN,), 0.15, (1.0,), 0.0, 1.0)
    prior = SceneTiles([tile], observation).prior()
    pair = virtual_pairs(patches, (1, 2))
    assert pair.truth is not None
    with torch.no_grad():
        error = (fuse(APNN(1).eval(), prior, pair, 1) - pair.truth)[pair.valid]
    assert float(error.abs().mean()) < 0.01 * float(image.std())


def test_nodata_does_not_count_nor_bleed(patches: Patches) -> None:
    valid = patches.valid.clone()
    valid[..., 60:70, 60:70] = False
    spoilt = replace(patches, valid=valid, before=torch.where(valid, patches.pan, torch.full_like(patches.pan, 1e6)))
    pair = virtual_pairs(spoilt, (2, 2))
    assert not bool(pair.valid[..., 62:72, 62:72].any())
    assert float(pair.ms[pair.usable].max()) < 1000


def test_without_a_first_result_there_is_nothing_to_make_pairs_of(patches: Patches) -> None:
    with pytest.raises(ValueError, match="before it learned"):
        virtual_pairs(replace(patches, before=None), (0, 0))
