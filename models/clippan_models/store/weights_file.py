"""Weights from a safetensors file, checked as a whole before they are used.

Only safetensors: a pickle can run code when it is read. The header is checked before any of the bytes behind it is
read: a small file can claim to hold terabytes.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from clippan_models.errors import WeightsError, shown, unreadable_weights
from clippan_models.store.files import sha256_of

_UNUSED = ("logit_scale", "logit_bias")  # scale of CLIP's own training; features do not depend on it
_MOST_BYTES = 20 * 10**9  # the largest CLIP has half of it
_LONGEST_HEADER = 2**24  # bytes
_LARGEST = 1e9  # of a weight; the largest that training leads to are below 1e4


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a file, as the header describes it.

    Attributes:
        dtype: as safetensors calls it, e.g. "F32".
        shape: its size.
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def is_floating_point(self) -> bool:
        """It holds floating-point numbers of some width."""
        return self.dtype.startswith(("F", "BF"))

    def differs_from(self, wanted: Tensor) -> str | None:
        """What it is and should be, in words; None where it can be copied into the other one."""
        if self.is_floating_point != wanted.is_floating_point():
            return f"of type {self.dtype} instead of {wanted.dtype}".replace("torch.", "")
        return None if self.shape == wanted.shape else f"{list(self.shape)} instead of {list(wanted.shape)}"


@dataclass(frozen=True)
class WeightsFile:
    """A file whose header is read; the tensors are read when they are asked for.

    Attributes:
        path: of the file.
        metadata: texts of the header by name; `model` is the name of a CLIP's architecture in open_clip.
        tensors: what it holds, by name.
    """

    path: Path
    metadata: Mapping[str, str]
    tensors: Mapping[str, StoredTensor]
    _content: Any

    @cached_property
    def sha256(self) -> str:
        """Of the file's bytes, hexadecimal.

        Raises:
            WeightsError: it cannot be read.
        """
        try:
            return sha256_of(self.path)
        except OSError as error:
            raise unreadable_weights(self.path, error) from error

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Some of its tensors.

        Raises:
            WeightsError: the file is damaged.
        """
        try:
            return {name: self._content.get_tensor(name) for name in names}
        except (SafetensorError, RuntimeError) as error:
            raise WeightsError(f"{shown(self.path)} is damaged: {error}") from error


def read_weights(path: Path) -> WeightsFile:
    """Read the header of a safetensors file.

    Raises:
        WeightsError: it cannot be read, is not safetensors, or is cut short; names the file.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):  # a pipe would be waited for
            raise WeightsError(f"cannot read the weights {shown(path)}: not a regular file")
        if status.st_size > _MOST_BYTES:
            size, most = status.st_size / 1e9, _MOST_BYTES / 1e9
            raise WeightsError(f"{shown(path)} has {size:.0f} GB; weights of more than {most:.0f} GB are not read")
        with path.open("rb") as file:
            if int.from_bytes(file.read(8), "little") > _LONGEST_HEADER:
                raise SafetensorError("its header is too long")
        content: Any = safe_open(path, framework="pt")  # keeps the file that was opened, also if it is replaced
        parts = {name: content.get_slice(name) for name in content.keys()}
        tensors = {name: StoredTensor(part.get_dtype(), tuple(part.get_shape())) for name, part in parts.items()}
        return WeightsFile(path, dict(content.metadata() or {}), tensors, content)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        raise unreadable_weights(path, error) from error
    except (SafetensorError, RuntimeError) as error:  # RuntimeError: of torch, where memory is short
        raise WeightsError(
            f"{shown(path)} is not an intact safetensors file ({error}); other formats, such as pickles, are not read"
        ) from error


def shipped(name: str) -> Path:
    """The path of weights that come with clippan, by the name of their file."""
    return Path(str(resources.files("clippan_models") / "assets" / name))


def sound(stored: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Tensors of a file by name, those of floating point in float32.

    Raises:
        WeightsError: one holds NaN, infinity, or numbers that no training leads to; names it and the file.
    """
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in stored.items()}
    for name, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{shown(path)} is damaged: {name} holds NaN or infinity")
        if tensor.numel() and float(tensor.abs().max()) > _LARGEST:
            raise WeightsError(f"{shown(path)} is damaged: {name} holds numbers above {_LARGEST:g}")
    return state


def fill(model: nn.Module, weights: WeightsFile, architecture: str) -> None:
    """Copy weights into a model, every tensor of it.

    Args:
        model: gets the weights.
        weights: of a file.
        architecture: name of the model in messages.

    Raises:
        WeightsError: a tensor is missing, unknown, of another shape or type, or not sound; names the file and it.
    """
    wanted = {k: v for k, v in model.state_dict().items() if k not in _UNUSED}
    refuse_misfit(weights, {k: v for k, v in weights.tensors.items() if k not in _UNUSED}, wanted, architecture)
    state = sound(weights.read(wanted), weights.path)
    model.load_state_dict(state, strict=False)  # all but the unused ones, as just checked


def refuse_misfit(
    weights: WeightsFile, found: Mapping[str, StoredTensor], wanted: Mapping[str, Tensor], architecture: str
) -> None:
    """Refuse tensors of a file that are not those of a model.

    Args:
        weights: the file.
        found: of its tensors those that belong to the model.
        wanted: the tensors of the model; their values do not matter.
        architecture: name of the model in messages.

    Raises:
        WeightsError: a tensor is missing, unknown, or of another shape or type; names the file and the tensor.
    """
    if missing := sorted(wanted.keys() - found.keys()):
        raise _mismatch(weights, architecture, f"{missing[0]} is missing", len(missing))
    if foreign := sorted(found.keys() - wanted.keys()):
        raise _mismatch(weights, architecture, f"{foreign[0]} does not belong to it", len(foreign))
    other = [f"{name} is {what}" for name, tensor in wanted.items() if (what := found[name].differs_from(tensor))]
    if other:
        raise _mismatch(weights, architecture, other[0], len(other))


def _mismatch(weights: WeightsFile, architecture: str, what: str, count: int) -> WeightsError:
    more = f", and {count - 1} more" if count > 1 else ""
    return WeightsError(f"{shown(weights.path)} does not hold the weights of {architecture}: {what}{more}")
