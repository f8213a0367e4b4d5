"""Is a simulated pair what its truth would give, and is the truth found again where nothing is hidden?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from clippan_models.errors import InputError
from prior_training.images import read_images, synthetic_images
from prior_training.pairs import MARGIN, SimulatedPair, beyond_sum, draw_sharp, simulate, with_bands

SHARP = synthetic_images(1, 5, 256)


def pair(seed: int, bands: int = 4) -> SimulatedPair:
    rng = np.random.default_rng(seed)
    return simulate(with_bands(draw_sharp(SHARP, 192 + 2 * MARGIN, rng), bands, rng), rng)


@pytest.mark.parametrize("seed", range(6))
def test_a_pair_is_a_scene_of_whole_dn_that_its_truth_degrades_to(seed: int) -> None:
    made = pair(seed)
    tile, truth = made.tile, made.truth
    inner = tile.ms[tile.ms_valid]
    assert torch.equal(inner, inner.round()) and torch.equal(tile.pan, tile.pan.round())
    assert truth.shape[1:] == tile.pan.shape[1:] and truth.shape[0] == tile.ms.shape[0]
    # MS is the truth blurred: band by band, the same mean to a few per cent
    for band in range(len(truth)):
        seen = tile.ms[band][tile.ms_valid[band]]
        assert float(seen.mean()) == pytest.approx(float(truth[band].mean()), rel=0.05)


@pytest.mark.parametrize("bands", [1, 3, 8, 13])
def test_any_number_of_bands_is_made_of_few(bands: int) -> None:
    rng = np.random.default_rng(0)
    piece = draw_sharp(SHARP, 224, rng)
    made = with_bands(piece, bands, rng)
    assert made.shape == (bands, *piece.shape[1:])
    assert float(made.min()) >= 0 and bool((made.flatten(1).std(1) > 0).all())


def test_the_same_seed_makes_the_same_pair() -> None:
    one, two = pair(3), pair(3)
    assert torch.equal(one.tile.ms, two.tile.ms) and torch.equal(one.truth, two.truth)
    assert one.observation == two.observation


def test_bands_explain_pan_nearly_wholly_or_in_part_as_of_real_scenes() -> None:
    """Real scenes have R2 of .94 to .9998."""
    left = []
    for seed in range(24):
        made = pair(seed)
        bands = np.vstack([made.truth.flatten(1).numpy(), np.ones(made.truth[0].numel())]).T
        pan = made.tile.pan.flatten().double().numpy()
        residual = pan - bands @ np.linalg.lstsq(bands, pan, rcond=None)[0]
        left.append(residual.var() / pan.var())
    assert min(left) < 1e-3 and 2e-2 < max(left) < 0.08


def test_what_is_beyond_a_sum_of_the_bands_has_nothing_of_them() -> None:
    bands = draw_sharp(SHARP, 224, np.random.default_rng(0))
    image = bands[0] * bands[1]
    left = beyond_sum(image, bands)
    correlations = [abs(float(np.corrcoef(left.flatten(), band.flatten())[0, 1])) for band in bands]
    assert max(correlations) < 1e-3 and 0 < float(left.std()) < float(image.std())
    assert float(beyond_sum(2 * bands[0] - bands[2] + 3, bands).abs().max()) < 1e-4


def test_images_of_one_place_are_held_out_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("town_0", "town_1", "wood_0"):
        np.savez(tmp_path / f"{name}.npz", q=rng.integers(0, 255, (3, 220, 240), dtype=np.uint8))
    train, held_out = read_images(tmp_path, ["town"])
    assert [image.name for image in train] == ["wood_0"]
    assert [image.name for image in held_out] == ["town_0", "town_1"]


def test_what_is_no_folder_of_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no \.npz file"):
        read_images(tmp_path)
    np.savez(tmp_path / "a.npz", q=np.zeros((3, 220, 240), np.float32))
    with pytest.raises(InputError, match=r"a\.npz: expected an array `q \[C, H, W\]` of uint8, found float32"):
        read_images(tmp_path)
