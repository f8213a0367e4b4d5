"""AnyBand as it ships: does it help without learning, whatever the bands, their order and the ratio; and when not?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from clippan_models.adaptation.options import AdaptOptions
from clippan_models.contracts import MS_MARGIN, Observation, Sampling, Tile, Window
from clippan_models.methods.method import Fitted, MethodOptions
from clippan_models.methods.network import NetworkMethod
from clippan_models.observation import estimate_observation
from clippan_models.ops.resample import decimate
from clippan_models.ops.views import TileViews
from clippan_models.testing.scenes import TileSource
from prior_training.images import synthetic_images
from prior_training.pairs import with_bands

SIDE, MARGIN, HALO = 128, 32, 180
PRIOR = AdaptOptions(steps=0, backbone="anyband")


def truth(bands: int) -> Tensor:
    """A synthetic scene with a margin for the blur, DN."""
    (image,) = synthetic_images(1, 77, SIDE + 2 * MARGIN)
    return 800 * with_bands(image.bands.float(), bands, np.random.default_rng(0)) + 100


def pair(image: Tensor, ratio: float = 4.0, pan: Tensor | None = None) -> Tile:
    """The pair of a truth with a margin, as one tile with the halo that it is read with.

    PAN is the mean of the bands unless another one is given.
    """
    bands, count = len(image), int(SIDE / ratio)
    whole, samples = Window(0, 0, SIDE, SIDE), Window(0, 0, count, count)
    sampling = Sampling.area_registered(ratio, bands)
    ms = decimate(image, whole.grown(MARGIN), samples, sampling, (0.3,) * bands)
    sharp = core(image).mean(0, keepdim=True) if pan is None else pan
    around, below = int(HALO / ratio) + MS_MARGIN, HALO
    inside = padded(torch.ones_like(sharp), below) > 0
    return Tile(
        padded(ms, around),
        padded(torch.ones_like(ms), around) > 0,
        padded(sharp, below),
        inside,
        inside.expand(bands, -1, -1),
        samples.grown(around),
        whole.grown(below),
        whole,
    )


def padded(image: Tensor, margin: int) -> Tensor:
    return torch.nn.functional.pad(image, (margin,) * 4)


def core(image: Tensor) -> Tensor:
    return image[:, MARGIN:-MARGIN, MARGIN:-MARGIN]


def fitted(tile: Tile, options: AdaptOptions = PRIOR, ratio: float = 4.0) -> tuple[Fitted, Observation]:
    bands = len(tile.ms)
    nominal = Observation(Sampling.area_registered(ratio, bands), (0.25,) * bands, 0.15)
    observation, _ = estimate_observation([tile], nominal)
    return NetworkMethod.of(MethodOptions(options)).fit(TileSource([tile], observation)), observation


def fused(tile: Tile, options: AdaptOptions = PRIOR, ratio: float = 4.0) -> Tensor:
    found, observation = fitted(tile, options, ratio)
    return found.sharpener.sharpen(TileViews(tile, observation))[:, *tile.core.inside(tile.pan_window)]


def error(image: Tensor, sharp: Tensor) -> float:
    """Root mean square in standard deviations of each band, without the border."""
    inner = (..., slice(16, -16), slice(16, -16))
    difference = (image - sharp) / sharp.std((-2, -1), keepdim=True)
    return float(difference[inner].square().mean().sqrt())


CLOSED_FORM = replace(PRIOR, backbone="apnn", rounds=3)
"""The closed form with as many projections as the prior has."""


@pytest.mark.parametrize(("bands", "ratio"), [(4, 2.0), (8, 3.0), (4, 4.015)])
def test_it_is_nearer_to_the_truth_than_the_closed_form(bands: int, ratio: float) -> None:
    image = truth(bands)
    tile = pair(image, ratio)
    sharp = core(image)
    assert error(fused(tile, PRIOR, ratio), sharp) < error(fused(tile, CLOSED_FORM, ratio), sharp)


def test_the_order_of_the_bands_makes_no_difference() -> None:
    order = [3, 1, 0, 2]
    tile = pair(truth(4))
    turned = replace(tile, ms=tile.ms[order], ms_valid=tile.ms_valid[order])
    one, two = fused(tile), fused(turned)
    assert float((one[order] - two).abs().max()) < 1e-2 * float(one.std())


def test_pan_that_has_nothing_to_do_with_the_bands_changes_nothing_and_is_told() -> None:
    tile = pair(truth(4), pan=500 + 100 * torch.randn(1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)))
    found, observation = fitted(tile, replace(PRIOR, steps=5))
    assert "PAN does not follow from the bands" in found.note and found.tags["FALLBACK"] == found.note
    image = found.sharpener.sharpen(TileViews(tile, observation))[:, *tile.core.inside(tile.pan_window)]
    assert torch.allclose(image, fused(tile, CLOSED_FORM), atol=1e-2)


@pytest.mark.parametrize("backbone", ["anyband", "apnn", "pan-mamba"])
def test_pan_with_detail_of_its_own_is_followed_in_part_and_that_is_told(backbone: str) -> None:
    """As far as suits the network: it is measured again after it has learned."""
    image = truth(4)
    coarse = torch.randn(1, 1, SIDE // 4, SIDE // 4, generator=torch.Generator().manual_seed(0))
    own = torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic")[0]
    mean = core(image).mean(0, keepdim=True)
    wholly, partly = pair(image), pair(image, pan=mean + 0.2 * mean.std() * own)
    options = replace(PRIOR, backbone=backbone)
    trusts = [float(fitted(tile, options)[0].tags["PAN_TRUST"]) for tile in (wholly, partly)]
    assert 0.5 <= trusts[1] < 0.8 and trusts[1] + 0.2 < trusts[0] <= 1
    learned = fitted(partly, replace(options, steps=3, validate_every=1, learning_rate=1e-2))[0]
    assert 0.5 <= float(learned.tags["PAN_TRUST"]) < 0.8


def test_without_projections_nothing_follows_pan_and_no_tag_says_so() -> None:
    found, _ = fitted(pair(truth(4)), replace(PRIOR, rounds=0))
    assert "PAN_TRUST" not in found.tags
    assert found.learned is not None and not found.learned.adapted.network.training


def test_a_constant_band_stays_constant() -> None:
    image = truth(4)
    image[2] = 300
    tile = pair(image)
    assert float((fused(tile)[2] - 300).abs().max()) < 1


def test_learning_never_ends_worse_than_the_prior_on_held_out_windows() -> None:
    tile = pair(truth(4))
    halves = [replace(tile, core=Window(0, col, 128, 64)) for col in (0, 64)]
    nominal = Observation(Sampling.area_registered(4, 4), (0.25,) * 4, 0.15)
    observation, _ = estimate_observation([tile], nominal)
    options = replace(PRIOR, steps=3, validate_every=1, learning_rate=1e-3)
    found = NetworkMethod.of(MethodOptions(options)).fit(TileSource(halves, observation))
    assert found.learned is not None
    curve = found.learned.adapted.curve
    best = next(point for point in curve if point.step == found.learned.adapted.best_step)
    assert set(curve[0].parts) == {"consistency"}
    assert best.total <= curve[0].total


@pytest.mark.slow
def test_eight_orientations_are_not_worse() -> None:
    image = truth(4)
    tile = pair(image)
    eight = fused(tile, replace(PRIOR, orientations=8))
    assert error(eight, core(image)) < error(fused(tile), core(image)) * 1.002
