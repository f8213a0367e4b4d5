"""DataArrays in, a DataArray out: does it lie where it should, and can rioxarray go on with it?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clippan
from tests.api.conftest import MS_PIXEL, PAN_PIXEL, UTM31, Array, Write, read

rioxarray = pytest.importorskip("rioxarray")
xarray = pytest.importorskip("xarray")

GSA: dict[str, Any] = {"method": "gsa", "threads": 1}
EXP: dict[str, Any] = {"method": "exp", "coregister": "off", "threads": 1}


def opened(pair: tuple[str, str], **how: Any) -> tuple[Any, Any]:
    return rioxarray.open_rasterio(pair[0], **how), rioxarray.open_rasterio(pair[1], **how)


def test_a_result_is_the_file_that_sharpen_writes(pair: tuple[str, str], tmp_path: Path) -> None:
    sharp = clippan.sharpen_arrays(*opened(pair), **GSA)
    clippan.sharpen(*pair, tmp_path / "file.tif", of="gtiff", quality=False, **GSA)
    sharp.rio.to_raster(tmp_path / "array.tif")
    ours, theirs = (rioxarray.open_rasterio(tmp_path / name) for name in ("array.tif", "file.tif"))
    assert (ours == theirs).all() and ours.dtype == theirs.dtype
    assert ours.rio.transform() == theirs.rio.transform() and ours.rio.crs == theirs.rio.crs


def test_coordinates_are_those_of_pan_and_the_rest_of_ms(pair: tuple[str, str]) -> None:
    ms, pan = opened(pair)
    ms = ms.assign_coords(band=["blue", "green", "red", "nir"]).rename("reflectance").assign_attrs(units="DN")
    sharp = clippan.sharpen_arrays(ms, pan.squeeze("band"), **EXP)
    assert sharp.dims == ("band", "y", "x") and sharp.name == "reflectance" and sharp.attrs == ms.attrs
    assert list(sharp.band.values) == ["blue", "green", "red", "nir"]
    assert (sharp.x == pan.x).all() and (sharp.y == pan.y).all() and sharp.rio.crs == pan.rio.crs


def test_a_slice_is_sharpened_where_it_lies(pair: tuple[str, str], tmp_path: Path) -> None:
    """Its coordinates are right, though the geotransform that it carries is that of the whole."""
    ms, pan = opened(pair)
    ms, pan = ms.isel(y=slice(8, 30), x=slice(4, 28)), pan.isel(y=slice(40, 110), x=slice(22, 100))
    sharp = clippan.sharpen_arrays(ms, pan, **EXP)
    ms.rio.to_raster(tmp_path / "ms_part.tif")
    pan.rio.to_raster(tmp_path / "pan_part.tif")
    clippan.sharpen(tmp_path / "ms_part.tif", tmp_path / "pan_part.tif", tmp_path / "file.tif", quality=False, **EXP)
    assert (sharp.values == read(tmp_path / "file.tif")).all()
    assert (sharp.x == pan.x).all() and (sharp.y == pan.y).all()


@pytest.mark.parametrize("masked", [False, True])
def test_nodata_is_what_the_arrays_say(masked: bool, ms: Array, pan: Array, write: Write) -> None:
    ms[:, 5, 6] = 0
    pair = write("ms.tif", ms, MS_PIXEL, nodata=0), write("pan.tif", pan, PAN_PIXEL, nodata=0)
    sharp = clippan.sharpen_arrays(*opened(pair, masked=masked), **EXP)
    invalid = np.isnan(sharp.values) if masked else sharp.values == 0
    assert invalid[:, 20:24, 24:28].all() and invalid.sum() == 4 * 16
    assert masked or sharp.rio.nodata == 0


def test_arrays_without_any_georeferencing(ms: Array, pan: Array) -> None:
    bare = xarray.DataArray(ms, dims=("band", "y", "x")), xarray.DataArray(pan, dims=("y", "x"))
    sharp = clippan.sharpen_arrays(*bare, ratio=4, **EXP)
    assert (sharp.values == clippan.sharpen_arrays(ms, pan, ratio=4, **EXP)).all() and not sharp.coords


def test_degrees_and_another_order_of_dimensions(ms: Array, pan: Array) -> None:
    def degrees(count: int, start: float, step: float) -> Array:
        return start + step * (np.arange(count) + 0.5)

    one = xarray.DataArray(
        np.moveaxis(ms, 0, -1),
        dims=("lat", "lon", "time"),
        coords={"lat": degrees(32, 46, -4e-5), "lon": degrees(32, 7, 4e-5)},
    )
    other = xarray.DataArray(
        pan, dims=("lat", "lon"), coords={"lat": degrees(128, 46, -1e-5), "lon": degrees(128, 7, 1e-5)}
    )
    sharp = clippan.sharpen_arrays(one, other, **EXP)
    assert sharp.dims == ("time", "lat", "lon")
    assert np.abs(sharp.values.astype(float) - clippan.sharpen_arrays(ms, pan, ratio=4, **EXP)).max() <= 1


def test_images_in_two_crs_are_warped_as_files_are(ms: Array, pan: Array, write: Write, tmp_path: Path) -> None:
    pair = write("ms.tif", ms, MS_PIXEL), write("pan.tif", pan, PAN_PIXEL)
    one, other = opened(pair)
    one = one.rio.reproject("EPSG:3035", resolution=2.0)
    sharp = clippan.sharpen_arrays(one, other, nodata=None, **EXP)
    one.rio.to_raster(tmp_path / "warped.tif")
    clippan.sharpen(tmp_path / "warped.tif", pair[1], tmp_path / "file.tif", extent="pan", quality=False, **EXP)
    assert (sharp.values == read(tmp_path / "file.tif")).all() and sharp.rio.crs == UTM31


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda ms, pan: (ms.values, pan), "both be DataArrays"),
        (lambda ms, pan: (ms.rename(x="u"), pan), "ms has the dimensions band, y, u; band, y, x are needed"),
        (lambda ms, pan: (ms.isel(band=0), pan), "ms has the dimensions y, x; band, y, x"),
        (
            lambda ms, pan: (ms, pan.assign_coords(x=np.sqrt(pan.x.values - 5e5))),
            "along x are not evenly spaced",
        ),
        (lambda ms, pan: (ms.isel(x=[0]), pan), "ms has only 1 coordinates along x"),
    ],
)
def test_what_cannot_work(change: Any, words: str, pair: tuple[str, str]) -> None:
    with pytest.raises(clippan.UsageError, match=words):
        clippan.sharpen_arrays(*change(*opened(pair)), **EXP)


def test_labels_are_not_said_twice(pair: tuple[str, str]) -> None:
    with pytest.raises(clippan.UsageError, match="leave out all but ratio"):
        clippan.sharpen_arrays(*opened(pair), crs=UTM31, **EXP)
