"""Does `adapt` say how good its weights are, in the numbers of `assess`, on scenes that it did not learn from?"""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from affine import Affine
from safetensors.torch import load_file

from clippan_cli.rasters.options import Trust
from clippan_cli.running.control import Control, Progress
from clippan_cli.running.options import ComputeOptions
from clippan_cli.scene.files import ReadOptions
from clippan_cli.scene.pairs import find_pairs
from clippan_cli.scene.synthetic import make_demo_scene
from clippan_cli.tasks.adapt import adapt_archive
from clippan_cli.training.options import ArchiveOptions, ValidationOptions
from clippan_cli.training.result import ALL, BEFORE, CLASSICAL, FULL, LEARNED, REDUCED, SCRATCH, ArchiveResult
from clippan_cli.weights.cards import show_weights
from clippan_models.adaptation.options import AdaptOptions
from clippan_models.errors import Interrupted
from clippan_models.guidance.options import GuidanceOptions
from tests.cli.conftest import MS_PIXEL, PAN_PIXEL, Desk, RunMain


def write_archive(folder: Path, names: tuple[str, ...]) -> Path:
    """Scenes side by side."""
    desk = Desk(folder)
    for number, name in enumerate(names):
        demo = make_demo_scene(256, seed=number, shift=(0.0, 0.0))
        east = Affine.translation(4000 * number, 0)
        desk.ms(f"{name}_ms.tif", pixels=demo.ms.astype("uint16"), transform=east @ MS_PIXEL)
        desk.pan(f"{name}_pan.tif", pixels=demo.pan.astype("uint16"), transform=east @ PAN_PIXEL)
    return folder


def options_of(output: Path, **changes: Any) -> ArchiveOptions:
    """Two steps."""
    usual = ArchiveOptions(
        output,
        compute=ComputeOptions("cpu", 1),
        adapt=AdaptOptions(steps=2, validate_every=1),
        guidance=GuidanceOptions("none"),
    )
    return replace(usual, **changes)


def learn(archive: Path, output: Path, control: Control | None = None, **changes: Any) -> ArchiveResult:
    table = find_pairs(archive, Trust(), Control())
    return adapt_archive(table, ReadOptions(coregister="off"), options_of(output, **changes), control)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("archive"), ("a", "b"))


@pytest.fixture(scope="module")
def learned(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> ArchiveResult:
    return learn(archive, tmp_path_factory.mktemp("learned") / "w.safetensors")


def test_the_numbers_are_those_that_assess_gives(
    learned: ArchiveResult, archive: Path, tmp_path: Path, run_main: RunMain
) -> None:
    (scene,) = learned.as_json()["validation"]["scenes"]
    name = scene["name"]
    assert name not in learned.learned_from and scene["part"] is None
    found = {one["method"]: one["metrics"] for one in scene["scores"]}
    assert list(found) == [LEARNED, BEFORE, *CLASSICAL] and all(tuple(m) == ALL for m in found.values())
    ms, pan, sharp = str(archive / f"{name}_ms.tif"), str(archive / f"{name}_pan.tif"), str(tmp_path / "sharp.tif")
    still = ["--method", "network", "--steps", "0", "--coregister", "off", "-j", "1", "--no-quality"]
    made = run_main(["sharpen", ms, pan, "-o", sharp, "--weights", str(learned.output), *still])
    assert made.code == 0, made.stderr
    command = ["assess", sharp, "--ms", ms, "--pan", pan, "--no-baselines", "--wald", "gsa", "-j", "1", "--json"]
    said = json.loads(run_main(command).stdout)
    image, (wald,) = said["images"][0]["metrics"], said["wald"]
    for index in FULL:
        assert found[LEARNED][index] == pytest.approx(image[index], rel=1e-9)
    for index in REDUCED:
        assert found["gsa"][index] == pytest.approx(wald["metrics"][index], rel=1e-9)


def test_what_is_merely_interpolated_is_found_out(learned: ArchiveResult) -> None:
    assert learned.validation is not None
    mean = {one.method: one.metrics for one in learned.validation.mean}
    for index in ("D_rho", "ERGAS", "SAM"):
        assert mean["exp"][index] > mean[LEARNED][index]
    best = learned.validation.best
    assert best["D_rho"] == min(mean, key=lambda m: mean[m]["D_rho"])
    assert best["Q2n"] == max(mean, key=lambda m: mean[m]["Q2n"])


def test_the_card_keeps_the_means_before_and_after(learned: ArchiveResult) -> None:
    assert learned.validation is not None
    mean = {one.method: one.metrics for one in learned.validation.mean}
    shown = show_weights(learned.output)
    assert shown.card is not None
    assert shown.card.validation["quality before"] == pytest.approx(mean[BEFORE])
    assert shown.card.validation["quality after"] == pytest.approx(mean[LEARNED])
    assert "quality after" in dict(shown.lines()) and {"before", "after"} <= {*shown.card.validation}


@pytest.mark.slow
def test_one_that_is_stopped_goes_on_to_the_same(learned: ArchiveResult, archive: Path, tmp_path: Path) -> None:
    control = Control()

    def stop(progress: Progress) -> None:
        if progress.stage == "validate" and progress.done == 1:
            control.stop_signal = signal.SIGTERM

    control.on_progress = stop
    output = tmp_path / "w.safetensors"
    with pytest.raises(Interrupted, match="--resume measures it"):
        learn(archive, output, control)
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors.snapshot"]
    again = learn(archive, output, resume=True)
    assert again.validation == learned.validation and again.resumed_at == 2
    one, other = load_file(learned.output), load_file(output)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_single_scene_is_said_to_be_no_proof(tmp_path: Path) -> None:
    """And of a large scene, only a part is measured."""
    archive = write_archive(tmp_path, ("only",))
    small = learn(archive, tmp_path / "a.safetensors", validation=ValidationOptions(side=130))
    found = small.validation
    assert found is not None and not found.unseen and len(found.scenes) == 1
    assert "which was learned from" in found.measured and "at most 128 PAN pixels" in found.measured
    part = found.scenes[0].part
    assert part is not None and part.row % 4 == part.col % 4 == 0 and part.pixels == 128**2
    tiny = learn(archive, tmp_path / "b.safetensors", validation=ValidationOptions(side=24)).validation
    assert tiny is not None and not tiny.scenes and "too small for Wald" in tiny.left_out[0].reason
    assert tiny.measured == "nothing could be measured" and tiny.mean == () and tiny.best == {}


@pytest.mark.slow
def test_adaptation_from_scratch_and_weights_to_begin_with(
    learned: ArchiveResult, archive: Path, tmp_path: Path
) -> None:
    how = ValidationOptions(scratch_steps=10, side=160)
    output = tmp_path / "w.safetensors"
    found = learn(archive, output, weights=learned.output, validation=how).validation
    assert found is not None
    mean = {one.method: one.metrics for one in found.mean}
    assert list(mean) == [LEARNED, BEFORE, *CLASSICAL, SCRATCH]
    assert mean[SCRATCH]["D_rho"] < mean["exp"]["D_rho"]


def test_its_failure_does_not_cost_the_weights(
    archive: Path, tmp_path: Path, run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, blocked = tmp_path / "w.safetensors", tmp_path / "no-folder"
    blocked.touch()
    short = ["adapt", str(archive), "--steps", "1", "--clip", "none", "--coregister", "off", "-j", "1"]
    with monkeypatch.context() as changed:
        changed.setattr("tempfile.tempdir", str(blocked))
        changed.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))  # torch would stumble first
        changed.setenv("RANK", "1")  # left over from something else: without WORLD_SIZE it means nothing
        found = run_main([*short, "-o", str(output), "--report", str(tmp_path / "page.html")])
    assert found.code == 0 and output.exists()
    assert "the weights are not measured" in found.stderr
    page = (tmp_path / "page.html").read_text()
    assert "could not be measured" in page and "--no-validation" not in page


def test_it_can_be_left_out(archive: Path, tmp_path: Path, run_main: RunMain) -> None:
    short = ["adapt", str(archive), "--steps", "1", "--clip", "none", "--coregister", "off", "-j", "1", "--json"]
    plain = run_main([*short, "-o", str(tmp_path / "a.safetensors"), "--no-validation"])
    assert plain.code == 0 and json.loads(plain.stdout)["validation"] is None
    refused = run_main([*short, "-o", str(tmp_path / "b.safetensors"), "--no-validation", "--compare-scratch", "5"])
    assert refused.code == 2 and "--no-validation" in refused.error_line
