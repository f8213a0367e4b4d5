from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rio_cogeo.cogeo import cog_validate

from clippan_cli.rasters.gdal_errors import stderr_of_gdal
from clippan_cli.rasters.metadata import RasterMetadata
from clippan_cli.writing import grid as output_grid
from clippan_cli.writing import rehearsal, translation
from clippan_cli.writing.grid import OutputGrid, estimate_disk_bytes, needs_bigtiff
from clippan_cli.writing.options import Driver, OutputOptions
from clippan_cli.writing.path import check_output_path, temporary_path
from clippan_cli.writing.rehearsal import available_compressions, check_encoding
from clippan_cli.writing.writer import SafeWriter
from clippan_models.contracts import Window
from clippan_models.errors import Interrupted, OutputError, UsageError
from clippan_models.store.temporary import new_token

DRIVERS: tuple[Driver, ...] = ("gtiff", "cog")
OLD = b"the file that was here before"


def grid_of(width: int = 700, height: int = 600, count: int = 3, dtype: Any = "uint16", **changes: Any) -> OutputGrid:
    place: dict[str, Any] = {"crs": CRS.from_epsg(32631), "transform": Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000)}
    return OutputGrid(width, height, count, dtype, **(place | changes))


def pixels_of(grid: OutputGrid, seed: int = 0) -> NDArray[Any]:
    values = np.random.default_rng(seed).random((grid.count, grid.height, grid.width))
    top = 2 ** (grid.nbits or 8) - 2
    pixels: NDArray[Any] = (values * top + 1).astype(grid.dtype)
    return pixels


def half_valid(grid: OutputGrid) -> NDArray[np.bool_]:
    valid = np.ones((grid.height, grid.width), bool)
    valid[:, : grid.width // 2] = False
    return valid


def windows_of(grid: OutputGrid, side: int) -> Iterator[Window]:
    for row in range(0, grid.height, side):
        for col in range(0, grid.width, side):
            yield Window(row, col, min(side, grid.height - row), min(side, grid.width - col))


def fill(
    writer: SafeWriter, grid: OutputGrid, data: NDArray[Any], valid: NDArray[np.bool_] | None = None, side: int = 512
) -> None:
    for window in windows_of(grid, side):
        rows, cols = window.inside(grid.whole)
        writer.write(window, data[:, rows, cols], None if valid is None else valid[rows, cols])


def save(
    path: Path,
    grid: OutputGrid,
    options: OutputOptions,
    valid: NDArray[np.bool_] | None = None,
    metadata: RasterMetadata | None = None,
) -> tuple[NDArray[Any], int]:
    data = pixels_of(grid)
    with SafeWriter(path, grid, options, metadata) as writer:
        fill(writer, grid, data, valid)
        size = writer.commit()
    return data, size


def names_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# --- What is written is what was given --------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_pixels_grid_and_provenance_come_back(tmp_path: Path, driver: Driver, dtype: str) -> None:
    grid, path = grid_of(dtype=dtype, nodata=0.0), tmp_path / "out.tif"
    data = pixels_of(grid)
    with SafeWriter(path, grid, OutputOptions(driver, threads=2)) as writer:
        writer.write_provenance({"METHOD": "gsa"})
        fill(writer, grid, data, side=300)
        writer.write_provenance({"VERSION": "1 <&> 'ü'", "SECONDS": "3"})
        size = writer.commit()
    with rasterio.open(path) as dataset:
        assert np.array_equal(dataset.read(), data)
        assert (dataset.crs, dataset.transform, dataset.nodata) == (grid.crs, grid.transform, 0.0)
        assert dataset.tags(ns="CLIPPAN") == {"METHOD": "gsa", "VERSION": "1 <&> 'ü'", "SECONDS": "3"}
        assert dataset.block_shapes == [(512, 512)] * 3
        assert ColorInterp.alpha not in dataset.colorinterp
    assert names_in(tmp_path) == ["out.tif"]
    assert size == path.stat().st_size


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 5),
    st.integers(7, 90),
    st.sampled_from(["uint8", "uint16", "int16", "float32"]),
    st.booleans(),
)
def test_any_tiling_of_any_shape_comes_back(
    tmp_path_factory: pytest.TempPathFactory, width: int, height: int, count: int, side: int, dtype: str, mask: bool
) -> None:
    grid = grid_of(width, height, count, dtype, mask=mask)
    path = tmp_path_factory.mktemp("shape") / "out.tif"
    data, valid = pixels_of(grid), half_valid(grid) if mask else None
    with SafeWriter(path, grid, OutputOptions("gtiff")) as writer:
        fill(writer, grid, data, valid, side)
        writer.commit()
    with rasterio.open(path) as dataset:
        assert np.array_equal(dataset.read(), data)
        assert valid is None or np.array_equal(dataset.dataset_mask() > 0, valid)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("nodata", [None, 0.0])
def test_mask_comes_back_and_nodata_fills_what_it_hides(tmp_path: Path, driver: Driver, nodata: float | None) -> None:
    grid = grid_of(mask=True, nodata=nodata)
    data, _ = save(tmp_path / "out.tif", grid, OutputOptions(driver, threads=2), half_valid(grid))
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert np.array_equal(dataset.dataset_mask() == 255, half_valid(grid))
        assert MaskFlags.per_dataset in dataset.mask_flag_enums[0]
        expected = data if nodata is None else np.where(half_valid(grid), data, 0)
        assert np.array_equal(dataset.read(), expected)
    assert names_in(tmp_path) == ["out.tif"]  # the mask is inside


@pytest.mark.parametrize("driver", DRIVERS)
def test_nan_is_a_nodata_value(tmp_path: Path, driver: Driver) -> None:
    grid = grid_of(dtype="float32", nodata=float("nan"))
    data, _ = save(tmp_path / "out.tif", grid, OutputOptions(driver), half_valid(grid))
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert np.array_equal(dataset.read(), np.where(half_valid(grid), data, np.nan), equal_nan=True)
        assert np.isnan(dataset.nodata)


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_image_without_georeferencing_can_be_written(tmp_path: Path, driver: Driver) -> None:
    grid = grid_of(crs=None, transform=Affine.identity())
    data, _ = save(tmp_path / "out.tif", grid, OutputOptions(driver))
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.crs is None and np.array_equal(dataset.read(), data)


@pytest.mark.parametrize("size", [(1, 1), (513, 1), (1, 1030)])
def test_cogs_of_odd_sizes_can_be_written(tmp_path: Path, size: tuple[int, int]) -> None:
    grid = grid_of(*size, mask=True)
    data, _ = save(tmp_path / "out.tif", grid, OutputOptions("cog"))
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert np.array_equal(dataset.read(), data)


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({}, {}),
        ({"mask": True}, {}),
        ({"nbits": 12}, {}),
        ({}, {"BLOCKXSIZE": "256", "BLOCKYSIZE": "128", "INTERLEAVE": "BAND"}),
        ({}, {"TILED": "NO", "BLOCKYSIZE": "17"}),
    ],
)
def test_windows_that_share_blocks_make_the_file_that_whole_blocks_make(
    tmp_path: Path, options: dict[str, Any], changes: dict[str, str]
) -> None:
    """A block that is compressed twice would leave a hole, and one that is looked for again might be an older one."""
    grid = grid_of(1300, 1100, **options)
    encoding = OutputOptions("gtiff", creation_options=tuple(changes.items()))
    data, valid = pixels_of(grid), half_valid(grid) if grid.mask else None
    sizes = []
    for side in (1300, 100):
        path = tmp_path / f"{side}.tif"
        with (
            rasterio.Env(GDAL_CACHEMAX=1_000_000),  # less than a block: nothing waits for the next window
            SafeWriter(path, grid, encoding) as writer,
        ):
            fill(writer, grid, data, valid, side)
            sizes.append(writer.commit())
        with rasterio.open(path) as dataset:
            assert np.array_equal(dataset.read(), data)
            assert valid is None or np.array_equal(dataset.dataset_mask() > 0, valid)
    assert sizes[1] <= 1.001 * sizes[0]


@pytest.mark.parametrize("name", ["two words.tif", "a & b.tif", 'it\'s "so".tif', "Zürich 東京.tif", "new\nline.tif"])
def test_unusual_names_are_fine(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name.replace(".tif", "")
    folder.mkdir()
    save(folder / name, grid_of(), OutputOptions("cog"))
    assert names_in(folder) == [name]
    with rasterio.open(folder / name) as dataset:
        assert dataset.count == 3


def test_the_longest_name_is_fine(tmp_path: Path) -> None:
    name = "ü" * 125 + ".tif"
    save(tmp_path / name, grid_of(), OutputOptions("cog"))
    assert names_in(tmp_path) == [name]


# --- COG --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [True, False])
def test_cog_is_valid_and_invalid_pixels_stay_so_in_its_overviews(tmp_path: Path, mask: bool) -> None:
    grid, path = grid_of(1500, 1100, nodata=None if mask else 0.0, mask=mask), tmp_path / "out.tif"
    save(path, grid, OutputOptions("cog", threads=2), half_valid(grid))
    valid, errors, warnings = cog_validate(path, strict=True)
    assert (valid, errors, warnings) == (True, [], [])
    with rasterio.open(path) as dataset:
        assert dataset.overviews(1) == [2, 4]
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    for level, size in enumerate([750, 375]):
        with rasterio.open(path, overview_level=level) as overview:
            assert overview.nodata == grid.nodata
            assert np.array_equal(overview.dataset_mask()[0] > 0, np.arange(size) >= size // 2)
            valid_part = overview.read()[:, :, size // 2 :]
            assert 120 < valid_part.mean() < 135 and valid_part.min() > 0


def test_metadata_of_a_cog_does_not_break_its_layout(tmp_path: Path) -> None:
    metadata = RasterMetadata(
        descriptions=("a", "b", "c"),
        colors=(ColorInterp.blue, ColorInterp.green, ColorInterp.red),
        scales=(1.0, 1.0, 2.0),
        offsets=(0.0, 0.0, 0.0),
        units=(None, None, None),
        band_tags=({"": {"K": "v" * 5000}}, {}, {"": {"K": "v"}, "X": {"L": "w"}}),
        dataset_tags={"IMAGERY": {"SATELLITEID": "x"}},
    )
    save(tmp_path / "out.tif", grid_of(), OutputOptions("cog"), metadata=metadata)
    assert cog_validate(tmp_path / "out.tif", strict=True)[0]
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.tags(1) == {"K": "v" * 5000} and dataset.tags(3) == {"K": "v"}
        assert "clippan-default-band-domain" not in dataset.tag_namespaces(1)


# --- Options ----------------------------------------------------------------------------------------------------------


def test_every_compression_that_gdal_offers_works(tmp_path: Path) -> None:
    assert {"none", "deflate", "lzw"} <= set(available_compressions())
    for name in available_compressions():
        options = OutputOptions("gtiff", compress=name.upper(), overwrite=True)
        data, _ = save(tmp_path / "out.tif", grid_of(300, 200, dtype="uint8"), options)
        with rasterio.open(tmp_path / "out.tif") as dataset:
            found = dataset.compression.name if dataset.compression else "none"
            assert found == name
            assert name in ("jpeg", "webp", "jxl") or np.array_equal(dataset.read(), data)


@pytest.mark.parametrize(("name", "said"), [("zstd", "this GDAL cannot write compression 'zstd'"), ("zst", "unknown")])
def test_a_compression_that_gdal_lacks_is_told_from_one_that_nobody_knows(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "_gdal_can_write", lambda compression: compression.lower() in ("none", "deflate"))
    with pytest.raises(UsageError, match=f"{said}.*; GDAL offers here: none, deflate$"):
        check_encoding(grid_of(), OutputOptions(compress=name))


@pytest.mark.parametrize(
    ("driver", "compress", "level"),
    [
        ("gtiff", "deflate", "ZLEVEL"),
        ("gtiff", "zstd", "ZSTD_LEVEL"),
        ("cog", "deflate", "LEVEL"),
        ("cog", "zstd", "LEVEL"),
    ],
)
def test_files_are_compressed_at_the_fast_level_unless_the_user_wants_another(
    tmp_path: Path, driver: Driver, compress: str, level: str
) -> None:
    if compress not in available_compressions():
        pytest.skip(f"this GDAL has no {compress}")
    grid = grid_of(dtype="uint8")
    data = pixels_of(grid) // 32
    sizes = []
    for creation in ((), ((level, "1"),), ((level, "9"),)):
        options = OutputOptions(driver, compress, creation, overwrite=True)
        with SafeWriter(tmp_path / "out.tif", grid, options) as writer:
            fill(writer, grid, data)
            sizes.append(writer.commit())
    assert sizes[0] == sizes[1] != sizes[2]


@pytest.mark.parametrize("co", [("COMPRESS", "JPEG"), ("QUALITY", "60"), ("MAX_Z_ERROR", "5")])
def test_lossy_cog_is_read_back_without_comparing_pixels(tmp_path: Path, co: tuple[str, str]) -> None:
    compress = {"MAX_Z_ERROR": "lerc", "QUALITY": "webp"}.get(co[0], "deflate")
    if compress not in available_compressions():
        pytest.skip(f"this GDAL has no {compress}")
    grid = grid_of(dtype="uint8", mask=True)
    data, _ = save(tmp_path / "out.tif", grid, OutputOptions("cog", compress, (co,)), half_valid(grid))
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert not np.array_equal(dataset.read(), data)
        assert np.array_equal(dataset.dataset_mask() > 0, half_valid(grid))


@pytest.mark.parametrize("driver", DRIVERS)
def test_creation_options_of_the_user_win(tmp_path: Path, driver: Driver) -> None:
    extras = {"gtiff": (("blockxsize", "256"), ("BLOCKYSIZE", "256")), "cog": (("BLOCKSIZE", "256"),)}[driver]
    save(tmp_path / "out.tif", grid_of(), OutputOptions(driver, "deflate", (*extras, ("compress", "lzw"))))
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.compression.name == "lzw"
        assert dataset.block_shapes[0] == (256, 256)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"compress": "zip"}, "GDAL offers here: none, deflate"),
        ({"compress": "jpeg"}, "uint16"),
        ({"creation_options": (("COMPRES", "LZW"),)}, "COMPRES"),
        ({"creation_options": (("PREDICTOR", "7"),)}, "7"),
        ({"creation_options": (("BIGTIFF", "PERHAPS"),)}, "PERHAPS"),
        ({"creation_options": (("COMPRESS", "zip"),)}, "(?i)zip"),
    ],
)
def test_options_that_gdal_does_not_know_are_refused_before_the_work(
    tmp_path: Path, driver: Driver, options: dict[str, Any], named: str
) -> None:
    with (
        pytest.raises(UsageError, match=named),
        SafeWriter(tmp_path / "o.tif", grid_of(), OutputOptions(driver, **options)),
    ):
        pass
    assert names_in(tmp_path) == []
    with pytest.raises(UsageError, match=named):
        check_encoding(grid_of(), OutputOptions(driver, **options))


def test_options_that_change_the_grid_are_refused(tmp_path: Path) -> None:
    options = OutputOptions("cog", creation_options=(("TILING_SCHEME", "GoogleMapsCompatible"),))
    with pytest.raises(UsageError, match="TILING_SCHEME"), SafeWriter(tmp_path / "o.tif", grid_of(), options):
        pass


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"nodata": -9999.0}, "-9999"),
        ({"nodata": 0.5}, "0.5"),
        ({"nodata": float("nan")}, "nan"),
        ({"nbits": 17}, "17"),
        ({"nbits": 11, "nodata": 4000.0}, "4000"),
        ({"dtype": "float32", "nbits": 11}, "float32"),
        ({"dtype": "complex64"}, "complex64"),
        ({"width": 0}, "empty"),
    ],
)
def test_impossible_grids_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        grid_of(**changes)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(UsageError, match="png"):
        OutputOptions("png")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="0 threads"):
        OutputOptions(threads=0)


def test_bigtiff_is_chosen_by_the_uncompressed_size_with_overviews() -> None:
    assert not needs_bigtiff(grid_of(10_000, 10_000, 4, "uint8"))
    assert needs_bigtiff(grid_of(10_000, 10_000, 8, "uint16"))
    assert not needs_bigtiff(grid_of(13_600, 13_600, 4, "uint16"))  # 1.97 GB with overviews
    assert needs_bigtiff(grid_of(13_800, 13_800, 4, "uint16"))  # 1.5 GB without, 2.03 GB with them


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(("limit", "version"), [(0, 43), (10**12, 42)])
def test_bigtiff_reaches_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: Driver, limit: int, version: int
) -> None:
    monkeypatch.setattr(output_grid, "_BIGTIFF_ABOVE_BYTES", limit)
    save(tmp_path / "out.tif", grid_of(), OutputOptions(driver))
    assert (tmp_path / "out.tif").read_bytes()[2] == version


# --- Refusals before the work -----------------------------------------------------------------------------------------


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


# --- Nothing but the old file or the new one --------------------------------------------------------------------------


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


# --- Verification -----------------------------------------------------------------------------------------------------


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


# --- A full disk and a sudden death, in processes of their own --------------------------------------------------------

WRITE_AN_IMAGE = """
    import json, os, resource, signal, sys, time
    job = json.loads(sys.argv[1])
    sys.path[:] = job["path"]
    import numpy as np
    from pathlib import Path
    from clippan_cli.writing.options import OutputOptions
    from clippan_cli.writing.grid import OutputGrid
    from clippan_cli.writing.writer import SafeWriter
    from clippan_models.contracts import Window
    from clippan_models.errors import OutputError

    def pause(stage, share=0.0):
        if stage == job["pause"]:
            print("paused", flush=True)
            time.sleep(60)

    grid = OutputGrid(1024, 1024, 4, "uint16", mask=job["mask"])
    noise = np.random.default_rng(0).integers(0, 65536, (4, 256, 1024)).astype("uint16")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if job["limit"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["limit"], job["limit"]))
    options = OutputOptions(job["driver"], overwrite=True, threads=job["threads"])
    try:
        with SafeWriter(Path(job["target"]), grid, options) as writer:
            for row in range(0, 1024, 256):
                writer.write(Window(row, 0, 256, 1024), noise)
            pause("written")
            writer.commit(pause)
    except OutputError as error:
        print(error)
        sys.exit(error.exit_code)
"""


def start_process(target: Path, preexec_fn: Callable[[], None] | None = None, **changes: Any) -> subprocess.Popen[str]:
    job: dict[str, Any] = {"target": str(target), "driver": "cog", "threads": 1, "mask": False, "limit": 0, "pause": ""}
    arguments = json.dumps(job | changes | {"path": sys.path})
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(WRITE_AN_IMAGE), arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=preexec_fn,
    )


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


# --- The stderr of the user -------------------------------------------------------------------------------------------


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
