"""Pretraining of the embedded CLIP learns, its files load, and the shipped weights can tell what they should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from clip_training import pretrain as command
from clip_training.captions import WALD_PROMPT, affinity
from clip_training.corpus import Corpus
from clip_training.held_out import Figures, evaluate, table
from clip_training.pretraining import PretrainOptions, Step, direction, losses, pretrain
from clip_training.scenes import synthetic_scene
from clip_training.weights import load_embedded, read_about
from clippan_models.errors import WeightsError
from clippan_models.guidance.backend import import_open_clip
from clippan_models.guidance.embedded import SIDE, embedded_tokenizer
from clippan_models.guidance.encoder import embedded_weights, load_clip

TINY: dict[str, Any] = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": SIDE, "patch_size": 16, "width": 32, "head_width": 16, "layers": 1},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def tiny_model() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return import_open_clip().model.CLIP(**TINY)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus([synthetic_scene(seed, 96) for seed in range(2)])


def run(corpus: Corpus, options: PretrainOptions) -> tuple[Any, list[Step]]:
    model, seen = tiny_model(), list[Step]()
    assert pretrain(model, corpus, options, "cpu", seen.append) == len(seen)
    return model, seen


def test_a_short_training_lowers_its_loss_and_repeats_itself(corpus: Corpus) -> None:
    options = PretrainOptions(steps=60, groups=3, learning_rate=3e-3, warm_up=3)
    model, progress = run(corpus, options)
    start, end = np.mean([p.loss for p in progress[:4]]), np.mean([p.loss for p in progress[-4:]])
    assert end < 0.8 * start
    again, _ = run(corpus, options)
    for (name, one), other in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, msg=name)


def test_the_time_limit_ends_a_training(corpus: Corpus) -> None:
    _, progress = run(corpus, PretrainOptions(steps=10_000, groups=2, time_limit=0.5))
    assert 0 < len(progress) < 1000


def test_the_loss_is_least_where_images_equal_their_captions(corpus: Corpus) -> None:
    samples = corpus.batch(0, 0, 2)
    keys = sorted({sample.key for sample in samples})
    codes = functional.one_hot(torch.tensor([keys.index(s.key) for s in samples])).float()
    prompts = torch.stack([codes[[s.key for s in samples].index(key)] for key in ("ms", "pan", "hrms")])
    right = losses(codes, codes, prompts, torch.tensor(20.0), samples)
    wrong = losses(codes.flip(0), codes, prompts, torch.tensor(20.0), samples)
    fit = affinity([s.key for s in samples], [s.content for s in samples], [s.caption for s in samples])
    assert bool((fit.diagonal() == 1).all())
    for good, bad in zip(right, wrong, strict=True):
        assert float(good) < float(bad)
    assert float(right[2]) == pytest.approx(0, abs=1e-5)


def test_the_direction_is_1_along_the_way_of_the_texts_and_minus_1_against_it() -> None:
    prompts = torch.eye(3, 8)
    gap = torch.full((8,), 0.3)  # images may live apart from texts: only the way counts
    ms, pan, sharp = prompts[0] + gap, prompts[1] + gap, prompts[2] + gap
    assert float(direction(sharp, ms, pan, prompts)) == pytest.approx(1, abs=1e-6)
    away = direction(3 * ms - 2 * sharp, ms, 3 * ms - 2 * sharp + prompts[2] - prompts[1], prompts)
    assert float(away) == pytest.approx(-1, abs=1e-6)
    assert float(direction(ms, ms, pan, prompts)) < 0.6


def test_the_command_writes_weights_that_load_and_can_be_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.safetensors"
    assert command.main(["--out", str(path), "--steps", "2", "--batch", "16", "--synthetic", "1", "--seed", "4"]) == 0
    assert path.stat().st_size < 25e6
    about = read_about(path)
    assert (about["steps"], about["seed"], about["fused_scenes"]) == (2, 4, 0)
    encoder = load_clip(str(path), torch.device("cpu"))  # its header names the model
    assert encoder is not None
    expected = functional.normalize(load_embedded(path).encode_text(embedded_tokenizer()([WALD_PROMPT])), dim=-1)  # type: ignore[operator]
    torch.testing.assert_close(encoder.texts([WALD_PROMPT]), expected)

    capsys.readouterr()
    assert command.main(["--evaluate", str(path), "--crops", "8"]) == 0
    *lines, last = capsys.readouterr().out.strip().splitlines()
    figures = json.loads(last)["synthetic"]
    assert figures["crops"] == 8
    assert any(line.startswith("Wald prompt: EXP < truth") for line in lines)


def test_a_file_that_is_not_the_embedded_clip_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(b"not safetensors at all")
    with pytest.raises(WeightsError, match="other"):
        load_embedded(path)
    assert command.main(["--evaluate", str(path)]) == WeightsError.exit_code
    assert "other.safetensors" in capsys.readouterr().err


def test_a_model_of_random_weights_is_judged_to_know_nothing() -> None:
    figures = evaluate(tiny_model(), [synthetic_scene(7, 96)], 12, seed=0)
    assert figures["which strong fault (chance 0.08)"] < 0.3
    assert figures["Wald prompt: EXP < fusion < truth (chance 0.167)"] < 0.7
    assert "12" in table({"x": figures}).splitlines()[1]


@pytest.fixture(scope="module")
def shipped() -> Figures:
    """The shipped weights on synthetic scenes that no training has seen."""
    scenes = [synthetic_scene(command.HELD_OUT_SEED + 500 + number) for number in range(4)]
    return evaluate(load_embedded(embedded_weights()), scenes, 16, seed=11)


@pytest.mark.slow
def test_the_shipped_weights_prefer_the_truth_to_interpolation(shipped: Figures) -> None:
    assert shipped["Wald prompt: EXP < truth"] > 0.9
    assert shipped["mean direction: truth"] > shipped["mean direction: EXP"] + 0.2


@pytest.mark.slow
def test_the_shipped_weights_tell_faults_and_modalities_clearly_better_than_chance(shipped: Figures) -> None:
    assert shipped["which strong fault (chance 0.08)"] > 0.4  # chance is 0.08
    assert shipped["MS, PAN or HRMS (chance 0.333)"] > 0.85  # chance is 0.33
