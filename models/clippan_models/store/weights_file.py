"""Weights from a safetensors file, checked.

Only safetensors: a pickle can run code when it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from clippan_models.errors import WeightsError
from clippan_models.store.files import sha256_of

_UNUSED = ("logit_scale", "logit_bias")  # scale of CLIP's own training; features do not depend on it


@dataclass(frozen=True)
class WeightsFile:
    """What a file holds.

    Attributes:
        path: of the file.
        state: tensors by name, float32, all finite.
        metadata: texts of the header by name; `model` is the name of a CLIP's architecture in open_clip.
        sha256: of the file's bytes, hexadecimal.
    """

    path: Path
    state: dict[str, Tensor]
    metadata: dict[str, str]
    sha256: str


def read_weights(path: Path) -> WeightsFile:
    """Read a safetensors file of any floating type.

    Raises:
        WeightsError: it cannot be read, is not safetensors, is cut short, or holds NaN or infinity; names the file.
    """
    try:
        sha256 = sha256_of(path)
        with safe_open(path, framework="pt") as content:
            metadata = dict(content.metadata() or {})
            stored = {name: content.get_tensor(name) for name in content.keys()}
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise WeightsError(f"cannot read the weights {path}: {reason}") from error
    except SafetensorError as error:
        raise WeightsError(
            f"{path} is not an intact safetensors file ({error}); other formats, such as pickles, are not read"
        ) from error
    return WeightsFile(path, finite(stored, path), metadata, sha256)


def shipped(name: str) -> Path:
    """The path of weights that come with clippan, by the name of their file."""
    return Path(str(resources.files("clippan_models") / "assets" / name))


def finite(stored: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Tensors of a file by name, those of floating point in float32.

    Raises:
        WeightsError: one holds NaN or infinity; names it and the file.
    """
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in stored.items()}
    for name, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{path} is damaged: {name} holds NaN or infinity")
    return state


def fill(model: nn.Module, weights: WeightsFile, architecture: str) -> None:
    """Copy weights into a model, every tensor of it.

    Args:
        model: gets the weights.
        weights: of a file.
        architecture: name of the model in messages.

    Raises:
        WeightsError: a tensor is missing, unknown or of another shape; names the file and the tensor.
    """
    wanted = {k: v for k, v in model.state_dict().items() if k not in _UNUSED}
    found = {k: v for k, v in weights.state.items() if k not in _UNUSED}
    if missing := sorted(wanted.keys() - found.keys()):
        raise _mismatch(weights, architecture, f"{missing[0]} is missing", len(missing))
    if foreign := sorted(found.keys() - wanted.keys()):
        raise _mismatch(weights, architecture, f"{foreign[0]} does not belong to it", len(foreign))
    if other := [k for k, v in wanted.items() if found[k].shape != v.shape]:
        shapes = f"{list(found[other[0]].shape)} instead of {list(wanted[other[0]].shape)}"
        raise _mismatch(weights, architecture, f"{other[0]} is {shapes}", len(other))
    model.load_state_dict(found, strict=False)  # all but the unused ones, as just checked


def _mismatch(weights: WeightsFile, architecture: str, what: str, count: int) -> WeightsError:
    more = f", and {count - 1} more" if count > 1 else ""
    return WeightsError(f"{weights.path} does not hold the weights of {architecture}: {what}{more}")
