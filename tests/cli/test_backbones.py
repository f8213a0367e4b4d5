"""`clippan models list`, `show` and `convert`: what there is, what it costs, and weights of others on request only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from clippan_models.networks.registry import BACKBONES
from clippan_models.store.checkpoint import load_checkpoint
from tests.cli.conftest import RunMain

USAGE, OUTPUT, WEIGHTS = 2, 5, 7


def test_the_list_names_all_backbones_and_how_they_tile(run_main: RunMain) -> None:
    outcome = run_main(["models", "list"])
    assert outcome.code == 0
    lines = {line.split()[0]: line.split() for line in outcome.stdout.splitlines()[2:]}
    assert list(lines) == list(BACKBONES)
    assert lines["apnn"][1:3] == ["61,124", "61"] and lines["apnn"][-1] == "exact"
    assert lines["ship"][-2:] == ["all", "fixed"]


def test_the_list_for_machines(run_main: RunMain) -> None:
    document = json.loads(run_main(["models", "list", "--json", "--bands", "8"]).stdout)
    found = {each["name"]: each for each in document["backbones"]}
    assert list(found) == list(BACKBONES)
    assert found["apnn"]["parameters"] == 79_880 and found["apnn"]["bands"] == 8
    assert found["arbrpn"]["halo"] == 482 and found["pan-mamba"]["halo"] is None


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_is_shown_with_its_paper_and_licence(name: str, run_main: RunMain) -> None:
    outcome = run_main(["models", "show", name])
    spec = BACKBONES[name]
    assert outcome.code == 0
    for words in (spec.title, spec.tile_mode, spec.provenance.doi, "Apache-2.0", f"{spec.parameters(4):,}"):
        assert words in outcome.stdout
    assert json.loads(run_main(["models", "show", name, "--json"]).stdout)["paper"] == spec.provenance.paper


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "pnm"], ("'pnm'", "did you mean pnn")),
        (["show", "pnn", "--bands", "0"], ("--bands 0",)),
        (["list", "--bands", "-1"], ("--bands -1",)),
    ],
)
def test_what_there_is_not_is_not_shown(arguments: list[str], words: tuple[str, ...], run_main: RunMain) -> None:
    outcome = run_main(["models", *arguments])
    assert outcome.code == USAGE and all(word in outcome.stderr for word in words)


def test_weights_of_others_are_converted_once_trusted(run_main: RunMain, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs.pth", tmp_path / "ours.safetensors"
    network = BACKBONES["pnn"].build(4)
    torch.save({f"conv{i}": v for i, v in enumerate(network.state_dict().values())}, theirs)
    arguments = ["models", "convert", str(theirs), str(ours), "--backbone", "pnn"]
    refused = run_main(arguments)
    assert refused.code == USAGE and "--trust" in refused.stderr and not ours.exists()
    done = run_main([*arguments, "--trust"])
    assert done.code == 0 and "80,420 of pnn for 4 bands" in done.stdout and "order" in done.stdout
    loaded = load_checkpoint(ours)
    assert loaded.about == {"converted_from": "theirs.pth"} and loaded.normalisation is None
    assert all(torch.equal(v, network.state_dict()[k]) for k, v in loaded.network.state_dict().items())
    again = run_main([*arguments, "--trust"])
    assert again.code == OUTPUT and "--overwrite" in again.stderr
    assert json.loads(run_main([*arguments, "--trust", "--overwrite", "--json"]).stdout)["by_name"] is False


@pytest.mark.parametrize(
    ("name", "target", "backbone", "code"),
    [
        ("theirs.pth", "ours.safetensors", "apnn", WEIGHTS),
        ("theirs.pth", "ours.pth", "pnn", USAGE),
        ("theirs.pth", "ours.safetensors", "pnm", USAGE),
        ("theirs.pth", "no/ours.safetensors", "pnn", OUTPUT),
        ("absent.pth", "ours.safetensors", "pnn", WEIGHTS),
        ("text.pth", "ours.safetensors", "pnn", WEIGHTS),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(
    name: str, target: str, backbone: str, code: int, run_main: RunMain, tmp_path: Path
) -> None:
    torch.save(BACKBONES["pnn"].build(4).state_dict(), tmp_path / "theirs.pth")
    (tmp_path / "text.pth").write_text("not weights")
    outcome = run_main(
        ["models", "convert", str(tmp_path / name), str(tmp_path / target), "--backbone", backbone, "--trust"]
    )
    assert outcome.code == code and outcome.stderr.count("\n") == 1
    assert not (tmp_path / target).exists()
