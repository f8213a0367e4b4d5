"""Does a dry run tell what a run does, and does a run tell how it was made?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from clippan_cli.running.compute import choose_device
from clippan_cli.running.options import ComputeOptions
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.synthetic import DemoScene
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.tasks.sharpen import plan_sharpen, sharpen
from clippan_models.adaptation.options import AdaptOptions
from clippan_models.methods.registry import METHODS
from tests.conftest import Bench


@pytest.mark.parametrize("method", METHODS)
def test_a_dry_run_tells_what_the_run_does(bench: Bench, town: DemoScene, method: str, tmp_path: Path) -> None:
    ms, pan = bench.write_demo(town)
    files, read = SceneFiles((ms,), pan), ReadOptions(coregister="off")
    options = SharpenOptions(
        tmp_path / "hrms.tif",
        method=method,
        compute=ComputeOptions("cpu", threads=1),
        adapt=AdaptOptions(steps=1, backbone="fusionnet"),
        assess=False,
    )
    planned = plan_sharpen(files, read, options)
    assert planned.output is None and not options.output.exists()
    made = sharpen(files, read, options)
    assert made.plan == planned.plan
    assert planned.provenance.items() <= made.provenance.items()


def test_more_memory_gives_larger_tiles(bench: Bench, town: DemoScene, tmp_path: Path) -> None:
    ms, pan = bench.write_demo(town)
    files = SceneFiles((ms,), pan)
    base = SharpenOptions(tmp_path / "hrms.tif", method="gsa", compute=ComputeOptions("cpu", threads=1, ram_mb=450))
    small, large = (
        plan_sharpen(files, ReadOptions(), replace(base, compute=replace(base.compute, ram_mb=ram))).plan
        for ram in (450, 4000)
    )
    assert small.tile < large.tile and small.memory_mb < large.memory_mb


@pytest.mark.parametrize(
    ("free_gb", "ram_mb", "tile"), [(40, 4000, 2048), (0.7, 4000, 512), (0.01, 4000, 256), (40, 700, 1024)]
)
def test_a_gpu_has_tiles_as_large_as_its_memory_and_ours_allow(
    bench: Bench,
    town: DemoScene,
    free_gb: float,
    ram_mb: int,
    tile: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Setting up a tile takes a GPU as long as a million pixels do; so few large ones, but no larger than fit."""
    monkeypatch.setattr("clippan_cli.sharpening.engine.free_gpu_bytes", lambda _: free_gb * 1e9)
    ms, pan = bench.write_demo(town)
    options = SharpenOptions(
        tmp_path / "hrms.tif", adapt=AdaptOptions(steps=0), compute=ComputeOptions("cpu", threads=1, ram_mb=ram_mb)
    )
    assert plan_sharpen(SceneFiles((ms,), pan), ReadOptions(coregister="off"), options).plan.tile == tile


@pytest.mark.parametrize(
    ("asked", "network", "chosen"), [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu")]
)
def test_a_gpu_is_for_networks(asked: str, network: bool, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert choose_device(asked, network=network).type == chosen
