"""The checkpoint of an unfinished training, in a safetensors file: what a run needs to continue bit for bit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from safetensors.torch import save
from torch import Tensor, nn

from clippan_models.errors import WeightsError, shown
from clippan_models.store.card import Count
from clippan_models.store.files import written_whole
from clippan_models.store.weights_file import WeightsFile, read_weights, refuse_misfit

_HEADER = "clippan-snapshot"
_GROUPS = ("network", "optimiser", "best")
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # what Adam remembers of a parameter


@dataclass(frozen=True)
class CurvePoint:
    """One validation: the step, and each part of the loss on held-out patches."""

    step: Count
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

    step: Count
    network: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    best_step: Count
    best_total: float
    curve: tuple[CurvePoint, ...]
    seconds: Annotated[float, msgspec.Meta(ge=0, le=1e12)]
    stopped: Annotated[str, msgspec.Meta(pattern="^(steps|time limit|diverged)$")] = "steps"


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


def load_training_checkpoint(path: Path, network: nn.Module, steps: int) -> tuple[TrainingCheckpoint, str]:
    """Read the checkpoint of a training, and its key.

    Args:
        path: the file.
        network: such as that of the training; its weights do not matter.
        steps: of the training.

    Raises:
        WeightsError: the file cannot be read, or is not the checkpoint of such a training.
    """
    try:
        weights = read_weights(path)
        said = json.loads(weights.metadata[_HEADER])
        key = msgspec.convert(said["key"], str)
        header = msgspec.convert(said | {group: {} for group in _GROUPS}, TrainingCheckpoint)
        _refuse_contradictions(header)
        progress = msgspec.convert(said | _tensors(weights, network), TrainingCheckpoint)
        _refuse_damage(progress)
    except (WeightsError, KeyError, ValueError, TypeError, RecursionError) as error:
        told = isinstance(error, WeightsError | ValueError)
        reason = str(error).removeprefix(f"{shown(path)} ") if told else "its header is not as it should be"
        raise WeightsError(
            f"{shown(path)} is not an intact training checkpoint: {reason}; remove it to start again"
        ) from error
    if progress.step > steps:
        raise WeightsError(
            f"{shown(path)} is of step {progress.step}, but the training has {steps} steps; raise --steps, or remove "
            "the file to start again"
        )
    return progress, key


def _refuse_contradictions(header: TrainingCheckpoint) -> None:
    """Refuse numbers that no training has led to.

    Raises:
        ValueError: says what contradicts what.
    """
    steps = [point.step for point in header.curve]
    if not steps or steps[0] != 0 or steps != sorted(set(steps)) or steps[-1] > header.step:
        raise ValueError(f"its validations are of the steps {steps[:5]}, the training is at step {header.step}")
    best = (math.inf, 0)
    for point in header.curve:
        if math.isfinite(point.total) and point.total < best[0]:
            best = (point.total, point.step)
    if (header.best_total, header.best_step) != best:
        raise ValueError(
            f"its best step is {header.best_step} with a loss of {header.best_total:g}, but the validations say "
            f"{best[1]} with {best[0]:g}"
        )


def _tensors(weights: WeightsFile, network: nn.Module) -> dict[str, dict[str, Tensor]]:
    """The tensors by group, those of a training of this network.

    Raises:
        WeightsError: a tensor is missing, unknown, or of another shape or type.
    """
    state = network.state_dict()
    wanted = {f"{group}/{name}": value for group in ("network", "best") for name, value in state.items()}
    known = {name.split(".")[0] for name in weights.tensors if name.startswith("optimiser/")}
    for number, parameter in enumerate(network.parameters()):
        if (prefix := f"optimiser/{number}") in known:  # what has no gradient has no moments
            wanted |= {f"{prefix}.{name}": parameter for name in _MOMENTS[:2]}
            wanted[f"{prefix}.{_MOMENTS[2]}"] = torch.zeros(())
    refuse_misfit(weights, weights.tensors, wanted, "this network in training")
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in _GROUPS}
    for full, tensor in weights.read(wanted).items():
        group, _, name = full.partition("/")
        groups[group][name] = tensor
    return groups


def _refuse_damage(progress: TrainingCheckpoint) -> None:
    """Refuse tensors with values that no training leads to; a network that has diverged may hold any.

    Raises:
        ValueError: names the first.
    """
    groups: Sequence[str] = ("best",) if progress.stopped == "diverged" else _GROUPS
    for group in groups:
        tensors: Mapping[str, Any] = getattr(progress, group)
        for name, value in tensors.items():
            if not bool(torch.isfinite(value).all()):
                raise ValueError(f"{group}/{name} holds NaN or infinity")
            if name.endswith((".exp_avg_sq", ".step")) and bool((value < 0).any()):
                raise ValueError(f"{group}/{name} is negative")
