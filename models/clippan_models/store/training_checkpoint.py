"""The checkpoint of an unfinished training, in a safetensors file: what a run needs to continue bit for bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import msgspec
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from clippan_models.errors import WeightsError
from clippan_models.store.files import written_whole

_HEADER = "clippan-snapshot"
_GROUPS = ("network", "optimiser", "best")


@dataclass(frozen=True)
class CurvePoint:
    """One validation: the step, and each part of the loss on held-out patches."""

    step: int
    total: float
    parts: dict[str, float]


@dataclass(frozen=True)
class TrainingCheckpoint:
    """All that a training run needs to continue.

    Attributes:
        step: steps done.
        network: its state.
        optimiser: moments of Adam by parameter number and name.
        best: the best state so far.
        best_step: the step of the best state.
        best_total: the validation loss of the best state.
        curve: validations so far.
        seconds: wall time so far.
        stopped: why the run has ended, as in `Adapted`; "steps" while it continues.
    """

    step: int
    network: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    best_step: int
    best_total: float
    curve: tuple[CurvePoint, ...]
    seconds: float
    stopped: str = "steps"


def save_training_checkpoint(progress: TrainingCheckpoint, key: str, path: Path) -> None:
    """Write the checkpoint beside the target first, then under its name; the one before is replaced.

    Args:
        progress: of a run.
        key: identifies what the run learns from and how; `load_training_checkpoint` returns it.
        path: the file.

    Raises:
        OSError: the file cannot be written.
    """
    parts = {field.name: getattr(progress, field.name) for field in fields(progress)}
    tensors = {
        f"{group}/{name}": value.contiguous().clone() for group in _GROUPS for name, value in parts.pop(group).items()
    }
    header = json.dumps({"key": key, **parts}, default=asdict)
    with written_whole(path, synced=True) as partial:
        partial.write_bytes(save(tensors, metadata={_HEADER: header}))


def load_training_checkpoint(path: Path) -> tuple[TrainingCheckpoint, str]:
    """Read the checkpoint of a training, and its key.

    Raises:
        WeightsError: the file cannot be read, or is not such a checkpoint.
    """
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in _GROUPS}
    try:
        with safe_open(path, framework="pt") as content:
            header = json.loads((content.metadata() or {})[_HEADER])
            for full in content.keys():
                group, _, name = full.partition("/")
                groups[group][name] = content.get_tensor(full)
        return msgspec.convert(header | groups, TrainingCheckpoint), str(header["key"])
    except OSError as error:
        raise WeightsError(f"cannot read the training checkpoint {path}: {error.strerror or error}") from error
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise WeightsError(f"{path} is not an intact training checkpoint; remove it to start again") from error
