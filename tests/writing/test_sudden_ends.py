"""What is left after a full disk or a sudden death, and does stderr stay that of the user?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from clippan_cli.rasters.gdal_errors import stderr_of_gdal
from clippan_cli.writing import translation
from clippan_cli.writing.options import Driver, OutputOptions
from clippan_cli.writing.path import temporary_path
from clippan_models.store.temporary import new_token
from tests.writing.images import OLD, grid_of, names_in, save, start_process

RAW_BYTES = 1024 * 1024 * 4 * 2


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("driver", "limit"),
    [("gtiff", RAW_BYTES // 2), ("cog", RAW_BYTES // 2), ("cog", int(RAW_BYTES * 1.1))],
    ids=["gtiff", "cog while writing", "cog while translating"],
)
def test_a_full_disk_ends_in_one_clear_line(tmp_path: Path, driver: Driver, limit: int, threads: int) -> None:
    target = tmp_path / "out.tif"
    target.write_bytes(OLD)
    process = start_process(target, driver=driver, threads=threads, limit=limit)
    said, noise = process.communicate(timeout=60)
    assert process.returncode == 5
    assert said == (
        f"disk full or quota exceeded while writing {target}: File too large; the previous file, if any, is untouched\n"
    )
    assert noise == ""
    assert target.read_bytes() == OLD and names_in(tmp_path) == ["out.tif"]


@pytest.mark.parametrize("stage", ["written", "translate", "verify"])
def test_sudden_death_leaves_the_old_file(tmp_path: Path, stage: str) -> None:
    target = tmp_path / "out.tif"
    target.write_bytes(OLD)
    process = start_process(target, pause=stage)
    assert process.stdout is not None and process.stdout.readline() == "paused\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert target.read_bytes() == OLD
    assert all(name == "out.tif" or name.startswith(".out.tif.") for name in names_in(tmp_path))


@pytest.mark.parametrize("stage", ["written", "translate", "verify"])
def test_the_next_run_removes_what_a_killed_one_left(tmp_path: Path, stage: str) -> None:
    target = tmp_path / "out.tif"
    process = start_process(target, pause=stage)
    assert process.stdout is not None and process.stdout.readline() == "paused\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert names_in(tmp_path) != []
    deadline = time.monotonic() + 30
    while names_in(tmp_path) != ["out.tif"] and time.monotonic() < deadline:
        time.sleep(1 if stage == "translate" else 0)  # the orphan that translates ends soon, too
        save(target, grid_of(), OutputOptions("gtiff", overwrite=True))
    assert names_in(tmp_path) == ["out.tif"]


def test_only_files_of_dead_processes_with_our_very_names_are_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    target, token = tmp_path / "out.tif", new_token()
    system, running, chance = token.split("-")
    assert running == str(os.getpid())
    dead = temporary_path(target, f"{system}-{ended.pid}-{chance}").name
    probe = dead.removesuffix(".tif")
    stale = [dead, probe, f"{probe}.cog.tif", f"{probe}.cog.tif.msk.ovr.tmp", f"{probe}.cog_12_1.ovr.tmp"]
    kept = [
        temporary_path(target, token).name,  # its process runs
        dead.replace(system, "00000000"),  # of another machine
        dead.replace(chance, chance[1:]),
        dead.replace("out.tif", "out2.tif"),
        dead.replace("out.tif", "outxtif"),
        dead.replace(str(ended.pid), "x"),
        dead.removeprefix("."),
        f"{dead}.mine",
        f"x{dead}",
    ]
    for name in (*stale, *kept):
        (tmp_path / name).write_bytes(OLD)
    (tmp_path / f"{dead}.aux.xml").mkdir()
    save(target, grid_of(), OutputOptions("gtiff"))
    assert names_in(tmp_path) == sorted([*kept, f"{dead}.aux.xml", "out.tif"])


def test_others_keep_their_stderr_while_gdal_has_none(capfd: pytest.CaptureFixture[str]) -> None:
    complaints: list[str] = []
    with stderr_of_gdal(complaints):
        os.write(2, b"a progress bar\n_tiffWriteProc: No space left on device.\nERROR 1: from a thread\nand words")
    assert complaints == ["No space left on device"]
    assert capfd.readouterr().err == "a progress bar\nand words"


def test_writers_in_several_threads_do_not_mix_up_stderr(tmp_path: Path) -> None:
    before = os.fstat(2).st_ino
    threads = [
        threading.Thread(target=save, args=(tmp_path / f"{n}.tif", grid_of(), OutputOptions("gtiff"))) for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names_in(tmp_path) == ["0.tif", "1.tif", "2.tif"]
    assert os.fstat(2).st_ino == before


def test_a_process_without_stderr_can_write(tmp_path: Path) -> None:
    process = start_process(tmp_path / "out.tif", preexec_fn=lambda: os.close(2))
    assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == 0
    assert names_in(tmp_path) == ["out.tif"]


def test_the_child_ends_with_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        raise SystemExit

    monkeypatch.setattr(os, "_exit", leave)
    start = time.monotonic()
    with pytest.raises(SystemExit):
        translation._end_with(parent=-1)
    assert codes == [1] and time.monotonic() - start < 0.5
