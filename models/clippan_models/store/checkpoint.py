"""A backbone in a safetensors file: its weights, recorded statistics, and all that is needed to use them again.

The header says which backbone it is, with which options and for how many bands, and how its inputs were normalised.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from clippan_models.errors import UsageError, WeightsError
from clippan_models.networks.registry import find_backbone
from clippan_models.store.card import ModelCard, card_from
from clippan_models.store.files import written_whole
from clippan_models.store.weights_file import WeightsFile, fill, read_weights

_HEADER = "clippan"
_FORMAT = 1
_MOST_BANDS = 1000  # a damaged header must not ask for all memory


@dataclass(frozen=True)
class Normalisation:
    """How inputs were brought to about zero mean and unit variance, DN.

    Attributes:
        ms_mean: mean of each band, in the order of the bands.
        ms_std: deviation of each band.
        pan_mean: mean of PAN.
        pan_std: deviation of PAN.
    """

    ms_mean: tuple[float, ...]
    ms_std: tuple[float, ...]
    pan_mean: float
    pan_std: float


@dataclass(frozen=True)
class Checkpoint:
    """A backbone with its weights.

    Attributes:
        backbone: its name in the registry.
        bands: number of MS bands.
        network: the network itself.
        normalisation: of its inputs; None where it is not known, as of weights from elsewhere.
        about: what else is worth knowing, e.g. where the weights come from.
        card: on what it learned and what scenes it fits; None for weights from elsewhere.
        sha256: of the file that it was read from; empty for one that was not.
    """

    backbone: str
    bands: int
    network: nn.Module
    normalisation: Normalisation | None = None
    about: dict[str, str] = field(default_factory=dict)
    card: ModelCard | None = None
    sha256: str = ""


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint beside the target first, then under its name; an existing file is replaced.

    Raises:
        OSError: the file cannot be written.
    """
    normalisation, spec = checkpoint.normalisation, find_backbone(checkpoint.backbone)
    header = {
        "format": _FORMAT,
        "backbone": checkpoint.backbone,
        "version": spec.version,
        "options": dict(spec.options),
        "bands": checkpoint.bands,
        "normalisation": asdict(normalisation) if normalisation else None,
        "about": checkpoint.about,
        "card": checkpoint.card.as_json() if checkpoint.card else None,
    }
    state = {name: value.detach().cpu().contiguous() for name, value in checkpoint.network.state_dict().items()}
    with written_whole(path) as partial:
        partial.write_bytes(save(state, metadata={_HEADER: json.dumps(header)}))  # save_file would bar other users


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; the network is on the CPU, in evaluation mode.

    Raises:
        WeightsError: the file cannot be read, is damaged, or does not hold a backbone of this version; names the file.
    """
    weights = read_weights(path)
    header = _header(weights)
    try:
        spec = find_backbone(header["backbone"])
        bands = int(header["bands"])
        if not 1 <= bands <= _MOST_BANDS:
            raise ValueError(f"{bands} bands")
        normalisation = _normalisation(header["normalisation"])
        same = header["options"] == dict(spec.options) and header.get("version", 1) == spec.version
        if header["format"] != _FORMAT or not same:
            raise WeightsError(f"{path} was written by another version of clippan: its {spec.name} has other options")
        about = {str(key): str(value) for key, value in header["about"].items()}
        card = card_from(header["card"]) if header.get("card") is not None else None
        if card is not None and len(card.bands) != bands:
            raise ValueError(f"a card of {len(card.bands)} bands for a network of {bands}")
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        raise WeightsError(f"{path} does not say what it holds: {error}") from error
    with torch.random.fork_rng(devices=[]):  # building draws weights, only to overwrite them
        network = spec.build(bands)
    fill(network, weights, f"{spec.name} for {bands} bands")
    return Checkpoint(spec.name, bands, network.eval(), normalisation, about, card, weights.sha256)


def _header(weights: WeightsFile) -> dict[str, Any]:
    try:
        header = json.loads(weights.metadata[_HEADER])
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{weights.path} is not a backbone that clippan has written") from error
    if not isinstance(header, dict):
        raise WeightsError(f"{weights.path} is not a backbone that clippan has written")
    return header


def _normalisation(stored: dict[str, Any] | None) -> Normalisation | None:
    if stored is None:
        return None
    bands = {key: tuple(float(value) for value in stored[key]) for key in ("ms_mean", "ms_std")}
    return Normalisation(bands["ms_mean"], bands["ms_std"], float(stored["pan_mean"]), float(stored["pan_std"]))
