"""A backbone in a safetensors file: its weights, recorded statistics, and all that is needed to use them again.

The header says which backbone it is, with which options and for how many bands, how its inputs were normalised, and how
it was trained.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from safetensors.torch import save
from torch import nn

from clippan_models.errors import UsageError, WeightsError, shown
from clippan_models.networks.registry import find_backbone
from clippan_models.store.card import Finite, ModelCard, flaw
from clippan_models.store.files import written_whole
from clippan_models.store.weights_file import WeightsFile, fill, read_weights

_HEADER = "clippan"
_FORMAT = 1
_Deviation = Annotated[float, msgspec.Meta(ge=0, le=1e30)]


@dataclass(frozen=True)
class Normalisation:
    """How inputs were brought to about zero mean and unit variance, DN.

    Attributes:
        ms_mean: mean of each band, in the order of the bands.
        ms_std: deviation of each band.
        pan_mean: mean of PAN.
        pan_std: deviation of PAN.
    """

    ms_mean: tuple[Finite, ...]
    ms_std: tuple[_Deviation, ...]
    pan_mean: Finite
    pan_std: _Deviation


@dataclass(frozen=True)
class Checkpoint:
    """A backbone with its weights.

    Attributes:
        backbone: its name in the registry.
        bands: number of MS bands.
        network: the network itself.
        normalisation: of its inputs; None where it is not known, as for weights from elsewhere.
        about: what else is worth knowing, e.g. where the weights come from.
        card: how it was trained and which scenes it fits; None for weights from elsewhere.
        sha256: of the file that it was read from; empty for one that was not.
    """

    backbone: str
    bands: int
    network: nn.Module
    normalisation: Normalisation | None = None
    about: dict[str, str] = field(default_factory=dict)
    card: ModelCard | None = None
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class _Header:
    """What the file says beside its tensors, as JSON. Early files state neither `version` nor `card`."""

    format: int
    backbone: str
    version: int = 1
    options: dict[str, Any]
    bands: Annotated[int, msgspec.Meta(ge=1, le=1000)]  # a damaged header must not ask for all memory
    normalisation: Normalisation | None
    about: dict[str, str]
    card: ModelCard | None = None


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint beside the target first, then under its name; an existing file is replaced.

    Raises:
        OSError: the file cannot be written.
    """
    spec = find_backbone(checkpoint.backbone)
    header = _Header(
        format=_FORMAT,
        backbone=checkpoint.backbone,
        version=spec.version,
        options=dict(spec.options),
        bands=checkpoint.bands,
        normalisation=checkpoint.normalisation,
        about=checkpoint.about,
        card=checkpoint.card and _with_finite_numbers(checkpoint.card),
    )
    state = {name: value.detach().cpu().contiguous() for name, value in checkpoint.network.state_dict().items()}
    with written_whole(path) as partial:
        # save_file would make the file unreadable to other users
        partial.write_bytes(save(state, metadata={_HEADER: json.dumps(asdict(header), allow_nan=False)}))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; the network is on the CPU, in evaluation mode.

    Raises:
        WeightsError: the file cannot be read, is damaged, or does not hold a backbone of this version; names the file.
    """
    weights = read_weights(path)
    header = _header(weights)
    spec, bands = find_backbone(header.backbone), header.bands
    with torch.random.fork_rng(devices=[]):  # building draws weights, only to overwrite them
        network = spec.build(bands)
    fill(network, weights, f"{spec.name} for {bands} bands")
    about = header.about
    return Checkpoint(spec.name, bands, network.eval(), header.normalisation, about, header.card, weights.sha256)


def _header(weights: WeightsFile) -> _Header:
    """What a file says beside its tensors, checked.

    Raises:
        WeightsError: it does not say what a file of this version does, or contradicts itself.
    """
    path = shown(weights.path)
    try:
        header = msgspec.json.decode(weights.metadata.get(_HEADER, "{}"), type=_Header)
        spec = find_backbone(header.backbone)
    except (ValueError, RecursionError, UsageError) as error:
        raise WeightsError(f"{path} is not a backbone that clippan has written: {error}") from error
    if (header.format, header.version, header.options) != (_FORMAT, spec.version, dict(spec.options)):
        raise WeightsError(f"{path} was written by another version of clippan: its {spec.name} has other options")
    normal, bands = header.normalisation, header.bands
    wrong = flaw(header.card, bands) if header.card else None
    if normal is not None and not len(normal.ms_mean) == len(normal.ms_std) == bands:
        wrong = f"its statistics are of {len(normal.ms_mean)} and {len(normal.ms_std)} bands, its network of {bands}"
    if wrong is not None:
        raise WeightsError(f"{path} is damaged: {wrong}")
    return header


def _with_finite_numbers(card: ModelCard) -> ModelCard:
    """The card without what could not be measured."""
    measured = {
        when: {name: value for name, value in numbers.items() if math.isfinite(value)}
        for when, numbers in card.validation.items()
    }
    return replace(card, validation=measured)
