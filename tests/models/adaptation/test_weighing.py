"""How much of what an image misses of PAN is error: do variances that are known come back?"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from clippan_models.adaptation.fusion import Prior
from clippan_models.adaptation.patches import Patches, full_patches
from clippan_models.adaptation.scene import SceneTiles
from clippan_models.adaptation.weighing import with_error_share
from clippan_models.contracts import Observation, Sampling, Tile, Window
from clippan_models.ops.resample import decimate

SIDE, RATIO, GAIN = 256, 4, 0.3
SAMPLING = Sampling.area_registered(RATIO, 1)
WHOLE, SAMPLES = Window(0, 0, SIDE, SIDE), Window(0, 0, SIDE // RATIO, SIDE // RATIO)


def noise(deviation: float, seed: int) -> Tensor:
    return deviation * torch.randn(1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def scene(unseen: float) -> tuple[Tensor, Prior, Patches]:
    """A band, the prior and the patches of a scene whose PAN has detail of this deviation that the band has not."""
    band = 1000 + noise(100, 0)
    pan = band + noise(unseen, 1)
    yes = torch.ones_like(band, dtype=torch.bool)
    ms = decimate(band, WHOLE, SAMPLES, SAMPLING, (GAIN,))
    tile = Tile(ms, torch.ones_like(ms, dtype=torch.bool), pan, yes, yes, SAMPLES, WHOLE, WHOLE)
    explained = 1 - unseen**2 / float(pan.var())
    observation = Observation(SAMPLING, (GAIN,), 0.15, (1.0,), 0.0, explained)
    return band, SceneTiles([tile], observation).prior(), full_patches([tile], observation)


@pytest.mark.parametrize(("unseen", "error", "share"), [(10, 15, 0.69), (10, 20, 0.8), (10, 0, 0.5), (0, 10, 1)])
def test_the_share_is_that_of_the_variances_but_never_less_than_half(unseen: float, error: float, share: float) -> None:
    band, prior, patches = scene(unseen)
    found = with_error_share(prior, [((band + noise(error, 2))[None], patches)])
    assert found.error_share == pytest.approx(share, abs=0.03)


def test_the_projection_leaves_what_no_image_with_these_bands_would_show() -> None:
    """An image whose error is as large as what PAN has of its own gets nearest to the truth half of the way."""
    band, prior, patches = scene(unseen=10)
    image = (band + noise(10, 2))[None]

    def error(prior: Prior) -> float:
        projected = prior.project(image, patches.pan, lambda same: same, rounds=1)
        return float((projected - band).square().mean().sqrt())

    assert error(with_error_share(prior, [(image, patches)])) == pytest.approx(10 / math.sqrt(2), rel=0.03)
    assert error(prior) == pytest.approx(10, rel=0.03)


@pytest.mark.parametrize("spoilt", ["saturated", "invalid"])
def test_saturated_and_invalid_pixels_do_not_count(spoilt: str) -> None:
    band, prior, patches = scene(unseen=10)
    image = (band + noise(20, 2))[None]
    expected = with_error_share(prior, [(image, patches)]).error_share
    pan, valid = patches.pan.clone(), patches.valid.clone()
    if spoilt == "saturated":
        pan[..., 100:180, :] = 60_000
    else:
        valid[..., 100:180, :], image[..., 100:180, :] = False, 5
    found = with_error_share(replace(prior, pan_saturation=50_000), [(image, replace(patches, pan=pan, valid=valid))])
    assert found.error_share == pytest.approx(expected, abs=0.01)


def test_what_is_saturated_stays_and_what_nearly_is_does_not() -> None:
    """Also where the image is above PAN, as along a bright edge."""
    _, prior, _ = scene(unseen=10)
    prior = replace(prior, pan_saturation=1100, error_share=0.5)
    image, pan = (torch.tensor([[[[1110.0, 1110.0]]]]), torch.tensor([[[[1098.0, 1100.0]]]]))
    for rounds in (1, 2):
        projected = prior.project(image, pan, lambda same: same, rounds)
        assert projected.flatten().tolist() == pytest.approx([1104, 1110], abs=0.01)


def test_nothing_to_see_leaves_all_to_pan() -> None:
    _, prior, patches = scene(unseen=10)
    nothing = replace(patches, valid=torch.zeros_like(patches.valid))
    assert with_error_share(prior, [(patches.pan, nothing)]).error_share == 1
