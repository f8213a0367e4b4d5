"""Does an archive teach a network, all of it, within memory, and does a training that was stopped go on as if not?"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
from clippan_cli.scene.scene import Scene
from clippan_cli.scene.synthetic import make_demo_scene
from clippan_cli.tasks.adapt import adapt_archive
from clippan_cli.training.members import Surveyed, find_members, survey_scenes
from clippan_cli.training.options import ArchiveOptions
from clippan_cli.training.readers import Readers
from clippan_cli.training.result import ArchiveResult
from clippan_cli.training.session import Session
from clippan_cli.training.supervision import adapt_teacher
from clippan_cli.training.survey import ReadWindow, Survey, SurveyScene
from clippan_cli.training.windows import archive_scenes, window_bytes, window_cache
from clippan_models.adaptation.archive import split_scenes, strata_edges, strata_of
from clippan_models.adaptation.options import NO_TEACHER, AdaptOptions, LossWeights
from clippan_models.adaptation.patches import ScenePatches
from clippan_models.adaptation.processes import ALONE
from clippan_models.adaptation.window_cache import WindowCache
from clippan_models.errors import InputError, Interrupted, OutputError, WeightsError
from clippan_models.guidance.options import GuidanceOptions
from clippan_models.store.checkpoint import load_checkpoint
from tests.cli.conftest import MS_PIXEL, PAN_PIXEL, Deadly, Desk, RunMain

STEPS = 12


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes of different size and light, an image of another kind, and a broken file."""
    desk = Desk(tmp_path_factory.mktemp("archive"))
    for number, (name, side) in enumerate((("a", 256), ("b", 384))):
        demo = make_demo_scene(side, seed=number, shift=(0.0, 0.0))
        east = Affine.translation(4000 * number, 0)
        desk.ms(f"{name}_ms.tif", pixels=(demo.ms * (1 + number)).astype("uint16"), transform=east @ MS_PIXEL)
        desk.pan(f"{name}_pan.tif", pixels=(demo.pan * (1 + number)).astype("uint16"), transform=east @ PAN_PIXEL)
    far = Affine.translation(9000, 0)
    desk.ms("other_ms.tif", bands=3, transform=far @ MS_PIXEL)
    desk.pan("other_pan.tif", transform=far @ PAN_PIXEL)
    (desk.folder / "broken.tif").write_bytes(b"II*\0 not a raster")
    return desk.folder


def learn(archive: Path, output: Path, control: Control | None = None, **changes: Any) -> ArchiveResult:
    # a small network: these tests ask how a training goes, not how well
    adapt = AdaptOptions(**{"steps": STEPS, "validate_every": 4, "backbone": "apnn"} | changes.pop("adapt", {}))
    options = ArchiveOptions(
        output, compute=ComputeOptions("cpu", 1), adapt=adapt, guidance=GuidanceOptions("none"), validation=None
    )
    table = find_pairs(archive, Trust(), Control())
    return adapt_archive(table, ReadOptions(coregister="off"), replace(options, **changes), control)


@pytest.fixture(scope="module")
def unbroken(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> ArchiveResult:
    """A training without a break."""
    return learn(archive, tmp_path_factory.mktemp("unbroken") / "whole.safetensors")


def same_weights(one: Path, other: Path) -> bool:
    """Whether two files hold the same weights, bit for bit."""
    mine, theirs = load_file(one), load_file(other)
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def stopping_at(step: int) -> Control:
    control = Control()

    def stop(progress: Progress) -> None:
        if progress.stage == "adapt" and progress.done == step:
            control.stop_signal = signal.SIGTERM

    control.on_progress = stop
    return control


@pytest.mark.parametrize("backbone", ["apnn", pytest.param("lambda-pnn", marks=pytest.mark.slow)])
def test_a_training_that_was_stopped_continues_bit_for_bit(backbone: str, archive: Path, tmp_path: Path) -> None:
    whole = learn(archive, tmp_path / "whole.safetensors", adapt={"backbone": backbone})
    output = tmp_path / "parts.safetensors"
    with pytest.raises(Interrupted, match="--resume continues") as stopped:
        learn(archive, output, stopping_at(6), adapt={"backbone": backbone})
    assert stopped.value.exit_code == 143 and not output.exists()
    with pytest.raises(OutputError, match="--resume"):
        learn(archive, output, adapt={"backbone": backbone})
    with pytest.raises(InputError, match="have changed"):
        learn(archive, output, resume=True, adapt={"backbone": backbone, "seed": 3})
    parts = learn(archive, output, resume=True, adapt={"backbone": backbone})
    assert parts.resumed_at in (6, 7) and parts.adapted.curve == whole.adapted.curve
    assert same_weights(whole.output, output)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.safetensors", "whole.safetensors"]


class _Killed(BaseException):
    """Ends a training with no chance to keep anything."""


def test_a_training_that_was_killed_continues_from_its_last_checkpoint(archive: Path, tmp_path: Path) -> None:
    control = Control()

    def fail(progress: Progress) -> None:
        if progress.stage == "adapt" and progress.done == 5:
            raise _Killed

    control.on_progress = fail
    output = tmp_path / "w.safetensors"
    with pytest.raises(_Killed):
        learn(archive, output, control, checkpoint_seconds=1e-9)
    assert learn(archive, output, resume=True).resumed_at == 5
    (tmp_path / "w.safetensors.snapshot").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="not an intact training checkpoint"):
        learn(archive, output, resume=True, overwrite=True)


def test_what_was_learned_is_reported_and_serves(archive: Path, tmp_path: Path, run_main: RunMain) -> None:
    """With language: from the command line to a scene sharpened without learning."""
    output = tmp_path / "sensor.safetensors"
    fast = ["--steps", "30", "--backbone", "apnn", "-j", "1", "--coregister", "off", "--json", "--licence", "CC0-1.0"]
    done = run_main(["adapt", str(archive), "-o", str(output), *fast])
    assert done.code == 0, done.stderr
    document = json.loads(done.stdout)
    assert len(document["learned_from"]) == 1 and len(document["held_out"]) == 1
    (held,) = document["held_out"].values()
    assert held["after"] <= held["before"]
    assert [scene["name"] for scene in document["validation"]["scenes"]] == [*document["held_out"]]
    reasons = {Path(item["path"]).name: item["reason"] for item in document["left_out"]}
    assert "unlike most others" in reasons["other_pan.tif"] and "broken.tif" in reasons
    card = load_checkpoint(output).card
    assert card is not None and card.licence == "CC0-1.0" and card.clip and card.prompts["hrms"]
    files = [str(archive / "b_ms.tif"), str(archive / "b_pan.tif"), "-o", str(tmp_path / "b.tif")]
    sharp = run_main(["sharpen", *files, "--weights", str(output), "--steps", "0", "--method", "network", "-j", "1"])
    assert sharp.code == 0, sharp.stderr


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard would draw."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    seen = events.EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, e.value) for e in seen.Scalars(tag)] for tag in seen.Tags()["scalars"]}


def test_tensorboard_draws_the_curve(archive: Path, tmp_path: Path) -> None:
    whole = learn(archive, tmp_path / "whole.safetensors", tensorboard=tmp_path / "log")
    drawn = scalars(tmp_path / "log")
    expected: dict[str, list[tuple[int, Any]]] = {}
    for point in whole.adapted.curve:
        for name, value in {"total": point.total, **point.parts}.items():
            expected.setdefault(f"held-out/{name}", []).append((point.step, pytest.approx(value)))
    assert [step for step, _ in drawn.pop("loss")] == list(range(1, STEPS + 1))
    assert drawn == expected and len(expected) > 3


@pytest.mark.slow
def test_tensorboard_draws_each_step_once(archive: Path, tmp_path: Path) -> None:
    """Of a training that was stopped, or killed after its last checkpoint, and of another in the same folder."""
    learn(archive, tmp_path / "whole.safetensors", tensorboard=tmp_path / "whole")
    drawn = scalars(tmp_path / "whole")
    output, folder = tmp_path / "parts.safetensors", tmp_path / "parts"
    with pytest.raises(Interrupted):
        learn(archive, output, stopping_at(6), tensorboard=folder)
    checkpoint = output.with_name(f"{output.name}.snapshot")
    early = checkpoint.read_bytes()
    with pytest.raises(Interrupted):
        learn(archive, output, stopping_at(9), tensorboard=folder, resume=True)
    checkpoint.write_bytes(early)
    learn(archive, output, resume=True, tensorboard=folder)
    assert scalars(folder) == drawn
    learn(archive, output, overwrite=True, tensorboard=folder)
    assert scalars(folder) == drawn


def test_a_log_that_cannot_be_written_is_refused_before_the_work(
    archive: Path, tmp_path: Path, run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    command = ["adapt", str(archive), "-o", str(tmp_path / "w.safetensors"), "--tensorboard"]
    blocked = run_main([*command, str(tmp_path / "file")])
    assert blocked.code == 5 and "is a file; name a folder" in blocked.error_line
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    absent = run_main([*command, str(tmp_path / "log")])
    assert absent.code == 2 and "pip install 'clippan[tensorboard]'" in absent.error_line
    assert not (tmp_path / "log").exists()


def test_a_training_begins_with_weights(archive: Path, tmp_path: Path) -> None:
    first = learn(archive, tmp_path / "one.safetensors")
    more = learn(archive, tmp_path / "two.safetensors", weights=tmp_path / "one.safetensors")
    assert more.card.started_from == load_checkpoint(tmp_path / "one.safetensors").sha256
    assert more.adapted.curve[0].total == pytest.approx(min(p.total for p in first.adapted.curve))


@contextmanager
def surveyed_scenes(
    archive: Path, teacher: str = NO_TEACHER, control: Control | None = None
) -> Iterator[tuple[list[Surveyed], WindowCache, Session]]:
    alike, _ = find_members(find_pairs(archive, Trust(), Control()), ReadOptions(coregister="off"), Control())
    with Readers(0) as readers:
        options = ArchiveOptions(archive / "w.safetensors", adapt=AdaptOptions(steps=6, teacher=teacher))
        session = Session(options, ALONE, readers, control or Control())
        found, _ = survey_scenes(alike, False, session)
        yield found, window_cache(found, session), session


def test_a_teacher_shows_every_scene_its_image(archive: Path) -> None:
    """It follows MS where that was measured; without reduced patches there is nothing for it to learn from."""
    steps = []
    control = Control(on_progress=lambda p: steps.append((p.done, p.total)) if p.stage == "teacher" else None)
    with surveyed_scenes(archive, "self", control) as (surveyed, cache, session):
        train, validation = archive_scenes(surveyed, cache, ([0], [1]))
        teacher = adapt_teacher(train, validation, 4, session)
        assert teacher is not None and steps == [(1, 2), (2, 2)]
        for scene in (*train, *validation):
            full = teacher.with_images(scene.patches(range(len(scene.windows)), ()).full, scene.prior)
            assert full.teacher is not None and full.teacher.shape == full.ms_up.shape
            off = [(full.down(image) - full.ms)[full.usable].abs().mean() for image in (full.teacher, full.ms_up)]
            assert off[0] < 0.5 * off[1]
        bare = [replace(scene, reduced=(0,) * len(scene.windows)) for scene in train]
        assert adapt_teacher(bare, bare, 4, session) is None


@pytest.mark.slow
@pytest.mark.parametrize("teacher", ["self", "ship"])
def test_a_network_teaches_from_all_scenes(teacher: str, archive: Path, tmp_path: Path) -> None:
    """Its images are learned from, and a training that goes on has the same teacher."""
    adapt = {"teacher": teacher, "backbone": "apnn"}
    stages: dict[str, list[int]] = {}
    control = Control(on_progress=lambda p: stages.setdefault(p.stage, []).append(p.done))
    whole = learn(archive, tmp_path / "whole.safetensors", control, adapt=dict(adapt))
    assert stages["teacher"] == [*range(1, STEPS // 3 + 1)]
    assert all(point.parts["ship"] > 0 for point in whole.adapted.curve)
    output = tmp_path / "parts.safetensors"
    with pytest.raises(Interrupted, match="--resume continues"):
        learn(archive, output, stopping_at(6), adapt=dict(adapt))
    parts = learn(archive, output, resume=True, adapt=dict(adapt))
    assert parts.adapted.curve == whole.adapted.curve


def test_a_changed_file_is_noticed(archive: Path, tmp_path: Path) -> None:
    for path in archive.glob("a_*.tif"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    output = tmp_path / "w.safetensors"
    with pytest.raises(Interrupted):
        learn(tmp_path, output, stopping_at(2))
    Desk(tmp_path).ms("a_ms.tif", side=64)
    with pytest.raises(InputError, match="--force"):
        learn(tmp_path, output, resume=True)
    forced = learn(tmp_path, output, resume=True, force=True)
    assert forced.resumed_at in (2, 3) and list(forced.held_out) == ["a"] == list(forced.learned_from)


@pytest.mark.parametrize("ratio", [4, 2])
def test_a_window_takes_the_memory_that_is_planned_for(ratio: int, desk: Desk) -> None:
    demo = make_demo_scene(256, seed=1, shift=(0.0, 0.0))
    desk.pan("pan.tif", pixels=demo.pan.astype("uint16"))
    ms = demo.ms.repeat(4 // ratio, 1).repeat(4 // ratio, 2).astype("uint16")
    desk.ms("ms.tif", pixels=ms, transform=PAN_PIXEL @ Affine.scale(ratio))
    with surveyed_scenes(desk.folder, "gsa") as (surveyed, cache, _):
        (one,) = surveyed
        _, (scene,) = archive_scenes(surveyed, cache, ([0], [0]))
        for number in range(len(scene.windows)):
            window = scene.cache.take(scene.number, scene.windows[number])
            assert window.full.teacher is not None and window.reduced is not None
            assert len(window.reduced) == scene.reduced[number]
            full = replace(one.survey, reduced=(scene.reduced[number],))
            assert window.full.nbytes + window.reduced.nbytes == pytest.approx(window_bytes(full), rel=0.03)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_memory_and_readers_change_nothing(
    workers: int, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive of which only two windows fit into memory is learned from like any other."""
    adapt = {"backbone": "apnn", "teacher": "self", "weights": LossWeights(ship=1.0)}
    whole = learn(archive, tmp_path / "whole.safetensors", adapt=dict(adapt))
    monkeypatch.setattr("clippan_cli.training.windows.windows_in_memory", lambda surveyed, ram_mb: 2)
    small = learn(archive, tmp_path / "small.safetensors", adapt=dict(adapt), workers=workers)
    assert small.adapted.curve == whole.adapted.curve and small.patches == whole.patches > 2
    assert same_weights(whole.output, small.output)


@pytest.mark.slow
@pytest.mark.parametrize(("times", "left_out"), [(1, 0), (3, 1)])
def test_a_reader_that_is_killed_costs_a_retry(
    times: int, left_out: int, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a scene that kills its readers is left out."""
    deadly = Deadly("clippan_cli.training.readers._read", "SurveyScene", "b_pan.tif", times, tmp_path / "deaths")
    monkeypatch.setattr("clippan_cli.training.readers._read", deadly)
    found = learn(archive, tmp_path / "w.safetensors", workers=1, adapt={"backbone": "apnn"})
    assert deadly.deaths == times
    lost = [item for item in found.left_out if "was killed by SIGKILL, 3 times" in item.reason]
    assert len(lost) == left_out and found.adapted.steps == STEPS


@pytest.mark.parametrize("reads", [45, 60, 75])
def test_a_file_that_cannot_be_read_any_more_costs_no_step(
    reads: int, unbroken: ArchiveResult, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was wanted for a step or for a validation."""
    read, done = ReadWindow.of, []

    def of(self: ReadWindow, scene: Scene, control: Control) -> ScenePatches:
        done.append(self)
        if len(done) > reads:
            raise InputError(f"{self.files.pan} cannot be read")
        patches: ScenePatches = read(self, scene, control)
        return patches

    output = tmp_path / "w.safetensors"
    with monkeypatch.context() as context:
        context.setattr(ReadWindow, "of", of)
        context.setattr("clippan_cli.training.windows.windows_in_memory", lambda surveyed, ram_mb: 2)
        with pytest.raises(InputError, match=r"_pan.tif cannot be read; step \d+ of 12 is in .*--resume continues"):
            learn(archive, output)
    parts = learn(archive, output, resume=True)
    assert parts.resumed_at > 0 and parts.adapted.curve == unbroken.adapted.curve
    assert same_weights(unbroken.output, output)


@pytest.mark.parametrize("error", [InputError("it is damaged"), ValueError("it is strange")])
def test_a_training_continues_with_the_same_scenes_or_not_at_all(
    error: Exception, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "w.safetensors"
    with pytest.raises(Interrupted):
        learn(archive, output, stopping_at(2))
    survey = SurveyScene.of

    def of(self: SurveyScene, scene: Scene, control: Control) -> Survey:
        if Path(self.files.pan).name == "b_pan.tif":
            raise error
        return survey(self, scene, control)

    monkeypatch.setattr(SurveyScene, "of", of)
    with pytest.raises(InputError, match=r"the scenes that can be read are not those of .*, but a: repair the others"):
        learn(archive, output, resume=True)
    forced = learn(archive, output, resume=True, force=True)
    assert any(str(error) in item.reason for item in forced.left_out) and forced.resumed_at >= 2


def test_mistakes_of_usage(archive: Path, tmp_path: Path, run_main: RunMain) -> None:
    for extra, code, words in [
        ([], 2, "-o FILE.safetensors"),
        (["-o", str(tmp_path / "w.pth")], 2, "*.safetensors"),
        (["-o", str(tmp_path / "w.safetensors"), "--teacher", "nobody"], 2, "choose one of self"),
        (["-o", str(tmp_path / "w.safetensors"), "--snapshot-minutes", "0"], 2, "more than 0"),
        (["-o", str(tmp_path / "w.safetensors"), "--scenes-per-step", "0"], 2, "multiple of the 1 processes"),
        (["-o", str(tmp_path / "w.safetensors"), "--workers", "-1"], 2, "--workers -1: must be 0 to 256"),
        (["-o", str(tmp_path / "w.safetensors"), "--weights", str(tmp_path / "absent")], 7, "cannot read"),
    ]:
        outcome = run_main(["adapt", str(archive), *extra])
        assert outcome.code == code and words in outcome.error_line
    shown = run_main(["adapt", str(archive), "--dry-run"])
    assert shown.code == 0 and "3 pairs" in shown.stdout


PLAIN = ("--backbone", "apnn", "--clip", "none", "--loss", "spec,wald", "--coregister", "off", "-j", "1", "--json")


def command_of(archive: Path, output: Path, *options: str, processes: int) -> list[str]:
    """The command that learns in so many processes, started by torchrun if there are several."""
    learning = ["-m", "clippan_cli", "adapt", str(archive), "-o", str(output), *PLAIN, *options]
    if processes == 1:
        return [sys.executable, *learning]
    # a port that is free now; torchrun's own choice by --standalone needs a host name that resolves
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ["--master-addr=127.0.0.1", f"--master-port={port}"]
    return [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", *where, *learning]


@pytest.mark.slow
def test_processes_learn_together(archive: Path, tmp_path: Path, run_main: RunMain) -> None:
    """Started by torchrun: one report, one file of weights, and what a single process learns."""
    command = command_of(
        archive, tmp_path / "two.safetensors", "--steps", "6", "--tensorboard", str(tmp_path / "log"), processes=2
    )
    two = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert two.returncode == 0, two.stderr
    assert json.loads(two.stdout)["steps"] == 6 and json.loads(two.stdout)["validation"]["mean"]
    assert len(list((tmp_path / "log").iterdir())) == 1 and len(scalars(tmp_path / "log")["loss"]) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "two.safetensors"]
    output = tmp_path / "one.safetensors"
    one = run_main(["adapt", str(archive), "-o", str(output), "--steps", "6", "--scenes-per-step", "2", *PLAIN])
    assert one.code == 0, one.stderr
    assert json.loads(one.stdout)["best_step"] > 0
    assert alike(output, tmp_path / "two.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "after"), [(1, 0.4), (2, 0.0)])  # seconds after the first checkpoint
def test_a_process_that_is_killed_costs_only_time(processes: int, after: float, archive: Path, tmp_path: Path) -> None:
    output = tmp_path / "w.safetensors"
    options = ("--backbone", "apnn", "--steps", "30", "--scenes-per-step", "2", "--no-validation")
    checkpoint = output.with_name(f"{output.name}.snapshot")
    command = command_of(archive, output, *options, "--snapshot-minutes", "0.0001", processes=processes)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        while not checkpoint.exists():
            assert running.poll() is None
            time.sleep(0.01)
        time.sleep(after)
        ranks = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        os.kill(int(ranks[-1]) if processes > 1 else running.pid, signal.SIGKILL)
        assert running.wait(timeout=120) != 0
    assert not output.exists()
    again = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False, timeout=300)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["resumed_at"] > 0
    whole = tmp_path / "whole.safetensors"
    subprocess.run(command_of(archive, whole, *options, processes=1), check=True, timeout=300, capture_output=True)
    assert alike(output, whole)


def alike(one: Path, other: Path) -> bool:
    """Whether two files hold the same weights, but for rounding."""
    mine, theirs = load_file(one), load_file(other)
    return all(torch.allclose(mine[name], theirs[name], rtol=1e-4, atol=1e-6) for name in mine)


def test_rare_content_has_a_stratum_of_its_own() -> None:
    detail = [0.01, 0.011, 0.012, 0.0105] * 10 + [0.2, 0.21]
    strata = strata_of(detail, strata_edges(detail))
    assert (40, 41) in strata and sum(map(len, strata)) == len(detail)


def test_scenes_are_held_out_whole() -> None:
    for count, share in {1: 1, 2: 1, 5: 1, 23: 4}.items():
        train, held_out = split_scenes(count, seed=3)
        assert (sorted({*train, *held_out}) == list(range(count))) and len(held_out) == share
        assert count == 1 or not {*train} & {*held_out}
