"""A training broken off, in a safetensors file: what `ArchiveRun` needs to go on bit for bit."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from clippan_models.adaptation.archive import Progressed
from clippan_models.adaptation.loop import CurvePoint
from clippan_models.errors import WeightsError
from clippan_models.store.files import written_whole

_HEADER = "clippan-snapshot"
_GROUPS = ("network", "optimiser", "best")


def save_snapshot(progress: Progressed, key: str, path: Path) -> None:
    """Write a snapshot beside the target first, then under its name; the one before is replaced.

    Args:
        progress: of a run.
        key: of what it learns from and how; `load_snapshot` gives it back.
        path: the file.

    Raises:
        OSError: the file cannot be written.
    """
    tensors = {
        f"{group}/{name}": value.contiguous().clone()
        for group in _GROUPS
        for name, value in getattr(progress, group).items()
    }
    header = {
        "key": key,
        "step": progress.step,
        "best_step": progress.best_step,
        "best_total": progress.best_total,
        "seconds": progress.seconds,
        "stopped": progress.stopped,
        "curve": [asdict(point) for point in progress.curve],
    }
    with written_whole(path, synced=True) as partial:
        partial.write_bytes(save(tensors, metadata={_HEADER: json.dumps(header)}))


def load_snapshot(path: Path) -> tuple[Progressed, str]:
    """A snapshot and its key.

    Raises:
        WeightsError: the file cannot be read or is none.
    """
    groups: dict[str, dict[str, torch.Tensor]] = {group: {} for group in _GROUPS}
    try:
        with safe_open(path, framework="pt") as content:
            header = json.loads((content.metadata() or {})[_HEADER])
            for full in content.keys():
                group, _, name = full.partition("/")
                groups[group][name] = content.get_tensor(full)
        curve = tuple(CurvePoint(int(p["step"]), float(p["total"]), dict(p["parts"])) for p in header["curve"])
        progress = Progressed(
            int(header["step"]),
            groups["network"],
            groups["optimiser"],
            groups["best"],
            int(header["best_step"]),
            float(header["best_total"]),
            curve,
            float(header["seconds"]),
            str(header["stopped"]),
        )
        return progress, str(header["key"])
    except OSError as error:
        raise WeightsError(f"cannot read the snapshot {path}: {error.strerror or error}") from error
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise WeightsError(f"{path} is no intact snapshot of a training; remove it to begin anew") from error
