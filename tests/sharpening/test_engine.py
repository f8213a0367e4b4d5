"""Does a dry run tell what a run does, and does a run tell how it was made?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

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
