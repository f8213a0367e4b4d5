"""The training loop: does a stopped training continue as if it was not, and does it end well whatever ends it?"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from clippan_models.adaptation.batches import SceneBatches, TrainingSet
from clippan_models.adaptation.options import AdaptOptions
from clippan_models.adaptation.patches import scene_patches
from clippan_models.adaptation.scene import SceneTiles
from clippan_models.adaptation.trainer import Trainer, new_network
from clippan_models.contracts import Observation, Sampling
from clippan_models.networks.registry import find_backbone
from tests.models.methods.test_network_method import tiles

TILES = SceneTiles(tiles(4, side=64), Observation(Sampling.area_registered(4, 3), (0.3,) * 3, 0.15))
SET = TrainingSet(TILES.prior(), *(scene_patches(part.tiles, part.observation) for part in TILES.split()))


def trainer(steps: int = 7, **options: float) -> Trainer:
    how = replace(AdaptOptions(steps, backbone="apnn", batch=1, validate_every=3), **options)  # type: ignore[arg-type]
    return Trainer(new_network(find_backbone("apnn"), 3, 0, torch.device("cpu")), SceneBatches(SET, how), how)


class _Stop(Exception):
    pass


@pytest.mark.parametrize("step", [1, 3, 7])
def test_a_scene_is_resumed_bit_for_bit(step: int) -> None:
    whole = trainer()
    whole.run()
    broken, resumed = trainer(), trainer()

    def on_step(stage: str, number: int, steps: int, loss: float) -> None:
        if number == step:
            raise _Stop

    with pytest.raises(_Stop):
        broken.run(on_step)
    resumed.resume(broken.checkpoint())
    resumed.run()
    expected, found = whole.result(), resumed.result()
    assert found.curve == expected.curve and found.best_step == expected.best_step and found.steps == 7
    state = expected.network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in found.network.state_dict().items())


def test_the_time_limit_ends_it_with_a_validation() -> None:
    late = trainer(time_limit=1e-9)
    late.run()
    result = late.result()
    assert (result.stopped, result.steps) == ("time limit", 1)
    assert [point.step for point in result.curve] == [0, 1]


def test_a_training_that_diverges_gives_the_best_network_before() -> None:
    wild = trainer(learning_rate=1e30, steps=20)
    wild.run()
    result = wild.result()
    assert result.stopped == "diverged" and result.steps < 20
    assert result.best_step == 0 and math.isfinite(result.curve[0].total)
    untrained = new_network(find_backbone("apnn"), 3, 0, torch.device("cpu")).state_dict()
    state = result.network.state_dict()
    assert all(torch.equal(value, untrained[name]) for name, value in state.items())


def test_no_step_is_validated_twice() -> None:
    run = trainer(steps=6)
    run.run()
    assert [point.step for point in run.result().curve] == [0, 3, 6]
    run.run()
    assert [point.step for point in run.result().curve] == [0, 3, 6]


@pytest.mark.parametrize(("steps", "validated"), [(6, [0, 3, 6]), (5, [0, 3, 5]), (4, [0, 4]), (1, [0, 1])])
def test_both_ends_are_validated_but_nothing_shortly_before_the_last_step(steps: int, validated: list[int]) -> None:
    run = trainer(steps=steps)
    run.run()
    assert [point.step for point in run.result().curve] == validated
