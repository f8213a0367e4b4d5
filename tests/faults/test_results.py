"""Whatever the system does not do: is the old file there afterwards, or the whole new one, and nothing else?"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from clippan_cli.batch.record import Job, Record, read_record, with_key, write_record
from clippan_cli.report.files import write_text
from clippan_cli.running.control import Control
from clippan_cli.running.options import ComputeOptions
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.synthetic import make_demo_scene
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.tasks.demo import write_demo_scene
from clippan_cli.tasks.sharpen import sharpen
from clippan_cli.weights.cards import write_weights
from clippan_cli.writing.options import Driver, OutputOptions
from clippan_models.errors import ClippanError, OutputError
from clippan_models.networks.registry import find_backbone
from clippan_models.store.checkpoint import Checkpoint, load_checkpoint
from clippan_models.store.training_checkpoint import (
    CurvePoint,
    TrainingCheckpoint,
    load_training_checkpoint,
    save_training_checkpoint,
)
from tests.cli.conftest import Desk, RunMain
from tests.faults.conftest import Faults, files_of_at_most

OLD = b"the file that was here before"
DOCUMENTED = (2, 3, 5)  # options that GDAL cannot rehearse, input, output


@dataclass(frozen=True)
class Run:
    """A short run that makes an image and its quicklook.

    Attributes:
        folder: of the two.
        scene: MS and PAN.
        driver: of the image.
        over: there are older ones, which are replaced.
    """

    folder: Path
    scene: SceneFiles
    driver: Driver
    over: bool

    @property
    def image(self) -> Path:
        return self.folder / "fused.tif"

    @property
    def quicklook(self) -> Path:
        return self.folder / "quicklook.png"

    def ends(self) -> int:
        """The exit code of a run; only errors that are meant for the user may end it."""
        for path in self.folder.iterdir():
            path.unlink()
        if self.over:
            self.image.write_bytes(OLD)
            self.quicklook.write_bytes(OLD)
        options = SharpenOptions(
            self.image,
            method="gsa",
            encoding=OutputOptions(self.driver, overwrite=self.over),
            compute=ComputeOptions("cpu", 1),
            quicklook=self.quicklook,
            assess=False,
        )
        try:
            sharpen(self.scene, ReadOptions(coregister="off"), options, Control())
        except ClippanError as error:
            assert str(error) and "\n" not in str(error) and error.exit_code in DOCUMENTED
            return error.exit_code
        return 0

    def check(self, pixels: NDArray[Any], code: int) -> None:
        """Each file is the old one or the whole new one, both are new where all went well, and no other is there."""
        if made(self.image):
            with rasterio.open(self.image) as dataset:
                assert np.array_equal(dataset.read(), pixels) and dataset.tags(ns="CLIPPAN")
        if made(self.quicklook):
            with Image.open(self.quicklook) as picture:
                picture.load()
        assert code or (made(self.image) and made(self.quicklook))
        assert made(self.image) or not made(self.quicklook)
        left = {path.name for path in self.folder.iterdir()}
        assert left <= {"fused.tif", "quicklook.png"} and (len(left) == 2 or not self.over)


def made(path: Path) -> bool:
    """There is a new file."""
    return path.exists() and path.read_bytes() != OLD


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> SceneFiles:
    """A tiny scene."""
    desk = Desk(tmp_path_factory.mktemp("scene"))
    return SceneFiles((desk.ms(),), desk.pan())


@pytest.fixture(scope="module")
def pixels(scene: SceneFiles, tmp_path_factory: pytest.TempPathFactory) -> NDArray[Any]:
    """What a run makes of it where nothing fails."""
    run = Run(tmp_path_factory.mktemp("good"), scene, "gtiff", over=False)
    assert run.ends() == 0
    with rasterio.open(run.image) as dataset:
        return np.asarray(dataset.read())


@pytest.mark.parametrize(
    ("driver", "kind", "over", "calls"),
    [
        ("gtiff", "fsync", True, 2),
        ("gtiff", "fsync", False, 2),
        ("gtiff", "replace", True, 2),
        ("gtiff", "replace", False, 1),
        ("gtiff", "link", False, 1),
        ("gtiff", "read", True, 10),
        ("cog", "fsync", True, 2),
        ("cog", "replace", True, 2),
    ],
)
def test_any_call_of_a_run_may_fail(
    driver: Driver,
    kind: str,
    over: bool,
    calls: int,
    scene: SceneFiles,
    pixels: NDArray[Any],
    tmp_path: Path,
    faults: Faults,
) -> None:
    run = Run(tmp_path, scene, driver, over)
    for nth in itertools.count(1):
        with faults.at(kind, nth):
            code = run.ends()
        run.check(pixels, code)
        if not faults.happened:
            assert code == 0 and nth > calls
            return


@pytest.mark.parametrize(("driver", "limits", "over"), [("gtiff", 8, True), ("gtiff", 2, False), ("cog", 3, True)])
def test_the_disk_may_be_full_at_any_byte(
    driver: Driver, limits: int, over: bool, scene: SceneFiles, pixels: NDArray[Any], tmp_path: Path
) -> None:
    run = Run(tmp_path, scene, driver, over)
    assert run.ends() == 0
    largest = max(path.stat().st_size for path in (run.image, run.quicklook))
    for limit in np.linspace(2 * len(OLD), largest - 1, limits):
        with files_of_at_most(int(limit)):
            code = run.ends()
        assert code == 5
        run.check(pixels, code)


@pytest.mark.parametrize("image", ["ms", "pan", "truth"])
def test_a_scene_of_the_demo_is_there_whole_or_as_it_was(
    image: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    paths = {name: tmp_path / f"{name}.tif" for name in ("ms", "pan", "truth")}
    scene = make_demo_scene(256)
    write_demo_scene(scene, *paths.values())
    sizes = {name: path.stat().st_size for name, path in paths.items()}
    paths[image].write_bytes(OLD)
    with (
        files_of_at_most(sizes[image] - 100),
        pytest.raises(OutputError, match=rf"disk full .* writing .*{image}\.tif: File too large; the previous file"),
    ):
        write_demo_scene(scene, *(path if name == image else tmp_path / "other.tif" for name, path in paths.items()))
    assert paths[image].read_bytes() == OLD and capfd.readouterr().err == ""
    assert {path.name for path in tmp_path.iterdir()} <= {"ms.tif", "pan.tif", "truth.tif", "other.tif"}


def test_an_error_after_the_image_says_that_it_is_complete(desk: Desk, run_main: RunMain) -> None:
    """The quicklook is larger than the image, and than any file may be."""
    argv = desk.sharpen("--quicklook", desk.path("picture.png"))
    assert run_main(argv).code == 0
    sizes = [path.stat().st_size for path in (desk.out, Path(desk.path("picture.png")))]
    assert sizes[0] + 1000 < sizes[1]
    with files_of_at_most(sizes[1] - 1):
        outcome = run_main([*argv, "--overwrite"])
    assert outcome.code == 5 and "picture.png cannot be written" in outcome.error_line
    assert outcome.error_line.endswith(f"{desk.out} was complete already") and made(desk.out)


def write_state(path: Path) -> None:
    network = nn.Linear(3, 2)
    state, curve = network.state_dict(), (CurvePoint(0, 1.0, {}),)
    save_training_checkpoint(TrainingCheckpoint(0, state, {}, state, 0, 1.0, curve, 1.0), "key", path)


def page(path: Path) -> None:
    write_text(path, "<html>" + 999 * "text " + "</html>")


def weights(path: Path) -> None:
    torch.manual_seed(0)
    write_weights(Checkpoint("apnn", 1, find_backbone("apnn").build(1)), path)


FILES: list[Any] = [
    pytest.param(page, lambda path: path.read_text().endswith("</html>"), id="page"),
    pytest.param(weights, load_checkpoint, id="weights"),
    pytest.param(write_state, lambda path: load_training_checkpoint(path, nn.Linear(3, 2), 1), id="state"),
]


def ends(write: Callable[[Path], None], path: Path) -> bool:
    """Whether writing succeeded."""
    try:
        write(path)
    except (OSError, ClippanError) as error:  # the store has no words for it; its callers have
        assert isinstance(error, OSError) or error.exit_code == 5
        return False
    return True


@pytest.mark.parametrize("over", [True, False])
@pytest.mark.parametrize(("write", "read"), FILES)
def test_any_call_may_fail_while_a_file_is_written(
    write: Callable[[Path], None], read: Callable[[Path], Any], over: bool, tmp_path: Path, faults: Faults
) -> None:
    path, failed = tmp_path / "file", 0
    for kind in ("open", "fsync", "replace"):
        for nth in itertools.count(1):
            path.write_bytes(OLD) if over else path.unlink(missing_ok=True)
            with faults.at(kind, nth):
                done = ends(write, path)
            assert done == made(path) and (not done or read(path))
            assert list(tmp_path.iterdir()) == [path] * (over or done)
            failed += not done
            if not faults.happened:
                assert done
                break
    assert failed >= 2  # at least to open and to rename


@pytest.mark.parametrize("over", [True, False])
@pytest.mark.parametrize(("write", "read"), FILES)
def test_the_disk_may_be_full_while_a_file_is_written(
    write: Callable[[Path], None], read: Callable[[Path], Any], over: bool, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    write(path)
    size = path.stat().st_size
    assert read(path)
    for limit in (0, 1, size // 2, size - 1):
        path.write_bytes(OLD) if over else path.unlink(missing_ok=True)
        with files_of_at_most(limit):
            assert not ends(write, path)
        assert not made(path) and list(tmp_path.iterdir()) == [path] * over


def test_a_record_is_the_old_one_or_the_new_one(scene: SceneFiles, tmp_path: Path, faults: Faults) -> None:
    job = with_key(Job(scene, ReadOptions(), SharpenOptions(tmp_path / "out.tif", method="gsa")))
    old, new = Record(job.key, "running"), Record(job.key, "done", error="x" * 5000)
    write_record(job, old)
    with faults.at("replace", 1), pytest.raises(ClippanError) as failed:
        write_record(job, new)
    assert failed.value.exit_code == 5 and read_record(job) == old
    with files_of_at_most(1000), pytest.raises(ClippanError, match="File too large"):
        write_record(job, new)
    assert read_record(job) == old and list(job.record.parent.iterdir()) == [job.record]
    write_record(job, new)
    assert read_record(job) == new


def test_a_training_whose_state_cannot_be_written_ends_with_the_code_of_an_output(
    desk: Desk, run_main: RunMain, faults: Faults
) -> None:
    desk.ms()
    desk.pan()
    arguments = ["adapt", str(desk.folder), "-o", str(desk.out.with_suffix(".safetensors")), "--coregister", "off"]
    fast = ["--steps", "1", "--backbone", "apnn", "--clip", "none", "--no-validation", "-j", "1", "--workers", "0"]
    with faults.at("fsync", 1):
        ended = run_main([*arguments, *fast])
    assert ended.code == 5 and "fused.safetensors.snapshot: Input/output error" in ended.error_line
    assert not list(desk.out.parent.iterdir())
