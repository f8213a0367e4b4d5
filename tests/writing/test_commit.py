"""Does the target hold the old file or the whole new one, and never anything between?"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clippan_cli.writing.options import Driver, OutputOptions
from clippan_cli.writing.path import check_output_path
from clippan_cli.writing.writer import SafeWriter
from clippan_models.contracts import Window
from clippan_models.errors import Interrupted, OutputError
from tests.writing.images import DRIVERS, OLD, fill, grid_of, half_valid, names_in, pixels_of, save


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt(), Interrupted(15), SystemExit(1)])
def test_the_old_file_stays_when_writing_is_interrupted(tmp_path: Path, driver: Driver, error: BaseException) -> None:
    path, grid = tmp_path / "out.tif", grid_of()
    path.write_bytes(OLD)
    with pytest.raises(type(error)), SafeWriter(path, grid, OutputOptions(driver, overwrite=True)) as writer:
        writer.write(Window(0, 0, 512, 512), pixels_of(grid)[:, :512, :512])
        raise error
    assert path.read_bytes() == OLD and names_in(tmp_path) == ["out.tif"]


@pytest.mark.parametrize("stage", ["translate", "verify"])
def test_the_old_file_stays_when_committing_is_interrupted(tmp_path: Path, stage: str) -> None:
    def interrupt(at: str, _: float) -> None:
        if at == stage:
            raise Interrupted(15)

    path, grid = tmp_path / "out.tif", grid_of(2000, 2000)
    path.write_bytes(OLD)
    with pytest.raises(Interrupted), SafeWriter(path, grid, OutputOptions("cog", overwrite=True, threads=2)) as writer:
        fill(writer, grid, pixels_of(grid))
        writer.commit(interrupt)
    assert path.read_bytes() == OLD and names_in(tmp_path) == ["out.tif"]


def test_leaving_without_a_commit_leaves_nothing(tmp_path: Path) -> None:
    grid = grid_of()
    with SafeWriter(tmp_path / "out.tif", grid, OutputOptions()) as writer:
        fill(writer, grid, pixels_of(grid))
    assert names_in(tmp_path) == []


def test_an_incomplete_image_is_not_committed(tmp_path: Path) -> None:
    grid = grid_of()
    with (
        pytest.raises(OutputError, match="not complete"),
        SafeWriter(tmp_path / "o.tif", grid, OutputOptions()) as writer,
    ):
        writer.write(Window(0, 0, 512, 512), pixels_of(grid)[:, :512, :512])
        writer.commit()
    assert names_in(tmp_path) == []


def test_data_that_does_not_fit_its_window_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    grid = grid_of(64, 64, nbits=11)
    data = pixels_of(grid)
    with SafeWriter(tmp_path / "o.tif", grid, OutputOptions()) as writer:
        for window, values, valid in [
            (Window(0, 0, 64, 63), data, None),
            (Window(1, 0, 64, 64), data, None),
            (grid.whole, data.astype("float32"), None),
            (grid.whole, data + np.uint16(2047), None),
            (grid.whole, data, half_valid(grid)),  # neither nodata nor mask could tell
        ]:
            with pytest.raises(ValueError):
                writer.write(window, values, valid)
        writer.write(grid.whole, data)
        with pytest.raises(ValueError, match="twice"):
            writer.write(grid.whole, data)


def test_progress_is_reported_for_both_stages(tmp_path: Path) -> None:
    calls: list[tuple[str, float]] = []
    grid = grid_of()
    with SafeWriter(tmp_path / "o.tif", grid, OutputOptions()) as writer:
        fill(writer, grid, pixels_of(grid))
        writer.commit(lambda stage, share: calls.append((stage, share)))
    assert calls[0] == ("translate", 0.0) and calls[-1] == ("verify", 1.0)


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path, grid = tmp_path / "out.tif", grid_of()
    with (
        pytest.raises(OutputError, match="appeared meanwhile"),
        SafeWriter(path, grid, OutputOptions("gtiff")) as writer,
    ):
        fill(writer, grid, pixels_of(grid))
        path.write_bytes(OLD)
        writer.commit()
    assert path.read_bytes() == OLD and names_in(tmp_path) == ["out.tif"]


def test_no_hard_links_are_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    save(tmp_path / "out.tif", grid_of(), OutputOptions("gtiff"))
    assert names_in(tmp_path) == ["out.tif"]


def test_the_file_behind_a_symbolic_link_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "true.tif").write_bytes(OLD)
    (tmp_path / "out.tif").symlink_to(tmp_path / "far" / "true.tif")
    save(tmp_path / "out.tif", grid_of(), OutputOptions("gtiff", overwrite=True))
    assert (tmp_path / "out.tif").is_symlink()
    assert (tmp_path / "far" / "true.tif").read_bytes() != OLD
    assert names_in(tmp_path / "far") == ["true.tif"]


def test_sidecars_of_the_old_file_go_with_it(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    for ending in ("", ".aux.xml", ".ovr", ".msk"):
        path.with_name(path.name + ending).write_bytes(OLD)
    save(path, grid_of(), OutputOptions("gtiff", overwrite=True))
    assert names_in(tmp_path) == ["out.tif"]


def test_a_sidecar_without_its_file_is_not_removed_unasked(tmp_path: Path) -> None:
    (tmp_path / "out.tif.aux.xml").write_bytes(OLD)
    with pytest.raises(OutputError, match=r"out\.tif\.aux\.xml exists; add --overwrite"):
        check_output_path(tmp_path / "out.tif", (), overwrite=False)


def test_a_new_file_is_as_readable_as_any(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    for driver in DRIVERS:
        save(tmp_path / f"{driver}.tif", grid_of(), OutputOptions(driver))
        modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in (f"{driver}.tif", "other")]
        assert modes[0] == modes[1]


class BitFlipper(SafeWriter):
    """Damages one byte in the middle of the temporary file when it is closed, as a faulty disk may do."""

    def _close(self) -> None:
        super()._close()
        with open(self._temporary, "r+b") as file:
            file.seek(self._temporary.stat().st_size // 2)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 16]))


@pytest.mark.parametrize(("driver", "compress"), [("gtiff", "none"), ("gtiff", "deflate"), ("cog", "deflate")])
def test_a_damaged_byte_is_detected(tmp_path: Path, driver: Driver, compress: str) -> None:
    path, grid = tmp_path / "out.tif", grid_of(1024, 1024)  # whole blocks: no padding to damage
    path.write_bytes(OLD)
    options = OutputOptions(driver, compress, overwrite=True, threads=2)
    with pytest.raises(OutputError, match="does not read back"), BitFlipper(path, grid, options) as writer:
        fill(writer, grid, pixels_of(grid))
        writer.commit()
    assert path.read_bytes() == OLD and names_in(tmp_path) == ["out.tif"]


class Truncator(SafeWriter):
    """Loses the end of the COG, which is where GDAL puts the full resolution."""

    def _translate(self, progress: Any) -> Path:
        final = super()._translate(progress)
        os.truncate(final, final.stat().st_size - 1000)
        return final


@pytest.mark.parametrize("compress", ["deflate", "jpeg"])
def test_a_truncated_file_is_detected_even_if_it_is_lossy(tmp_path: Path, compress: str) -> None:
    grid = grid_of(dtype="uint8")
    with (
        pytest.raises(OutputError, match="does not read back"),
        Truncator(tmp_path / "out.tif", grid, OutputOptions("cog", compress)) as writer,
    ):
        fill(writer, grid, pixels_of(grid))
        writer.commit()
    assert names_in(tmp_path) == []
