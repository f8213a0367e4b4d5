"""Does a training continue from the very numbers that it left, and is anything else refused before it is used?"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from clippan_models.errors import WeightsError
from clippan_models.store.training_checkpoint import (
    CurvePoint,
    TrainingCheckpoint,
    load_training_checkpoint,
    save_training_checkpoint,
)

NETWORK = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))  # the latter counts in int64
STATE = NETWORK.state_dict()
MOMENTS = {
    f"{number}.{name}": torch.ones_like(parameter)
    for number, parameter in enumerate(NETWORK.parameters())
    for name in ("exp_avg", "exp_avg_sq")
} | {f"{number}.step": torch.tensor(7.0) for number in range(4)}
CURVE = (CurvePoint(0, 0.1 + 0.2, {"spectral": 1e-310}), CurvePoint(3, 0.25, {}), CurvePoint(6, math.nan, {}))
SAVED = TrainingCheckpoint(7, STATE, MOMENTS, STATE, 3, 0.25, CURVE, 1.5, "time limit")
EARLIER_HEADER = (
    '{"key": "options/scenes", "step": 5, "best_step": 0, "best_total": Infinity, "seconds": 12.25, '
    '"stopped": "steps", "curve": [{"step": 0, "total": Infinity, "parts": {"spectral": 2}}, '
    '{"step": 5, "total": NaN, "parts": {}}]}'
)
DEEP = '{"key": "k", "curve": ' + "[" * 100_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The checkpoint of a training."""
    save_training_checkpoint(SAVED, "key", tmp_path / "run.snapshot")
    return tmp_path / "run.snapshot"


def load(path: Path, steps: int = 20) -> tuple[TrainingCheckpoint, str]:
    return load_training_checkpoint(path, NETWORK, steps)


def tamper(path: Path, header: dict[str, Any], tensors: Mapping[str, Tensor | None]) -> None:
    """Change what the header says, and tensors; None removes one."""
    with safe_open(path, "pt") as file:
        said = json.loads(file.metadata()["clippan-snapshot"])
        held = {name: file.get_tensor(name) for name in file.keys()}  # not a mapping
    kept = {name: tensor for name, tensor in {**held, **tensors}.items() if tensor is not None}
    save_file(kept, path, metadata={"clippan-snapshot": json.dumps(said | header)})


def test_a_training_comes_back_as_it_was(path: Path) -> None:
    loaded, key = load(path)
    assert key == "key" and list(path.parent.iterdir()) == [path]
    assert (loaded.step, loaded.best_step, loaded.best_total, loaded.seconds) == (7, 3, 0.25, 1.5)
    assert (loaded.curve[:2], loaded.stopped) == (CURVE[:2], "time limit") and math.isnan(loaded.curve[2].total)
    for group, saved in ((loaded.network, STATE), (loaded.best, STATE), (loaded.optimiser, MOMENTS)):
        assert group.keys() == saved.keys() and all(torch.equal(group[name], saved[name]) for name in saved)


def test_a_file_of_an_earlier_version_is_read(path: Path) -> None:
    gone = {f"1.{name}" for name in ("exp_avg", "exp_avg_sq", "step")}  # a parameter without a gradient has none
    tamper(path, json.loads(EARLIER_HEADER), dict.fromkeys(f"optimiser/{name}" for name in gone))
    loaded, key = load(path)
    assert (key, loaded.step, loaded.best_total) == ("options/scenes", 5, math.inf)
    assert loaded.curve[0] == CurvePoint(0, math.inf, {"spectral": 2.0}) and math.isnan(loaded.curve[1].total)
    assert loaded.optimiser.keys() == MOMENTS.keys() - gone


@pytest.mark.parametrize("header", [None, "{", "[]", EARLIER_HEADER.replace("5,", '"five",'), DEEP, DEEP[:20]])
def test_a_file_that_is_not_one_is_refused(header: str | None, tmp_path: Path) -> None:
    path = tmp_path / "run.snapshot"
    save_file({"best/a": torch.zeros(3)}, path, metadata=None if header is None else {"clippan-snapshot": header})
    with pytest.raises(WeightsError, match="not an intact training checkpoint"):
        load(path)


NOTHING_LEFT: dict[str, Tensor | None] = {f"best/{name}": None for name in STATE}


@pytest.mark.parametrize(
    ("header", "tensors", "words"),
    [
        ({"step": -5}, {}, "Expected `int` >= 0"),
        ({"step": 10**9}, {}, "is of step 1000000000, but the training has 20 steps"),
        ({"step": 10**30}, {}, "Expected `int` <="),
        ({"step": math.inf}, {}, "Expected `int`"),
        ({"step": 5}, {}, "its validations are of the steps"),
        ({"best_step": 7}, {}, "its best step is 7"),
        ({"best_total": math.nan}, {}, "its best step is 3 with a loss of nan"),
        ({"best_total": -1.0}, {}, "but the validations say 3 with 0.25"),
        ({"curve": []}, {}, "its validations are of the steps"),
        ({"seconds": math.nan}, {}, "seconds"),
        ({"stopped": "\x1b[2J"}, {}, "at `$.stopped`"),
        ({"key": 3}, {}, "Expected `str`"),
        ({}, NOTHING_LEFT, "best/0.bias is missing, and 6 more"),
        ({}, {"network/0.weight": None}, "network/0.weight is missing"),
        ({}, {"network/0.weight": torch.zeros(3, 2)}, "network/0.weight is [3, 2] instead of [2, 3]"),
        ({}, {"network/0.weight": torch.zeros(2, 3, dtype=torch.int32)}, "network/0.weight is of type I32"),
        ({}, {"best/0.weight": torch.zeros(2, 3, dtype=torch.bool)}, "best/0.weight is of type BOOL"),
        ({}, {"best/0.weight": torch.full((2, 3), math.nan)}, "best/0.weight holds NaN or infinity"),
        ({}, {"network/0.bias": torch.full((2,), math.inf)}, "network/0.bias holds NaN or infinity"),
        ({}, {"optimiser/0.exp_avg": torch.full((2, 3), math.nan)}, "optimiser/0.exp_avg holds NaN or infinity"),
        ({}, {"optimiser/0.exp_avg_sq": -torch.ones(2, 3)}, "optimiser/0.exp_avg_sq is negative"),
        ({}, {"optimiser/0.exp_avg": None}, "optimiser/0.exp_avg is missing"),
        ({}, {"optimiser/9.exp_avg": torch.zeros(3)}, "optimiser/9.exp_avg does not belong to it"),
        ({}, {"elsewhere": torch.zeros(3)}, "elsewhere does not belong to it"),
    ],
)
def test_what_no_training_has_written_is_refused_and_the_file_stays(
    header: dict[str, Any], tensors: dict[str, Tensor | None], words: str, path: Path
) -> None:
    tamper(path, header, tensors)
    before = path.read_bytes()
    with pytest.raises(WeightsError) as refused:
        load(path)
    assert words in str(refused.value) and str(path) in str(refused.value)
    assert path.read_bytes() == before


def test_a_training_that_has_diverged_keeps_its_best_state(path: Path) -> None:
    tamper(path, {"stopped": "diverged"}, {"network/0.bias": torch.full((2,), math.nan)})
    assert load(path)[0].stopped == "diverged"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"absent\.snapshot: No such file"):
        load(tmp_path / "absent.snapshot")
