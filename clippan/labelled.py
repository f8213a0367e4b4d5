"""DataArrays of xarray, as rioxarray opens rasters, without a need of rioxarray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray
from affine import Affine
from xarray import DataArray

from clippan.arrays import Given, Image, fuse, image_of
from clippan_cli.running.control import Control
from clippan_models.errors import UsageError

_ROWS, _COLUMNS = ("y", "lat", "latitude"), ("x", "lon", "longitude")
_AGREE = 1e-6  # pixels by which coordinates and a geotransform may differ


def sharpen_labelled(ms: DataArray, pan: DataArray, given: Given, options: Mapping[str, Any], control: Control) -> Any:
    """Sharpen two DataArrays; see `clippan.sharpen_arrays`.

    Raises:
        ClippanError: one of its children.
    """
    if any(value is not None for name, value in vars(given).items() if name != "ratio"):
        raise UsageError("masks, geotransforms, CRS and nodata of DataArrays are their own; leave out all but ratio")
    ms, pan = _ordered("ms", ms), _ordered("pan", pan)
    one, other = _image("ms", ms), _image("pan", pan)
    one, other = replace(one, crs=one.crs or other.crs), replace(other, crs=other.crs or one.crs)
    fused = fuse(one, other, given.ratio, options, control)
    return _labelled(fused, ms, pan)


def _ordered(name: str, array: DataArray) -> DataArray:
    """The array with its dimensions in the order band, y, x."""
    rows, columns = ([str(d) for d in array.dims if str(d).lower() in names] for names in (_ROWS, _COLUMNS))
    others = [str(d) for d in array.dims if str(d) not in (*rows, *columns)]
    if len(rows) != 1 or len(columns) != 1 or len(others) > 1 or (name == "ms" and not others):
        wanted = "band, y, x" if name == "ms" else "y, x"
        raise UsageError(f"{name} has the dimensions {', '.join(map(str, array.dims))}; {wanted} are needed")
    return array.transpose(*others, *rows, *columns)


def _image(name: str, array: DataArray) -> Image:
    nodata = array.attrs.get("_FillValue", array.attrs.get("nodata"))
    mapping = _grid_mapping(array)
    crs = None if mapping is None else mapping.attrs.get("crs_wkt", mapping.attrs.get("spatial_ref"))
    given = Given(crs=crs, nodata=None if nodata is None else float(nodata))
    return image_of(name, array.values, None, _transform(name, array, mapping), given)


def _grid_mapping(array: DataArray) -> DataArray | None:
    """The coordinate that holds the CRS, by the CF conventions."""
    name = array.encoding.get("grid_mapping") or array.attrs.get("grid_mapping") or "spatial_ref"
    return array.coords[name] if name in array.coords else None


def _transform(name: str, array: DataArray, mapping: DataArray | None) -> Affine | None:
    """The geotransform that the coordinates say; as the file wrote it where that is the same but for rounding."""
    written = None if mapping is None or "GeoTransform" not in mapping.attrs else _parsed(mapping)
    rows, columns = array.dims[-2:]
    if rows not in array.coords or columns not in array.coords:
        return written
    (top, down), (left, right) = _spaced(name, array, str(rows)), _spaced(name, array, str(columns))
    found = Affine(right, 0, left - right / 2, 0, down, top - down / 2)
    if written is None:
        return found
    corners = [(0.0, 0.0), (float(array.shape[-1]), float(array.shape[-2]))]
    apart = [abs(a - b) for corner in corners for a, b in zip(~written @ found @ corner, corner, strict=True)]
    return written if max(apart) < _AGREE else found


def _parsed(mapping: DataArray) -> Affine:
    return Affine.from_gdal(*(float(number) for number in str(mapping.attrs["GeoTransform"]).split()))


def _spaced(name: str, array: DataArray, dimension: str) -> tuple[float, float]:
    """The first of evenly spaced coordinates, and their distance."""
    values = np.asarray(array.coords[dimension].values, np.float64)
    if len(values) < 2:
        raise UsageError(f"{name} has only {len(values)} coordinates along {dimension}")
    step = (values[-1] - values[0]) / (len(values) - 1)
    even = values[0] + step * np.arange(len(values))
    if step == 0 or np.abs(values - even).max() > 0.01 * abs(step):
        raise UsageError(f"the coordinates of {name} along {dimension} are not evenly spaced")
    return float(values[0]), float(step)


def _labelled(fused: Image, ms: DataArray, pan: DataArray) -> DataArray:
    """The fused image with the coordinates of PAN, and the bands, name and attributes of MS."""
    band, (rows, columns) = ms.dims[0], pan.dims[-2:]
    coords = {name: coord for name, coord in pan.coords.items() if name != band and set(coord.dims) <= {rows, columns}}
    coords |= {name: coord for name, coord in ms.coords.items() if coord.dims == (band,)}
    array = xarray.DataArray(fused.values, dims=(band, rows, columns), coords=coords, name=ms.name, attrs=ms.attrs)
    if "grid_mapping" in pan.encoding:
        array.encoding["grid_mapping"] = pan.encoding["grid_mapping"]
    return array
