"""Writes the weights file of the embedded CLIP, half precision safetensors, and reads what its header says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from clippan_models.errors import WeightsError
from clippan_models.guidance.embedded import CONFIG, build_embedded
from clippan_models.guidance.options import EMBEDDED
from clippan_models.store.files import written_whole
from clippan_models.store.weights_file import WeightsFile, fill, read_weights

_HEADER = "clippan"


def save_embedded(model: nn.Module, path: Path, about: dict[str, Any]) -> None:
    """Write the weights in half precision, beside the target first, then under its name.

    Args:
        model: of the architecture `CONFIG`.
        path: a `.safetensors` file; replaced if it exists.
        about: what the header says of the training, beside the configuration.
    """
    tensors = {name: value.detach().to("cpu", torch.float16).contiguous() for name, value in model.state_dict().items()}
    header = {"model": EMBEDDED, _HEADER: json.dumps({"format": 1, "config": CONFIG, **about})}
    with written_whole(path) as partial:
        save_file(tensors, partial, metadata=header)


def read_about(path: Path) -> dict[str, Any]:
    """What the header of a weights file says of its training; WeightsError where it is not one of ours."""
    return _about(read_weights(path))


def load_embedded(path: Path) -> nn.Module:
    """The model with the weights of a file, in float32, for evaluation; WeightsError where it is not one of ours."""
    weights = read_weights(path)
    _about(weights)
    with torch.random.fork_rng(devices=[]):  # the random weights, replaced in a moment, cost the caller no numbers
        model = build_embedded()
    fill(model, weights, EMBEDDED)
    return model.eval()


def _about(weights: WeightsFile) -> dict[str, Any]:
    about: dict[str, Any] = json.loads(weights.metadata.get(_HEADER, "{}"))
    if about.get("config") != CONFIG:
        raise WeightsError(f"{weights.path}: not the weights of the embedded CLIP of this version")
    return about
