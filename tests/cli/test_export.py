"""`clippan models export`: other programs open the file and get what the network gives, or there is no file."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clippan_models.networks.precision import full_precision
from clippan_models.networks.registry import BACKBONES
from clippan_models.networks.statistics import statistics_of
from clippan_models.store.checkpoint import Checkpoint, Normalisation, save_checkpoint
from clippan_models.store.files import sha256_of
from clippan_models.store.weights_file import shipped
from tests.cli.conftest import RunMain

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated")
USAGE, OUTPUT, WEIGHTS = 2, 5, 7
BANDS = 2
STATISTICS = Normalisation((400.0, 500.0), (90.0, 80.0), 450.0, 120.0)
FORMATS = [
    *((name, ending) for name in ("anyband", "apnn", "pannet", "lambda-pnn") for ending in (".onnx", ".pt")),
    ("pnn", ".onnx"),
    ("fusionnet", ".onnx"),
    *(pytest.param(name, ".onnx", marks=pytest.mark.slow) for name in ("arbrpn", "lformer")),
]


def trained(name: str) -> nn.Module:
    """A network that corrects something, and that has seen a scene."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = BACKBONES[name].build(BANDS).eval()
        for parameter in network.parameters():
            if not parameter.count_nonzero():
                nn.init.normal_(parameter, std=0.05)
        for statistic in statistics_of(network):
            statistic.total.uniform_(1, 2)
            statistic.count.fill_(2)
    return network


def saved(name: str, folder: Path, network: nn.Module | None = None) -> str:
    path = folder / f"{name}.safetensors"
    save_checkpoint(Checkpoint(name, BANDS, network or trained(name), STATISTICS), path)
    return str(path)


def opened(path: Path) -> tuple[dict[str, Any], Any]:
    """What a file says, and its network, by what others would open it with."""
    if path.suffix == ".onnx":
        session = pytest.importorskip("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
        about = json.loads(session.get_modelmeta().custom_metadata_map["clippan"])

        def run(*images: Tensor) -> Tensor:
            named = {each["name"]: image.numpy() for each, image in zip(about["inputs"], images, strict=True)}
            return torch.from_numpy(session.run(None, named)[0])

        return about, run
    extra = {"clippan.json": ""}
    loaded = torch.jit.load(str(path), _extra_files=extra)  # type: ignore[no-untyped-call]
    return json.loads(extra["clippan.json"]), loaded


def images_for(about: dict[str, Any], height: int, width: int, bands: int = BANDS) -> Sequence[Tensor]:
    sides = {"batch": 1, "bands": bands, "height": height, "width": width}
    return [torch.randn([sides.get(axis, axis) for axis in each["shape"]]) for each in about["inputs"]]


@pytest.mark.parametrize(("name", "ending"), FORMATS)
def test_another_program_gets_what_the_network_gives(name: str, ending: str, run_main: RunMain, tmp_path: Path) -> None:
    if ending == ".onnx":
        pytest.importorskip("onnxruntime")
    network, target = trained(name), tmp_path / f"out{ending}"
    outcome = run_main(["models", "export", saved(name, tmp_path, network), "-o", str(target)])
    assert outcome.code == 0 and "differs from PyTorch by up to" in outcome.stdout, outcome.stderr
    about, run = opened(target)
    for height, width in ((96, 104), (31, 20)):
        images = images_for(about, height, width)
        with torch.no_grad(), full_precision():
            wanted = network(*images)
            assert float((wanted - images[0]).abs().max()) > 0.01
            torch.testing.assert_close(run(*images), wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("to", ["onnx", "torchscript"])
def test_the_network_that_comes_with_clippan_takes_any_number_of_bands(
    to: str, run_main: RunMain, tmp_path: Path
) -> None:
    if to == "onnx":
        pytest.importorskip("onnxruntime")
    target = tmp_path / ("a.onnx" if to == "onnx" else "a.ts")
    outcome = run_main(["models", "export", "anyband", "--to", to, "-o", str(target), "--json"])
    assert json.loads(outcome.stdout)["difference"] < 1e-4
    about, run = opened(target)
    assert about["weights"]["sha256"] == sha256_of(shipped("anyband.safetensors"))
    for bands in (1, 8):
        images = images_for(about, 40, 31, bands)
        assert run(*images).shape == images[0].shape


def test_the_file_says_how_to_use_it(run_main: RunMain, tmp_path: Path) -> None:
    weights, target = saved("lambda-pnn", tmp_path), tmp_path / "out.ts"
    assert run_main(["models", "export", weights, "-o", str(target)]).code == 0
    about, _ = opened(target)
    assert [(each["name"], each["shape"]) for each in about["inputs"]] == [
        ("start", ["batch", 2, "height", "width"]),
        ("pan", ["batch", 1, "height", "width"]),
    ]
    assert about["tiles"] == {"mode": "calibrated", "halo": 14, "overlap": 14, "align": 1, "padding": "reflect"}
    assert about["normalisation"]["ms_std"] == [90, 80] and about["normalisation"]["pan_mean"] == 450
    assert about["weights"] == {"file": "lambda-pnn.safetensors", "sha256": sha256_of(Path(weights))}
    assert all(each["unit"] and each["what"] for each in about["inputs"] + about["outputs"])


def test_two_exports_to_onnx_are_the_same_file(run_main: RunMain, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    weights, targets = saved("apnn", tmp_path), [tmp_path / "one.onnx", tmp_path / "two.onnx"]
    for target in targets:
        assert run_main(["models", "export", weights, "-o", str(target)]).code == 0
    assert sha256_of(targets[0]) == sha256_of(targets[1])


@pytest.mark.parametrize(
    ("source", "arguments", "code", "words"),
    [
        ("pan-mamba", [], USAGE, "windows of 128 pixels"),
        ("ship", [], USAGE, "patches of one size"),
        ("apnn", ["--to", "tensorflow"], USAGE, "onnx or torchscript"),
        ("apnn", ["-o", "out.bin"], USAGE, "add --to"),
        ("apnn", ["-o", "no/out.pt"], OUTPUT, "no"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_a_line(
    source: str, arguments: list[str], code: int, words: str, run_main: RunMain, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    weights = saved(source, tmp_path)
    monkeypatch.chdir(tmp_path)
    outcome = run_main(["models", "export", weights, "-o", "out.pt", *arguments])
    assert outcome.code == code and words in outcome.error_line
    assert [path.name for path in tmp_path.iterdir()] == [f"{source}.safetensors"]


@pytest.mark.parametrize(("name", "words"), [("pnn", "without weights"), ("pnm", "did you mean pnn")])
def test_a_name_without_weights_is_refused(name: str, words: str, run_main: RunMain, tmp_path: Path) -> None:
    outcome = run_main(["models", "export", name, "-o", str(tmp_path / "out.pt")])
    assert outcome.code == USAGE and words in outcome.error_line


def test_weights_without_statistics_of_a_scene_are_refused(run_main: RunMain, tmp_path: Path) -> None:
    weights = saved("lambda-pnn", tmp_path, BACKBONES["lambda-pnn"].build(BANDS))
    outcome = run_main(["models", "export", weights, "-o", str(tmp_path / "out.pt")])
    assert outcome.code == WEIGHTS and "--save-weights" in outcome.error_line


def test_a_file_that_computes_something_else_does_not_replace_a_good_one(
    run_main: RunMain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, target = saved("apnn", tmp_path), tmp_path / "out.pt"
    target.write_text("the good one")
    again = run_main(["models", "export", weights, "-o", str(target)])
    assert again.code == OUTPUT and "--overwrite" in again.error_line
    trace: Any = torch.jit.trace
    monkeypatch.setattr("torch.jit.trace", lambda network, *rest, **more: trace(trained("pnn"), *rest, **more))
    outcome = run_main(["models", "export", weights, "-o", str(target), "--overwrite"])
    assert outcome.code == WEIGHTS and "nothing was written" in outcome.error_line
    assert target.read_text() == "the good one" and len([*tmp_path.iterdir()]) == 2


def test_missing_packages_are_named(run_main: RunMain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    outcome = run_main(["models", "export", "anyband", "-o", str(tmp_path / "out.onnx")])
    assert outcome.code == USAGE and "pip install 'clippan[export]'" in outcome.error_line
