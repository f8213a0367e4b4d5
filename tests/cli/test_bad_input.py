"""Inputs and options that cannot work: one line that says why, the right exit code, and nothing written."""

from __future__ import annotations

import errno
import os
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from tests.cli.conftest import PAN_SIDE, Desk, RunClippan, RunMain
from tests.cli.refusals import assessing, files, options, outputs, pairs  # noqa: F401 - their cases register themselves
from tests.cli.refusals.cases import CASES, INPUT, OUTPUT, PAIR, USAGE
from tests.cli.refusals.files import vrt
from tests.cli.refusals.options import BOX, area, polygon

# --- The same demands on all of them ----------------------------------------------------------------------------------


_FOREIGN = re.compile(r"Traceback|Warning|ERROR|\bwarn|TIFF[A-Z]|_tiff|CPLE|File \"")


@pytest.mark.parametrize("name", CASES)
def test_refused_with_one_line_and_nothing_written(name: str, desk: Desk, run_main: RunMain) -> None:
    case = CASES[name]
    argv = case.prepare(desk)
    before = desk.contents()
    outcome = run_main(argv)
    assert outcome.code == case.code, outcome
    line = outcome.error_line
    assert [word for word in case.words if word not in line] == [], line
    assert len(outcome.notes) == case.notes and not _FOREIGN.search("".join(outcome.notes)), outcome.stderr
    assert desk.contents() == before


@pytest.mark.parametrize("dtype", ["complex64", "int8", "uint32", "int32"])
def test_types_that_clippan_does_not_read(dtype: str, desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(desk.sharpen(ms=desk.ms(dtype=dtype)))
    assert outcome.code == INPUT
    assert f"holds {dtype} values" in outcome.error_line and "-ot" in outcome.error_line


# --- At the border of the process -------------------------------------------------------------------------------------


BORDER = ("empty_file", "truncated_in_the_middle", "no_georeferencing", "swapped", "output_exists", "unknown_method")


@pytest.mark.slow
@pytest.mark.parametrize("name", BORDER)
def test_a_shell_sees_the_same(name: str, desk: Desk, run_clippan: RunClippan) -> None:
    case = CASES[name]
    argv = case.prepare(desk)
    before = desk.contents()
    outcome = run_clippan(argv)
    assert outcome.code == case.code
    assert outcome.stderr.startswith("clippan: ") and outcome.stderr.count("\n") == 1, outcome.stderr
    assert "result" not in outcome.stdout  # facts that were known before may stand there
    assert desk.contents() == before


@pytest.mark.slow
def test_damage_found_by_the_thread_that_reads_ahead_is_one_line(desk: Desk, run_clippan: RunClippan) -> None:
    """The whole of PAN is only read behind the first windows; GDAL warns there of what it has seen on opening."""
    pan = desk.pan(side=1024, blockysize=4)
    ms = desk.ms(side=256)
    os.truncate(pan, os.path.getsize(pan) - 3000)
    outcome = run_clippan(desk.sharpen("--tile", "256", ms=ms, pan=pan))
    assert outcome.code == INPUT
    assert outcome.stderr.count("\n") == 1 and "pan.tif" in outcome.error_line, outcome.stderr
    assert os.listdir(desk.out.parent) == []


# --- What is awkward and yet works ------------------------------------------------------------------------------------


AWKWARD = (
    "two words.tif",
    "a&b;c.tif",
    'it\'s "quoted".tif',
    "größe 日本.tif",
    "line\nbreak.tif",
    "50%25?x=1#y.tif",
    "[bold]red[green].tif",
    "x" * 200 + ".tif",
)


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_names_work(name: str, desk: Desk, run_main: RunMain) -> None:
    argv = desk.sharpen(ms=desk.ms("ms " + name), pan=desk.pan("pan " + name))
    argv[argv.index("-o") + 1] = str(desk.out.with_name(name))
    outcome = run_main(argv)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert os.listdir(desk.out.parent) == [name]
    assert name in outcome.stdout


def test_an_area_that_crosses_itself_is_mended(desk: Desk, run_main: RunMain) -> None:
    bow_tie = polygon((500_004, 5_399_976), (500_028, 5_399_996), (500_028, 5_399_976), (500_004, 5_399_996))
    assert run_main(desk.sharpen("--aoi", area(desk, bow_tie))).code == 0
    with rasterio.open(desk.out) as dataset:
        share = (dataset.read_masks(1) > 0).mean()
    assert 0.4 < share < 0.6


def test_a_box_with_spaces_works(desk: Desk, run_main: RunMain) -> None:
    assert run_main(desk.sharpen("--bbox", BOX.replace(",", " "))).code == 0
    with rasterio.open(desk.out) as dataset:
        assert (dataset.width, dataset.height) == (48, 40)


def test_a_box_around_the_world_is_the_whole_scene(desk: Desk, run_main: RunMain) -> None:
    assert run_main(desk.sharpen("--bbox", "-180,-90,180,90", "--bbox-crs", "EPSG:4326")).code == 0
    with rasterio.open(desk.out) as dataset:
        assert (dataset.width, dataset.height) == (PAN_SIDE, PAN_SIDE) and dataset.read_masks().all()


def test_a_pair_without_georeferencing_works_when_told(desk: Desk, run_clippan: RunClippan) -> None:
    bare: dict[str, Any] = {"transform": None, "crs": None}
    outcome = run_clippan(desk.sharpen("--assume-aligned", ms=desk.ms(**bare), pan=desk.pan(**bare)))
    assert outcome.code == 0
    assert outcome.stderr.count("\n") == 1 and "--assume-aligned" in outcome.stderr, outcome.stderr


def test_a_vrt_of_local_files_works_when_allowed(desk: Desk, run_main: RunMain) -> None:
    desk.ms("true.tif")
    text = vrt("true.tif").replace("<SourceFilename>", '<SourceFilename relativeToVRT="1">')
    Path(desk.path("ms.vrt")).write_text(text)
    assert run_main(desk.sharpen("--allow-vrt", ms=desk.path("ms.vrt"))).code == 0


def test_a_file_with_a_loop_behind_its_image_is_read_or_refused(desk: Desk, run_main: RunMain) -> None:
    ms = desk.ms()
    content = bytearray(Path(ms).read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    struct.pack_into("<I", content, start + 2 + 12 * count, start)
    Path(ms).write_bytes(content)
    outcome = run_main(desk.sharpen(ms=ms))
    assert outcome.code in (0, INPUT)
    assert outcome.stderr == "" if outcome.code == 0 else outcome.error_line


def test_read_only_folder(desk: Desk, run_main: RunMain) -> None:
    argv = desk.sharpen()
    desk.out.parent.chmod(0o500)
    if os.access(desk.out.parent, os.W_OK):
        pytest.skip("whoever runs this may write everywhere")
    outcome = run_main(argv)
    assert outcome.code == OUTPUT and "cannot write in the folder" in outcome.error_line


def test_unreadable_input(desk: Desk, run_main: RunMain) -> None:
    argv = desk.sharpen()
    Path(desk.path("ms.tif")).chmod(0)
    if os.access(desk.path("ms.tif"), os.R_OK):
        pytest.skip("whoever runs this may read everything")
    outcome = run_main(argv)
    assert outcome.code == INPUT and "permission denied" in outcome.error_line


@pytest.mark.parametrize("option", ["--aoi", "--config", "--log-file"])
def test_an_option_names_an_unreadable_file(option: str, desk: Desk, run_main: RunMain) -> None:
    argv = desk.sharpen(option, desk.path("closed"))
    Path(desk.path("closed")).touch(mode=0)
    if os.access(desk.path("closed"), os.R_OK):
        pytest.skip("whoever runs this may read everything")
    outcome = run_main(argv)
    assert outcome.code in (USAGE, INPUT, OUTPUT) and "closed" in outcome.error_line
    assert "Permission denied" in outcome.error_line


def test_a_folder_that_is_closed(desk: Desk, run_main: RunMain, monkeypatch: pytest.MonkeyPatch) -> None:
    look, closed = os.stat, desk.path("closed/ms.tif")

    def refusing(path: Any, *more: Any, **named: Any) -> os.stat_result:
        if str(path) == closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), closed)
        return look(path, *more, **named)

    monkeypatch.setattr(os, "stat", refusing)  # root may look everywhere
    outcome = run_main(desk.sharpen(ms=closed))
    assert outcome.code == INPUT and f"{closed} cannot be opened: Permission denied" in outcome.error_line


# --- Damage of any kind -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_any_damage_is_survived(seed: int, desk: Desk, run_main: RunMain) -> None:
    """Flip, cut or repeat bytes anywhere: the run works, or it fails in a documented way."""
    rng = np.random.default_rng(seed)
    ms = desk.ms(compress=["deflate", "lzw", "none"][seed % 3], tiled=True, blockxsize=16, blockysize=16)
    argv = desk.sharpen(ms=ms)
    content = bytearray(Path(ms).read_bytes())
    for _ in range(rng.integers(1, 8)):
        place = int(rng.integers(0, len(content) if seed % 2 else 400))
        content[place] = int(rng.integers(0, 256))
    if seed % 5 == 0:
        content = content[: int(rng.integers(0, len(content)))]
    Path(ms).write_bytes(content)
    outcome = run_main(argv)
    assert outcome.code in (0, USAGE, INPUT, PAIR, OUTPUT), outcome.stderr
    if outcome.code:
        assert outcome.error_line and os.listdir(desk.out.parent) == []
