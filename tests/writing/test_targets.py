"""Is a target that cannot be written refused before the work?"""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from clippan_cli.writing.grid import estimate_disk_bytes
from clippan_cli.writing.options import OutputOptions
from clippan_cli.writing.path import check_output_path
from clippan_cli.writing.writer import SafeWriter
from clippan_models.errors import OutputError
from tests.writing.images import OLD, grid_of, names_in


def test_an_existing_file_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    path.write_bytes(OLD)
    with pytest.raises(OutputError, match="exists; add --overwrite to replace it"):
        check_output_path(path, (), overwrite=False)
    check_output_path(path, (), overwrite=True)
    with pytest.raises(OutputError, match="exists"), SafeWriter(path, grid_of(), OutputOptions()):
        pass
    assert path.read_bytes() == OLD and names_in(tmp_path) == ["out.tif"]


@pytest.mark.parametrize("disguise", ["itself", "hard link", "symbolic link", "another spelling"])
def test_an_input_is_never_the_output(tmp_path: Path, disguise: str) -> None:
    source, alias = tmp_path / "in.tif", tmp_path / "out.tif"
    source.write_bytes(OLD)
    if disguise == "itself":
        alias = source
    elif disguise == "hard link":
        os.link(source, alias)
    elif disguise == "symbolic link":
        alias.symlink_to(source)
    else:
        alias = tmp_path / "." / "x" / ".." / "in.tif"
        (tmp_path / "x").mkdir()
    with pytest.raises(OutputError, match="same file as the input"):
        check_output_path(alias, [tmp_path / "missing.tif", source], overwrite=True)


def test_an_input_is_never_removed_as_a_sidecar(tmp_path: Path) -> None:
    (tmp_path / "out.tif.ovr").write_bytes(OLD)
    with pytest.raises(OutputError, match="same file as the input"):
        check_output_path(tmp_path / "out.tif", [tmp_path / "out.tif.ovr"], overwrite=True)


def test_places_that_cannot_hold_a_file_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.tif")
    (tmp_path / "file").write_bytes(b"")
    for path, why in [
        (tmp_path, "is a folder"),
        (tmp_path / "fifo.tif", "not a regular file"),
        (tmp_path / "nowhere" / "out.tif", "does not exist"),
        (tmp_path / "file" / "out.tif", "Not a directory|does not exist"),
        (tmp_path / ("n" * 300 + ".tif"), "name too long"),
        (Path(os.fsdecode(bytes(tmp_path) + b"/\xff.tif")), "UTF-8"),
    ]:
        with pytest.raises(OutputError, match=why):
            check_output_path(path, (), overwrite=True)
    assert names_in(tmp_path) == ["fifo.tif", "file"]


def test_a_folder_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # root may write everywhere
    with pytest.raises(OutputError, match=r"cannot write in the folder .*: Permission denied"):
        check_output_path(tmp_path / "out.tif", (), overwrite=False)


def test_a_disk_that_is_obviously_too_small_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12 - 10**6, 10**6))
    with (
        pytest.raises(OutputError, match="not enough space"),
        SafeWriter(tmp_path / "o.tif", grid_of(), OutputOptions()),
    ):
        pass
    assert names_in(tmp_path) == []


def test_the_estimate_counts_the_raw_file_of_a_cog() -> None:
    grid = grid_of(1000, 1000, 4)
    assert estimate_disk_bytes(grid, OutputOptions("gtiff", "none")) == 8_000_000
    assert estimate_disk_bytes(grid, OutputOptions("gtiff", "deflate")) == 4_000_000
    assert estimate_disk_bytes(grid, OutputOptions("cog", "none")) == pytest.approx(8e6 * (1 + 4 / 3 + 1 / 3), abs=2)
