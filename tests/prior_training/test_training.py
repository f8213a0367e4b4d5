"""Does the training of the prior learn, and does it go on where it was stopped?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from prior_training.batches import PairPatches, SimulatedBatches
from prior_training.images import synthetic_images
from prior_training.learning import PriorTraining, TrainOptions, mean_gain
from prior_training.train import main

STEPS = 5


@pytest.fixture(scope="module")
def batches() -> SimulatedBatches:
    return SimulatedBatches(synthetic_images(2, 0, 256), [], seed=0, pairs=1, steps=STEPS)


def nothing(*_: object) -> None:
    """Reports go nowhere."""


class Stopped(SimulatedBatches):
    """The batches, until the training is stopped before one of its steps."""

    last = 2

    def __getitem__(self, step: int) -> list[PairPatches]:
        if step >= self.last:
            raise KeyboardInterrupt
        return super().__getitem__(step)


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [1, 2])
def test_a_stopped_training_goes_on_bit_for_bit(batches: SimulatedBatches, repeats: int, tmp_path: Path) -> None:
    options = TrainOptions(STEPS, workers=0, repeats=repeats)
    whole, part, resumed = (PriorTraining(options) for _ in range(3))
    whole.run(batches, nothing)
    with pytest.raises(KeyboardInterrupt):
        part.run(Stopped(batches.images, [], batches.seed, batches.pairs, STEPS), nothing)
    part.save(tmp_path / "part.safetensors")
    resumed.resume(tmp_path / "part.safetensors")
    assert resumed.step == Stopped.last * repeats
    resumed.run(batches, nothing)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    for name, value in whole.mean.state_dict().items():
        assert torch.equal(value, resumed.mean.state_dict()[name]), name


@pytest.mark.slow
def test_it_learns_what_helps_pairs_that_it_has_not_seen() -> None:
    """In a few steps on two images, the held-out gain over the initial fusion rises."""
    batches = SimulatedBatches(synthetic_images(4, 0, 256), [], seed=0, pairs=2, steps=60)
    held_out = SimulatedBatches(synthetic_images(2, 100, 256), [], seed=1, pairs=2, steps=4)
    validation = [held_out[number] for number in range(4)]
    training = PriorTraining(TrainOptions(60, learning_rate=2e-3, workers=0))
    before = mean_gain(training.network, validation, "cpu")
    training.run(batches, nothing)
    assert mean_gain(training.network, validation, "cpu") > before + 0.01


@pytest.mark.parametrize("seed", range(4))
def test_a_pair_that_is_turned_remains_the_same_pair(batches: SimulatedBatches, seed: int) -> None:
    """The turned projection of an image is the projection of the turned image."""
    pair = batches[0][0]
    turned = pair.turned(np.random.default_rng(seed))
    truth, image = pair.patches.truth, pair.shown[0]
    assert truth is not None and turned.patches.truth is not None
    turns = [
        (flips, transpose)
        for flips in ([], [-1], [-2], [-2, -1])
        for transpose in (False, True)
        if torch.equal(turned.patches.truth, _turned(truth, flips, transpose))
    ]
    assert len(turns) == 1
    assert torch.equal(turned.shown[0], _turned(image, *turns[0]))
    torch.testing.assert_close(
        turned.project(turned.shown[0]), _turned(pair.project(image), *turns[0]), rtol=0, atol=1e-2
    )


def _turned(image: torch.Tensor, flips: list[int], transpose: bool) -> torch.Tensor:
    mirrored = image.flip(flips)
    return mirrored.transpose(-1, -2) if transpose else mirrored


def test_the_program_says_what_it_does_and_refuses_what_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "--checkpoint", str(tmp_path / "c.safetensors"), "--synthetic", "0"]) == 3
    assert "no .npz file" in capsys.readouterr().err
    np.savez(tmp_path / "a.npz", q=np.random.default_rng(0).integers(0, 255, (3, 220, 240), dtype=np.uint8))
    command = [str(tmp_path), "--checkpoint", str(tmp_path / "c.safetensors"), "--synthetic", "0", "--pairs", "1"]
    assert main([*command, "--steps", "0", "--workers", "0", "--threads", "1"]) == 0
    assert "1 images, 0 held out" in capsys.readouterr().out
