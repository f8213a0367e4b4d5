"""The file of weights before it is read or written: where it may lie, and which backbone it names; free of torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from clippan_cli.writing.path import check_output_path
from clippan_models.errors import UsageError, shown
from clippan_models.networks.names import BACKBONE_PLUGINS

_ENDING = ".safetensors"


def backbone_of(path: Path) -> str:
    """Name of the backbone that a file of weights holds.

    Raises:
        WeightsError: see `load_checkpoint`.
    """
    from safetensors import SafetensorError, safe_open

    with suppress(OSError, SafetensorError, KeyError, TypeError, ValueError):
        if path.is_file():
            with safe_open(path, "numpy") as file:
                name = json.loads(file.metadata()["clippan"])["backbone"]
            if name in BACKBONE_PLUGINS.known():
                return str(name)
    from clippan_models.store.checkpoint import load_checkpoint  # says what is wrong with it

    return load_checkpoint(path).backbone


def check_weights_path(path: Path, others: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse, before any work, a path that weights cannot or must not be saved to.

    Args:
        path: of the file of weights.
        others: the files that the run reads or writes.
        overwrite: an existing file may be replaced.

    Raises:
        UsageError: the name does not end in `.safetensors`.
        OutputError: see `check_output_path`.
    """
    if path.suffix != _ENDING:
        raise UsageError(f"{shown(path)}: the file of weights must be called *{_ENDING}")
    check_output_path(path, others, overwrite)
