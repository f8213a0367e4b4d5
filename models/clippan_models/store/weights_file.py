"""Weights of a CLIP from a safetensors file, checked before they are believed.

Only safetensors: a pickle can run code when it is read. A file may carry `model` in its metadata, the name of the
architecture in open_clip.
"""

from __future__ import annotations

from dataclasses import dataclass
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
        path: where it was read.
        state: tensors by name, float32, all finite.
        metadata: of the header, texts by name.
        sha256: of the file's bytes, hexadecimal.
    """

    path: Path
    state: dict[str, Tensor]
    metadata: dict[str, str]
    sha256: str


def read_weights(path: Path) -> WeightsFile:
    """Read a safetensors file of any floating type.

    Raises:
        WeightsError: it cannot be read, is no safetensors, is cut short, or holds NaN or infinity; names the file.
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
    for name, tensor in stored.items():
        if not tensor.is_floating_point():
            continue
        if not bool(torch.isfinite(tensor.float()).all()):
            raise WeightsError(f"{path} is damaged: {name} holds NaN or infinity")
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in stored.items()}
    return WeightsFile(path, state, metadata, sha256)


def fill(model: nn.Module, weights: WeightsFile, architecture: str) -> None:
    """Copy weights into a model, every tensor of it.

    Args:
        model: to be filled.
        weights: its state dict.
        architecture: what to call the model in a message.

    Raises:
        WeightsError: a tensor is missing, has another shape, or does not belong there; names the file and the tensor.
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
