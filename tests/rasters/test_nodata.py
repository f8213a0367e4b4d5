"""Which pixels hold no data: as GDAL compares values with a nodata value, and by what the user says instead."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

from clippan_cli.rasters.nodata import is_nodata, text_of
from clippan_cli.rasters.options import Nodata, Trust
from clippan_cli.rasters.source import open_source
from clippan_models.contracts import Window
from clippan_models.errors import InputError, UsageError

SMALLEST = float(np.finfo(np.float32).min)
WHOLE = Window(0, 0, 2, 3)


def write(path: Path, values: NDArray[Any], nodata: float | None = None, **tags: str) -> str:
    """One band of 2 x 3 pixels."""
    with rasterio.open(path, "w", "GTiff", width=3, height=2, count=1, dtype=values.dtype, nodata=nodata) as file:
        file.write(values.reshape(1, 2, 3))
        file.update_tags(**tags)
    return str(path)


def valid(path: str, said: Nodata = None) -> list[bool]:
    """Which pixels of the raster are read as valid."""
    with ExitStack() as stack:
        flags: list[bool] = open_source([path], "MS", Trust(), stack, said).read(WHOLE)[1].ravel().tolist()
        return flags


@pytest.mark.parametrize(
    ("dtype", "nodata", "values"),
    [
        ("uint16", 0, [0, 1, 2, 0, 65535, 3]),
        ("int16", -9999, [-9999, -9998, 0, 5, 7, -10000]),
        ("float32", -9999, [-9999, -9999.001, -9998.9, 0, np.nan, 7]),
        ("float32", 0.1, [0.1, 0.10000001, 0.1001, 0, 0.11, 0.2]),
        ("float32", 0, [0, 1e-30, -1e-30, 1, 2, 3]),
        ("float32", SMALLEST, [SMALLEST, 0, 1, SMALLEST, 2, 3]),
        ("float32", -3.40282e38, [SMALLEST, 0, 1, SMALLEST, 2, 3]),
        ("float32", 3.4e38, [-SMALLEST, 0, 1, -SMALLEST, 2, 3]),
        ("float64", -9999, [-9999, -9999.001, -9998.9, 0, 5, 7]),
    ],
)
def test_a_declared_value_hides_what_gdal_hides(dtype: str, nodata: float, values: list[float], tmp_path: Path) -> None:
    path = write(tmp_path / "ms.tif", np.array(values, dtype), nodata)
    with rasterio.open(path) as file:
        seen = file.read_masks(1).ravel() > 0
    assert valid(path) == (seen & np.isfinite(values)).tolist()


def test_a_nodata_value_that_nothing_measures_stands_for_all_such_values_of_its_sign() -> None:
    values = np.array([-1e20, -1.70141e38, SMALLEST, 1e20, -5, 5], np.float32)
    assert is_nodata(values, -1.7e38).tolist() == [True, True, True, False, False, False]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, [False, True, True, False, True, True]),
        ("none", [True, True, True, False, True, True]),
        (7.0, [True, True, False, False, True, True]),
        (float("nan"), [True, True, True, False, True, True]),
    ],
)
@pytest.mark.parametrize("declared", [{"nodata": 0}, {"NODATA_VALUES": "0"}], ids=["tag", "NODATA_VALUES"])
def test_what_the_user_says_replaces_what_the_file_declares(
    declared: dict[str, Any], said: Nodata, expected: list[bool], tmp_path: Path
) -> None:
    path = write(tmp_path / "ms.tif", np.array([0, 5, 7, np.nan, 9, 11], np.float32), **declared)
    assert valid(path, said) == expected


def test_a_mask_still_counts_where_the_user_says_a_value(tmp_path: Path) -> None:
    path = write(tmp_path / "ms.tif", np.array([0, 5, 7, 8, 9, 11], np.float32))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write_mask(np.array([[255, 0, 255], [255, 255, 255]], np.uint8), window=RasterioWindow(0, 0, 3, 2))
    assert valid(path, 7.0) == [True, False, False, True, True, True]


def test_a_picture_leaves_out_what_the_user_names(tmp_path: Path) -> None:
    path = write(tmp_path / "ms.tif", np.array([0, 5, 7, 8, 9, 11], np.float32), nodata=9)
    with ExitStack() as stack:
        source = open_source([path], "MS", Trust(), stack, 7.0)
        picture = source.picture(source.bands, (0, 0, 3, 2), (2, 3))
    np.testing.assert_array_equal(picture[0], [[0, 5, np.nan], [8, 9, 11]])


@pytest.mark.parametrize(("dtype", "said"), [("uint16", -9999.0), ("uint8", 0.5), ("int16", float("nan"))])
def test_a_value_that_no_pixel_can_have_is_refused(dtype: str, said: float, tmp_path: Path) -> None:
    path = write(tmp_path / "ms.tif", np.arange(6, dtype=dtype))
    with pytest.raises(UsageError, match=rf"--ms-nodata {said:g}: .*ms\.tif holds {dtype}"):
        valid(path, said)


@pytest.mark.parametrize("value", [SMALLEST, 1e20, -1e16])
def test_a_value_that_nothing_measures_is_refused_by_name(value: float, tmp_path: Path) -> None:
    path = write(tmp_path / "ms.tif", np.array([1, 2, 3, value, 5, 6], np.float32))
    with pytest.raises(InputError, match=r"ms\.tif holds .* in band 1, .*--ms-nodata") as refusal:
        valid(path)
    advised = float(str(refusal.value).rpartition(" ")[2])
    assert valid(path, advised) == [True, True, True, False, True, True]


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (-9999, "-9999"), (16777215, "16777215"), (0.1, "0.1")])
def test_a_value_is_told_in_digits_that_tell_it_from_all_others(value: float, text: str) -> None:
    assert text_of(float(np.float32(value))) == text
