"""How much is loaded before a command answers: who has mistyped should not wait for torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.cli.conftest import Desk

_WATCHED = """
import json, sys
sys.argv = ["clippan", *sys.argv[1:]]
from clippan_cli.main import main
try:
    main()
except SystemExit as leaving:
    print(json.dumps({"code": leaving.code, "modules": sorted(sys.modules)}))
"""


@dataclass(frozen=True)
class Loaded:
    """How a run ended, and what was imported until then."""

    code: int
    modules: frozenset[str]


def loaded_by(argv: list[str]) -> Loaded:
    done = subprocess.run([sys.executable, "-c", _WATCHED, *argv], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return Loaded(found["code"], frozenset(found["modules"]))


def existing_output(desk: Desk) -> list[str]:
    desk.out.touch()
    return desk.sharpen()


def missing_file(desk: Desk) -> list[str]:
    return desk.sharpen(ms=desk.path("gone.tif"))


def existing_report(desk: Desk) -> list[str]:
    page = desk.folder / "page.html"
    page.touch()
    return desk.sharpen("--report", str(page))


def weights_that_stay(desk: Desk) -> list[str]:
    weights = desk.folder / "kept.safetensors"
    weights.touch()
    return desk.sharpen("--method", "network", "--save-weights", str(weights))


@pytest.mark.parametrize(
    ("wrong", "code"),
    [(existing_output, 5), (existing_report, 5), (weights_that_stay, 5), (missing_file, 3)],
)
def test_what_names_alone_tell_is_refused_without_gdal(
    wrong: Callable[[Desk], list[str]], code: int, desk: Desk
) -> None:
    found = loaded_by(wrong(desk))
    assert found.code == code and not found.modules & {"torch", "rasterio", "numpy", "scipy"}


@pytest.mark.parametrize(
    "options",
    [
        ["--method", "gs"],
        ["--backbone", "ship"],
        ["--backbone", "a-pnn"],
        ["--teacher", "nobody"],
        ["--preset", "slow"],
        ["--loss", "spec,what"],
        ["--stem", "rbg"],
        ["--prompts", "nobody"],
        ["--clip", "nobody"],
        ["--device", "gpu"],
        ["--tile", "3"],
        ["--progress", "often"],
    ],
    ids="=".join,
)
def test_a_wrong_value_is_refused_without_gdal(options: list[str], desk: Desk) -> None:
    found = loaded_by(desk.sharpen(*options))
    assert found.code == 2 and not found.modules & {"torch", "rasterio", "numpy", "scipy"}


def swapped(desk: Desk) -> list[str]:
    return desk.sharpen(ms=desk.pan(), pan=desk.ms())


def apart(desk: Desk) -> list[str]:
    return desk.sharpen("--bbox", "0,0,1,1")


def no_such_band(desk: Desk) -> list[str]:
    return desk.sharpen("--bands", "9")


def no_such_compression(desk: Desk) -> list[str]:
    return desk.sharpen("--compress", "zipp")


def unknown_sensor(desk: Desk) -> list[str]:
    return desk.sharpen("--sensor", "worldvew-2")


@pytest.mark.parametrize(
    ("wrong", "code"), [(swapped, 4), (apart, 4), (no_such_band, 2), (no_such_compression, 2), (unknown_sensor, 2)]
)
def test_a_pair_that_will_not_do_is_refused_without_torch(
    wrong: Callable[[Desk], list[str]], code: int, desk: Desk
) -> None:
    found = loaded_by(wrong(desk))
    assert found.code == code and not found.modules & {"torch", "scipy"}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("info gone.tif pan.tif", 3),
        ("info pan.tif ms.tif", 4),
        ("assess gone.tif --ms ms.tif --pan pan.tif", 3),
        ("batch nowhere -o sharp", 3),
        ("batch . --dry-run", 0),
        ("adapt nowhere -o weights.safetensors", 3),
        ("adapt . --dry-run", 0),
    ],
)
def test_other_commands_look_before_they_load_torch(
    words: str, code: int, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.ms(), desk.pan()
    monkeypatch.chdir(desk.folder)
    found = loaded_by(words.split())
    assert found.code == code and not found.modules & {"torch", "scipy"}


def test_a_classical_method_loads_no_network_and_no_clip(desk: Desk) -> None:
    argv = [word for word in desk.sharpen("--method", "gsa", "-q") if word != "--no-quality"]
    found = loaded_by(argv)
    assert found.code == 0 and "torch" in found.modules
    heavy = {"scipy", "open_clip", "huggingface_hub"}
    ours = {"clippan_models.networks.registry", "clippan_models.guidance.encoder", "clippan_models.adaptation.trainer"}
    assert not found.modules & (heavy | ours)
