"""Does a backbone come back from a file as it went in, and is anything else refused? Do weights of others fit?"""

from __future__ import annotations

import json
import math
import os
import pickle
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from clippan_models.errors import WeightsError
from clippan_models.networks.registry import BACKBONES
from clippan_models.networks.spec import BackboneSpec
from clippan_models.networks.statistics import recording, statistics_of
from clippan_models.store.card import CardBand, ModelCard
from clippan_models.store.checkpoint import Checkpoint, Normalisation, load_checkpoint, save_checkpoint
from clippan_models.store.foreign import fit_foreign, read_foreign
from clippan_models.testing.networks import inputs

ALL = list(BACKBONES.values())
EARLIER_HEADER = (
    '{"format": 1, "backbone": "pnn", "version": 1, "options": {}, "bands": 1, "normalisation": {"ms_mean": [300.5], '
    '"ms_std": [30], "pan_mean": 444.5, "pan_std": 66.25}, "about": {}, "card": {"sensor": "generic", "bands": '
    '[{"name": "red", "wavelength_nm": [630, 690]}], "bits": 11, "ratio": 4.0, "shifts": [[0.1, -0.25]], "mtf_gains": '
    '[0.3], "clip": "", "prompts": {"ms": "a", "pan": "b", "hrms": "c"}, "scenes": ["one"], "validation": {"before": '
    '{"total": 1.5}, "after": {"total": 1.0}}, "loss": {"spectral": 1.0}, "steps": 20, "best_step": 10, "seed": 7, '
    '"started_from": "", "version": "0.1.0", "licence": "CC0"}}'
)
HEADER: dict[str, Any] = {"format": 1, "backbone": "pnn", "options": {}, "bands": 3, "normalisation": None, "about": {}}
SMALL_CARD: dict[str, Any] = {"sensor": "generic", "bands": [{}, {}, {}], "bits": 11, "ratio": 4}
NORMALISATION = Normalisation((300.5, 401.25, 512.0), (30.5, 40.125, 51.0), 444.5, 66.25)


def pnn_state(bands: int) -> dict[str, Tensor]:
    """The weights of a network in the order of safetensors, which is not that in memory."""
    return {name: value.contiguous() for name, value in BACKBONES["pnn"].build(bands).state_dict().items()}


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
        ({"bands": math.inf}, "JSON is malformed"),
        ({"bands": True}, "got `bool` - at `$.bands`"),
        ({"normalisation": {"ms_mean": [1, 2, 3], "ms_std": [1, -2, 3], "pan_mean": 1, "pan_std": 1}}, "ms_std"),
        (
            {"normalisation": {"ms_mean": [1, 2], "ms_std": [1, 2, 3], "pan_mean": 1, "pan_std": 1}},
            "statistics are of 2",
        ),
        ({"card": {"sensor": "generic"}}, "missing required field `bands` - at `$.card`"),
        ({"card": {**SMALL_CARD, "bits": math.inf}}, "JSON is malformed"),
        ({"card": {**SMALL_CARD, "bits": -1}}, "`int` >= 0 - at `$.card.bits`"),
        ({"card": {**SMALL_CARD, "ratio": math.nan}}, "JSON is malformed"),
        ({"card": {**SMALL_CARD, "ratio": 1e300}}, "at `$.card.ratio`"),
        ({"card": {**SMALL_CARD, "ratio": 0}}, "at `$.card.ratio`"),
        ({"card": {**SMALL_CARD, "bands": []}}, "its card has 0 bands, its network 3 bands"),
        ({"card": {**SMALL_CARD, "bands": [{"wavelength_nm": [700, 600]}] * 3}}, "a band that ends before it begins"),
        ({"card": {**SMALL_CARD, "bands": [{"wavelength_nm": [-1, 600]}] * 3}}, "wavelength_nm"),
        ({"card": {**SMALL_CARD, "shifts": [[0, 0]]}}, "its card has 1 shifts"),
        ({"card": {**SMALL_CARD, "mtf_gains": [7, 7, 7]}}, "mtf_gains"),
        ({"card": {**SMALL_CARD, "steps": -3}}, "at `$.card.steps`"),
        ({"card": {**SMALL_CARD, "steps": 3, "best_step": 9}}, "the weights are of step 9 of 3"),
        ({"card": {**SMALL_CARD, "loss": {"spectral": 1e300}}}, "at `$.card.loss[...]`"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = tmp_path / "pnn.safetensors"
    save_file(pnn_state(3), path, metadata={"clippan": json.dumps({**HEADER, **change})})
    before = path.read_bytes()
    with pytest.raises(WeightsError, match=re.escape(words)):
        load_checkpoint(path)
    assert path.read_bytes() == before


def test_a_header_that_is_nested_deeply_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pnn.safetensors"
    deep = json.dumps(HEADER).replace('"options": {}', '"options": {"a": ' + "[" * 100_000)
    save_file(pnn_state(3), path, metadata={"clippan": deep})
    with pytest.raises(WeightsError, match="not a backbone that clippan has written"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: t.fill_(math.nan), "holds NaN or infinity"),
        (lambda t: t.fill_(1e38), "holds numbers above 1e+09"),
        (lambda t: t.double().fill_(1e300), "holds NaN or infinity"),
        (lambda t: t.int(), "is of type I32 instead of float32"),
        (lambda t: t.bool(), "is of type BOOL instead of float32"),
        (lambda t: t[:1], "is [1, "),
    ],
)
def test_tensors_that_no_training_leads_to_are_refused(
    spoil: Callable[[Tensor], Tensor], words: str, tmp_path: Path
) -> None:
    path, state = tmp_path / "pnn.safetensors", pnn_state(3)
    state["layers.0.weight"] = spoil(state["layers.0.weight"]).contiguous()
    save_file(state, path, metadata={"clippan": json.dumps(HEADER)})
    with pytest.raises(WeightsError, match=re.escape(f"layers.0.weight {words}")):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("size", "told", "words"),
    [
        (40 * 10**9, 40 * 10**9, "has 40 GB; weights of more than 20 GB are not read"),
        (19 * 10**9, 10**9, "not an intact safetensors file"),
        (2 * 10**9, 2 * 10**9, "does not hold the weights of pnn"),
    ],
)
def test_large_files_are_refused_by_their_header(size: int, told: int, words: str, tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    tensor = {"dtype": "F32", "shape": [told // 4], "data_offsets": [0, told]}
    head = json.dumps({"__metadata__": {"clippan": json.dumps(HEADER)}, "layers.0.weight": tensor}).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head)
    os.truncate(path, 8 + len(head) + size)
    started = time.monotonic()
    with pytest.raises(WeightsError, match=words):
        load_checkpoint(path)
    assert time.monotonic() - started < 1  # it takes longer to hash


def test_a_header_as_long_as_the_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    path.write_bytes((90 * 10**6).to_bytes(8, "little"))
    os.truncate(path, 10**8)
    with pytest.raises(WeightsError, match="its header is too long"):
        load_checkpoint(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(WeightsError, match="not a regular file"):
        load_checkpoint(tmp_path / "pipe.safetensors")


def test_what_could_not_be_measured_is_not_on_the_card(tmp_path: Path) -> None:
    path, card = tmp_path / "pnn.safetensors", ModelCard("generic", (CardBand(),), 11, 4.0)
    card = replace(card, validation={"before": {"total": math.nan, "spatial": 0.5}})
    save_checkpoint(Checkpoint("pnn", 1, BACKBONES["pnn"].build(1), card=card), path)
    loaded = load_checkpoint(path).card
    assert loaded is not None and loaded.validation == {"before": {"spatial": 0.5}}


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pnn.safetensors"
    save_file(pnn_state(1), path, metadata={"clippan": EARLIER_HEADER})
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
    torch.save({"a": torch.zeros(3, dtype=torch.int64)}, tmp_path / "integers.pth")
    torch.save({"a": torch.full((3,), 1e38)}, tmp_path / "large.pth")
    for name in (
        "text.pth",
        "empty.pth",
        "list.pth",
        "mixed.pth",
        "nan.pth",
        "integers.pth",
        "large.pth",
        "absent.pth",
    ):
        with pytest.raises(WeightsError, match=name):
            read_foreign(tmp_path / name)
