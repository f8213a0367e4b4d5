"""Does a backbone come back from a file as it went in, and is anything else refused? Do weights of others fit?"""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from clippan_models.errors import WeightsError
from clippan_models.networks.registry import BACKBONES
from clippan_models.networks.spec import BackboneSpec
from clippan_models.networks.statistics import recording, statistics_of
from clippan_models.store.card import CardBand, ModelCard
from clippan_models.store.checkpoint import Checkpoint, Normalisation, load_checkpoint, save_checkpoint
from clippan_models.store.foreign import fit_foreign, read_foreign
from tests.models.networks.test_backbones import inputs

ALL = list(BACKBONES.values())
EARLIER_HEADER = (
    '{"format": 1, "backbone": "pnn", "version": 1, "options": {}, "bands": 1, "normalisation": {"ms_mean": [300.5], '
    '"ms_std": [30], "pan_mean": 444.5, "pan_std": 66.25}, "about": {}, "card": {"sensor": "generic", "bands": '
    '[{"name": "red", "wavelength_nm": [630, 690]}], "bits": 11, "ratio": 4.0, "shifts": [[0.1, -0.25]], "mtf_gains": '
    '[0.3], "clip": "", "prompts": {"ms": "a", "pan": "b", "hrms": "c"}, "scenes": ["one"], "validation": {"before": '
    '{"total": 1.5}, "after": {"total": 1.0}}, "loss": {"spectral": 1.0}, "steps": 20, "best_step": 10, "seed": 7, '
    '"started_from": "", "version": "0.1.0", "licence": "CC0"}}'
)
NORMALISATION = Normalisation((300.5, 401.25, 512.0), (30.5, 40.125, 51.0), 444.5, 66.25)


def trained(spec: BackboneSpec, bands: int = 3) -> nn.Module:
    """A backbone that corrects something, and has recorded the statistics of a scene."""
    torch.manual_seed(1)
    network = spec.build(bands)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.05) if not bool(parameter.any()) else None
    with recording(network.eval()) as needed, torch.no_grad():
        if needed:
            network(torch.randn(2, bands, 16, 16), torch.randn(2, 1, 16, 16))
    return network


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
def test_a_backbone_comes_back_as_it_was(spec: BackboneSpec, tmp_path: Path) -> None:
    network, path = trained(spec), tmp_path / "backbone.safetensors"
    save_checkpoint(Checkpoint(spec.name, 3, network, NORMALISATION, {"scene": "a test"}), path)
    loaded = load_checkpoint(path)
    assert (loaded.backbone, loaded.bands, loaded.normalisation) == (spec.name, 3, NORMALISATION)
    assert loaded.about == {"scene": "a test"}
    frozen = [(s.total, s.count) for s in statistics_of(network)]
    assert all(
        torch.equal(total, s.total) and torch.equal(count, s.count) and bool(count)
        for (total, count), s in zip(frozen, statistics_of(loaded.network), strict=True)
    )
    shown = inputs(spec, 3, 16, 24)
    with torch.no_grad():
        assert torch.equal(loaded.network(*shown), network(*shown))
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"backbone": "pnm"}, "pnm"),
        ({"bands": 5}, "layers.0.weight is"),
        ({"bands": 10**12}, "bands"),
        ({"bands": "many"}, "got `str` - at `$.bands`"),
        ({"options": {"stages": 5}}, "other options"),
        ({"format": 2}, "another version"),
        ({"normalisation": {"ms_mean": 3}}, "normalisation.ms_mean"),
        ({"about": 3}, "at `$.about`"),
        ({"card": {"sensor": "generic"}}, "missing required field `bands` - at `$.card`"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    network, path = BACKBONES["pnn"].build(3), tmp_path / "pnn.safetensors"
    header = {"format": 1, "backbone": "pnn", "options": {}, "bands": 3, "normalisation": None, "about": {}}
    save_file(network.state_dict(), path, metadata={"clippan": json.dumps({**header, **change})})
    with pytest.raises(WeightsError, match=re.escape(words)):
        load_checkpoint(path)


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pnn.safetensors"
    save_file(BACKBONES["pnn"].build(1).state_dict(), path, metadata={"clippan": EARLIER_HEADER})
    loaded = load_checkpoint(path)
    assert loaded.normalisation == Normalisation((300.5,), (30.0,), 444.5, 66.25)
    assert loaded.card == ModelCard(
        sensor="generic",
        bands=(CardBand("red", (630.0, 690.0)),),
        bits=11,
        ratio=4.0,
        shifts=((0.1, -0.25),),
        mtf_gains=(0.3,),
        prompts={"ms": "a", "pan": "b", "hrms": "c"},
        scenes=("one",),
        validation={"before": {"total": 1.5}, "after": {"total": 1.0}},
        loss={"spectral": 1.0},
        steps=20,
        best_step=10,
        seed=7,
        version="0.1.0",
        licence="CC0",
    )


@pytest.mark.parametrize("metadata", [None, {"clippan": "{"}, {"clippan": "[]"}])
def test_a_file_of_somebody_else_is_refused(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(3)}, path, metadata=metadata)
    with pytest.raises(WeightsError, match="not a backbone that clippan has written"):
        load_checkpoint(path)


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
def test_weights_of_others_fit_by_name_or_by_order(spec: BackboneSpec, tmp_path: Path) -> None:
    network, path = trained(spec), tmp_path / "theirs.pth"
    statistics = {id(s.total) for s in statistics_of(network)} | {id(s.count) for s in statistics_of(network)}
    state = {k: v for k, v in network.state_dict(keep_vars=True).items() if id(v) not in statistics}
    for by_name, stored in ((True, state), (False, {f"theirs.{i}": v for i, v in enumerate(state.values())})):
        torch.save({"epoch": 3, "state_dict": {f"module.{k}": v.detach() for k, v in stored.items()}}, path)
        fitted = fit_foreign(spec, read_foreign(path), bands=3)
        assert fitted.by_name == by_name
        assert all(torch.equal(fitted.network.state_dict()[k], v) for k, v in state.items())


def test_the_number_of_bands_is_found_and_what_is_stored_twice_counts_once(tmp_path: Path) -> None:
    state = BACKBONES["fusionnet"].build(8).state_dict()
    twice = {**state, **{f"again.{k}": v for k, v in state.items()}}
    torch.save(twice, tmp_path / "theirs.pth")
    assert fit_foreign(BACKBONES["fusionnet"], read_foreign(tmp_path / "theirs.pth")).bands == 8


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(WeightsError, match="not the weights of apnn: with 4 bands it has 6 tensors of 61,124"):
        fit_foreign(BACKBONES["apnn"], BACKBONES["pnn"].build(4).state_dict())


class Evil:
    """Unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    made = tmp_path / "made"
    torch.save({"state_dict": Evil(made)}, tmp_path / "evil.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Evil(made)))
    for name in ("evil.pth", "plain.pth"):
        with pytest.raises(WeightsError, match=name):
            read_foreign(tmp_path / name)
    assert not made.exists()


def test_files_that_hold_no_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("not weights")
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    torch.save({"a": torch.zeros(3), "b": 3}, tmp_path / "mixed.pth")
    torch.save({"a": torch.full((3,), torch.nan)}, tmp_path / "nan.pth")
    for name in ("text.pth", "empty.pth", "list.pth", "mixed.pth", "nan.pth", "absent.pth"):
        with pytest.raises(WeightsError, match=name):
            read_foreign(tmp_path / name)
