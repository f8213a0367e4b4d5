"""Is what is written what was given, also as a COG?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio import Affine
from rasterio.enums import ColorInterp, MaskFlags
from rio_cogeo.cogeo import cog_validate

from clippan_cli.rasters.metadata import RasterMetadata
from clippan_cli.writing.options import Driver, OutputOptions
from clippan_cli.writing.writer import SafeWriter
from tests.writing.images import DRIVERS, fill, grid_of, half_valid, names_in, pixels_of, save


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
