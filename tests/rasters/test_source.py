"""What is open for reading: does memory stay bounded, and is a limit of the user's own kept?"""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio._env import get_gdal_config

from clippan_cli.rasters.options import Trust
from clippan_cli.rasters.source import open_source


@pytest.fixture
def raster(tmp_path: Path) -> str:
    path = tmp_path / "pan.tif"
    with rasterio.open(path, "w", driver="GTiff", width=32, height=32, count=1, dtype="uint16") as dataset:
        dataset.write(np.ones((1, 32, 32), np.uint16))
    return str(path)


@pytest.mark.parametrize(("users", "found"), [({}, 128 * 2**20), ({"GDAL_CACHEMAX": 2**25}, 2**25)])
def test_gdal_caches_little_of_what_is_read(users: dict[str, int], found: int, raster: str) -> None:
    with rasterio.Env(**users), ExitStack() as stack:
        open_source([raster], "PAN", Trust(), stack)
        assert get_gdal_config("GDAL_CACHEMAX") == found


def test_a_mask_beside_a_georeferenced_raster_needs_no_place_of_its_own(tmp_path: Path) -> None:
    shape = {"driver": "GTiff", "width": 32, "height": 32, "count": 1, "dtype": "uint16"}
    place = {"crs": "EPSG:32631", "transform": rasterio.Affine(1, 0, 5e5, 0, -1, 4e6)}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False),
        rasterio.open(tmp_path / "pan.tif", "w", **shape, **place) as dataset,
    ):
        dataset.write(np.ones((1, 32, 32), np.uint16))
        dataset.write_mask(np.full((32, 32), 255, np.uint8))
    assert (tmp_path / "pan.tif.msk").exists()
    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("error")
        assert open_source([str(tmp_path / "pan.tif")], "PAN", Trust(), stack).masked
