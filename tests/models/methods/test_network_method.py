"""The network method: does it start from the data, learn, stay repeatable, and give MS and PAN back?"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from clippan_models.adaptation.objective import fuse
from clippan_models.adaptation.options import AdaptOptions
from clippan_models.adaptation.patches import reduced_patches
from clippan_models.adaptation.trainer import Adapted
from clippan_models.contracts import Observation, Sampling, Tile, Window
from clippan_models.methods.network import NetworkSharpener
from clippan_models.observation import estimate_observation
from clippan_models.ops.resample import decimate
from clippan_models.ops.views import TileViews
from clippan_models.testing.scenes import TileSource
from tests.models.methods.conftest import fit_network

WEIGHTS = (0.25, 0.35, 0.4)


def truth(side: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    blocks = torch.rand(3, side // 16, side // 16, generator=generator)
    blocks = blocks.repeat_interleave(16, 1).repeat_interleave(16, 2)
    fine = torch.sin(0.9 * x + 0.35 * y) + torch.rand(side, side, generator=generator)
    return 400 + 500 * blocks + 60 * fine


def tiles(count: int = 6, side: int = 128, halo: int = 28) -> list[Tile]:
    """Tiles cut out of one large scene, with their halo."""
    size = side * count + 2 * halo
    image = truth(16 * (max(size, side + 2 * halo) // 16 + 1))[:, : side + 2 * halo + 16, :]
    pan = sum(w * b for w, b in zip(WEIGHTS, image, strict=True))
    assert isinstance(pan, Tensor)
    sampling = Sampling.area_registered(4, 3)
    whole = Window(0, 0, image.shape[1], image.shape[2])
    cut = []
    for number in range(count):
        window = Window(0, number * side, side + 2 * halo, side + 2 * halo)
        ms_window = Window(window.row // 4, window.col // 4, window.height // 4, window.width // 4)
        ms = decimate(image, whole, ms_window, sampling, (0.3,) * 3)
        part = pan[window.inside(whole)][None]
        valid = torch.ones_like(part, dtype=torch.bool)
        core = Window(halo, number * side + halo, side, side)
        all_ms = torch.ones_like(ms, dtype=torch.bool)
        cut.append(Tile(ms, all_ms, part, valid, valid.expand(3, -1, -1), ms_window, window, core))
    return cut


def adapted(steps: int, seed: int = 0) -> tuple[NetworkSharpener, Adapted, Observation, list[Tile]]:
    scene = tiles()
    nominal = Observation(Sampling.area_registered(4, 3), (0.3,) * 3, 0.15)
    observation, _ = estimate_observation(scene[:3], nominal)
    sharpener, result = fit_network(
        TileSource(scene, observation), AdaptOptions(steps=steps, seed=seed, backbone="apnn")
    )
    return sharpener, result, observation, scene


def test_the_same_seed_gives_the_same_image_and_another_does_not() -> None:
    images = []
    for seed in (1, 1, 2):
        sharpener, result, observation, scene = adapted(50, seed)
        assert result.best_step > 0
        images.append(sharpener.sharpen(TileViews(scene[0], observation)))
    assert torch.equal(images[0], images[1]) and not torch.equal(images[0], images[2])


def test_learning_lowers_the_held_out_loss_and_keeps_the_best_checkpoint() -> None:
    _, result, _, _ = adapted(50)
    totals = {point.step: point.total for point in result.curve}
    assert totals[result.best_step] == min(totals.values())
    assert min(totals.values()) < totals[0]


def test_the_result_seen_by_the_sensor_is_the_ms_and_its_weighted_sum_the_pan() -> None:
    sharpener, _, observation, scene = adapted(4)
    views = TileViews(scene[2], observation)
    fused = sharpener.sharpen(views)
    seen, share = views.down(fused)
    inner = (slice(None), slice(12, -12), slice(12, -12))
    whole = (share > 0.999)[inner]
    assert bool(whole.all())
    error = (seen - views.ms)[inner]
    # one projection; the grain of this scene, all at the finest scale, is the hardest case for it
    assert float(error.abs().mean()) < 0.06 * float(views.ms[inner].std())
    weights = torch.tensor(observation.pan_weights)[:, None, None]
    missing = (weights * fused).sum(0) + observation.pan_offset - views.pan[0]
    assert float(missing[40:-40, 40:-40].abs().mean()) < 0.05 * float(views.pan.std())


def test_it_is_nearer_to_the_truth_than_interpolation() -> None:
    sharpener, _, observation, scene = adapted(0)
    tile = scene[1]
    views = TileViews(tile, observation)
    fused = sharpener.sharpen(views)
    image = truth(16 * ((128 * 6 + 56) // 16 + 1))[:, : 128 + 56, tile.pan_window.col : tile.pan_window.col_stop]
    inner = (slice(None), slice(40, -40), slice(40, -40))

    def error(candidate: Tensor) -> float:
        return float(((candidate - image)[inner] ** 2).mean())

    assert error(fused) < 0.5 * error(views.ms_up)


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("flip_cols", [False, True])
@pytest.mark.parametrize("flip_rows", [False, True])
def test_a_scene_seen_from_another_side_is_fused_to_the_same_image_from_that_side(
    flip_rows: bool, flip_cols: bool, transpose: bool
) -> None:
    sharpener, _, observation, scene = adapted(0)
    patches = reduced_patches(scene, observation)
    assert patches is not None
    ahead = fuse(sharpener.network, sharpener.prior, patches, 2)
    turned = fuse(sharpener.network, sharpener.prior, patches.turned(flip_rows, flip_cols, transpose), 2)
    expected = ahead.flip([-2] * flip_rows + [-1] * flip_cols)
    torch.testing.assert_close(turned, expected.transpose(-1, -2) if transpose else expected)
