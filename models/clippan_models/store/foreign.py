"""Weights that others have trained, from a PyTorch file into one of our backbones.

Such files are pickles, which can run code when they are read. They are read by PyTorch's restricted reader, which takes
tensors and plain containers only, and only when the user says that the file is to be trusted.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clippan_models.errors import WeightsError, in_one_line
from clippan_models.networks.spec import BackboneSpec
from clippan_models.networks.statistics import SceneStatistic
from clippan_models.outside import open_regular
from clippan_models.store.weights_file import sound

_NESTED = ("state_dict", "model_state_dict", "model", "net", "params", "params_ema")
_MOST_BANDS = 64  # that are tried


@dataclass(frozen=True)
class Fitted:
    """Weights of others in one of our networks.

    Attributes:
        network: in evaluation mode, without recorded statistics of a scene.
        bands: number of MS bands.
        by_name: tensors were matched by name; False: by order, as all shapes agree.
    """

    network: nn.Module
    bands: int
    by_name: bool


def read_foreign(path: Path) -> dict[str, Tensor]:
    """The tensors of a PyTorch file by name, in float32; a tensor stored under two names is returned once.

    Raises:
        WeightsError: it cannot be read, or holds anything but tensors of sound floating-point numbers.
    """
    try:
        with open_regular(path) as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds more than tensors, or is not a PyTorch file; such files can run code and are not read"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is not an intact PyTorch file: {in_one_line(error)}") from error
    tensors = _without_duplicates(_tensors(path, content))
    if others := [name for name, tensor in tensors.items() if not tensor.is_floating_point()]:
        raise WeightsError(f"{path} does not hold weights: {others[0]} is not of floating-point numbers")
    return sound(tensors, path)


def fit_foreign(spec: BackboneSpec, tensors: dict[str, Tensor], bands: int | None = None) -> Fitted:
    """Put weights of others into a backbone: by name, or by order where names differ but all shapes agree in order.

    Args:
        spec: the backbone.
        tensors: as `read_foreign` gives them.
        bands: of MS; None: the number that fits.

    Raises:
        WeightsError: no number of bands fits; says what differs.
    """
    for number in range(1, _MOST_BANDS + 1) if bands is None else (bands,):
        with torch.device("meta"):
            wanted = _learned(spec.build(number))
        by_name = {k: v.shape for k, v in wanted.items()} == {k: v.shape for k, v in tensors.items()}
        if by_name or [v.shape for v in wanted.values()] == [v.shape for v in tensors.values()]:
            return Fitted(_filled(spec, number, tensors, by_name), number, by_name)
    raise WeightsError(_difference(spec, tensors, bands))


def _tensors(path: Path, content: Any) -> dict[str, Tensor]:
    """The state dict of a file, wherever its framework has put it."""
    for key in _NESTED:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"{path} holds no tensors by name")
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def _without_duplicates(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    seen: set[tuple[int, int, torch.Size]] = set()
    kept = {}
    for name, tensor in tensors.items():
        location = (tensor.untyped_storage().data_ptr(), int(tensor.storage_offset()), tensor.shape)
        if location not in seen:
            kept[name] = tensor
            seen.add(location)
    return kept


def _learned(network: nn.Module) -> dict[str, Tensor]:
    """What a file of others can hold of a network: all but the statistics of a scene."""
    ours = tuple(name for name, module in network.named_modules() if isinstance(module, SceneStatistic))
    return {name: value for name, value in network.state_dict().items() if name.rpartition(".")[0] not in ours}


def _filled(spec: BackboneSpec, bands: int, tensors: dict[str, Tensor], by_name: bool) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        network = spec.build(bands)
    names = list(tensors) if by_name else list(_learned(network))
    network.load_state_dict(dict(zip(names, tensors.values(), strict=True)), strict=False)
    return network.eval()


def _difference(spec: BackboneSpec, tensors: dict[str, Tensor], bands: int | None) -> str:
    with torch.device("meta"):
        wanted = _learned(spec.build(bands or 4))
    ours, theirs = (f"{len(t)} tensors of {sum(v.numel() for v in t.values()):,} numbers" for t in (wanted, tensors))
    return f"these are not the weights of {spec.name}: with {bands or 4} bands it has {ours}, the file {theirs}"
