"""Does a training continue from the very numbers that it left, and is anything else refused?"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from clippan_models.errors import WeightsError
from clippan_models.store.training_checkpoint import (
    CurvePoint,
    TrainingCheckpoint,
    load_training_checkpoint,
    save_training_checkpoint,
)

EARLIER_HEADER = (
    '{"key": "options/scenes", "step": 5, "best_step": 0, "best_total": Infinity, "seconds": 12.25, '
    '"stopped": "steps", "curve": [{"step": 0, "total": 2.5, "parts": {"spectral": 2}}, '
    '{"step": 5, "total": NaN, "parts": {}}]}'
)


def test_a_training_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "run.snapshot"
    states = {"layers.0/weight": torch.randn(2, 3), "step": torch.tensor(7, dtype=torch.int64)}
    curve = (CurvePoint(0, 0.1 + 0.2, {"spectral": 1e-310}), CurvePoint(3, 0.25, {}))
    saved = TrainingCheckpoint(7, states, {}, states, 3, 0.25, curve, 1.5, "time limit")
    save_training_checkpoint(saved, "key", path)
    loaded, key = load_training_checkpoint(path)
    assert key == "key" and list(tmp_path.iterdir()) == [path]
    assert (loaded.step, loaded.best_step, loaded.best_total, loaded.seconds) == (7, 3, 0.25, 1.5)
    assert (loaded.curve, loaded.stopped, loaded.optimiser) == (curve, "time limit", {})
    for group in (loaded.network, loaded.best):
        assert group.keys() == states.keys() and all(torch.equal(group[name], states[name]) for name in states)


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run.snapshot"
    save_file({"optimiser/0/step": torch.tensor(5.0)}, path, metadata={"clippan-snapshot": EARLIER_HEADER})
    loaded, key = load_training_checkpoint(path)
    assert (key, loaded.step, loaded.best_total) == ("options/scenes", 5, math.inf)
    assert loaded.curve[0] == CurvePoint(0, 2.5, {"spectral": 2.0}) and math.isnan(loaded.curve[1].total)
    assert loaded.optimiser == {"0/step": torch.tensor(5.0)}


@pytest.mark.parametrize("header", [None, "{", "[]", EARLIER_HEADER.replace("5,", '"five",')])
def test_a_file_that_is_not_one_is_refused(header: str | None, tmp_path: Path) -> None:
    path = tmp_path / "run.snapshot"
    save_file({"best/a": torch.zeros(3)}, path, metadata=None if header is None else {"clippan-snapshot": header})
    with pytest.raises(WeightsError, match="not an intact training checkpoint"):
        load_training_checkpoint(path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot read the training checkpoint"):
        load_training_checkpoint(tmp_path / "absent.snapshot")
