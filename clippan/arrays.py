"""Sharpens arrays on the ordinary path: as files in a folder that lasts as long as the call."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError

from clippan_cli.options.scene import read_options
from clippan_cli.options.sharpen import sharpen_options
from clippan_cli.rasters.source import DTYPES
from clippan_cli.running.control import Control
from clippan_cli.scene.files import SceneFiles
from clippan_cli.writing.grid import holds
from clippan_models.errors import ClippanError, InputError, UsageError

_MS, _PAN = "ms", "pan"  # names of the files, as messages show them
_MOST_BANDS = 16  # by which a last axis of bands is told from columns


@dataclass(frozen=True)
class Given:
    """What a caller says of two arrays; see `clippan.sharpen_arrays`."""

    ratio: float | None = None
    ms_mask: Any = None
    pan_mask: Any = None
    ms_transform: Affine | None = None
    pan_transform: Affine | None = None
    crs: Any = None
    nodata: float | None = None


@dataclass(frozen=True)
class Image:
    """An image in memory.

    Attributes:
        values: `[C, H, W]`.
        valid: `[C, H, W]`, or None where only the values tell.
        transform: geotransform, or None.
        crs: as rasterio takes it, or None.
        nodata: value of invalid pixels, or None.
    """

    values: NDArray[Any]
    valid: NDArray[np.bool_] | None
    transform: Affine | None
    crs: Any
    nodata: float | None


def sharpen_images(ms: Any, pan: Any, given: Given, options: Mapping[str, Any], control: Control) -> Any:
    """Sharpen two arrays of one kind; see `clippan.sharpen_arrays`.

    Raises:
        ClippanError: one of its children.
    """
    xarray = sys.modules.get("xarray")
    labelled = [xarray is not None and isinstance(image, xarray.DataArray) for image in (ms, pan)]
    if any(labelled):
        from clippan.labelled import sharpen_labelled

        if not all(labelled):
            raise UsageError("ms and pan must both be DataArrays, or both arrays of numpy")
        return sharpen_labelled(ms, pan, given, options, control)
    fused = fuse(
        image_of(_MS, ms, given.ms_mask, given.ms_transform, given),
        image_of(_PAN, pan, given.pan_mask, given.pan_transform, given),
        given.ratio,
        options,
        control,
    )
    if np.ma.isMaskedArray(ms) or np.ma.isMaskedArray(pan):
        return np.ma.MaskedArray(fused.values, mask=~valid_of(fused), fill_value=given.nodata)
    return fused.values


def image_of(name: str, array: Any, mask: Any, transform: Affine | None, given: Given) -> Image:
    """An array as an image.

    Raises:
        UsageError: its shape or that of its mask is wrong.
        InputError: a type that clippan does not work with.
    """
    values = np.asarray(np.ma.getdata(array))
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if name == _PAN and values.ndim == 2:
        values = values[np.newaxis]
    if values.ndim != 3 or 0 in values.shape or (name == _PAN and len(values) != 1):
        wanted = "[bands, rows, columns]" if name == _MS else "[rows, columns]"
        raise UsageError(f"{name} has the shape {values.shape}; {wanted} is needed")
    if values.shape[2] <= _MOST_BANDS < min(values.shape[:2]):
        raise UsageError(f"{name} has the shape {values.shape}; bands come first: numpy.moveaxis({name}, -1, 0)")
    if values.dtype.name not in DTYPES:
        raise InputError(
            f"{name} holds {values.dtype.name} values; clippan works with {', '.join(DTYPES)}: convert it with astype"
        )
    valid = _mask(name, mask, values)
    if np.ma.isMaskedArray(array):
        inside = ~np.broadcast_to(np.ma.getmaskarray(array), values.shape)
        valid = inside if valid is None else inside & valid
    return Image(values, valid, transform, given.crs, given.nodata)


def _mask(name: str, mask: Any, values: NDArray[Any]) -> NDArray[np.bool_] | None:
    if mask is None:
        return None
    valid = np.asarray(mask)
    if valid.dtype != np.bool_:
        raise UsageError(f"{name}_mask holds {valid.dtype.name} values; it must be of bool, True where {name} is valid")
    if valid.shape not in (values.shape, values.shape[1:]):
        raise UsageError(f"{name}_mask has the shape {valid.shape}, but {name} has {values.shape}")
    return np.broadcast_to(valid, values.shape)


def fuse(ms: Image, pan: Image, ratio: float | None, options: Mapping[str, Any], control: Control) -> Image:
    """The fused image, on the grid of PAN and in the type of MS.

    Raises:
        ClippanError: one of its children.
    """
    from clippan_cli.tasks.sharpen import sharpen

    ms, pan = _laid_over(ms, pan, ratio)
    read = read_options({**options, "extent": _PAN})
    with tempfile.TemporaryDirectory(prefix="clippan-") as scratch:
        folder = Path(scratch)
        output = folder / "hrms.tif"
        chosen = sharpen_options(output, {**options, "of": "gtiff", "compress": "none", "quality": False})
        try:
            files = SceneFiles(_written(folder, _MS, ms), _written(folder, _PAN, pan)[0])
            sharpen(files, read, chosen, control)
        except ClippanError as error:
            error.args = (str(error).replace(f"{folder}{os.sep}", ""), *error.args[1:])
            raise
        return _read(output, ms)


def _laid_over(ms: Image, pan: Image, ratio: float | None) -> tuple[Image, Image]:
    """Both with geotransforms: those given, or such that the upper left corners coincide."""
    if ms.transform is not None and pan.transform is not None:
        if ratio is not None:
            raise UsageError("the geotransforms say what the ratio is; leave out ratio")
        if ms.transform.is_identity or pan.transform.is_identity:  # which passes for none in a file
            aside = Affine.translation(1, 1)
            return replace(ms, transform=aside @ ms.transform), replace(pan, transform=aside @ pan.transform)
        return ms, pan
    down, right = (ratio, ratio) if ratio is not None else _ratio_of_shapes(ms, pan)
    scale = Affine.scale(right, down)
    if pan.transform is not None:
        return replace(ms, transform=pan.transform @ scale), pan
    if ms.transform is not None:
        return ms, replace(pan, transform=ms.transform @ ~scale)
    north_up = Affine(1, 0, 0, 0, -1, pan.values.shape[1])
    return replace(ms, transform=north_up @ scale), replace(pan, transform=north_up)


def _ratio_of_shapes(ms: Image, pan: Image) -> tuple[float, float]:
    """PAN pixels per MS pixel, down and right, where all corners coincide."""
    (h, w), (height, width) = ms.values.shape[1:], pan.values.shape[1:]
    if height * w != width * h:
        raise UsageError(
            f"ms has {w}x{h} pixels and pan {width}x{height}, {width / w:.4g} times as many across, {height / h:.4g} "
            "down: give the ratio where the upper left corners coincide, else both geotransforms"
        )
    return height / h, width / w


def _written(folder: Path, name: str, image: Image) -> tuple[str, ...]:
    """The image as a file, or as one for each band where bands are valid in different places."""
    valid = image.valid
    if valid is not None and (valid != valid[:1]).any():
        bands = [replace(image, values=image.values[[band]], valid=valid[[band]]) for band in range(len(valid))]
        return tuple(_written(folder, f"{name}, band {n}", band)[0] for n, band in enumerate(bands, start=1))
    count, height, width = image.values.shape
    shape = {"count": count, "height": height, "width": width, "dtype": image.values.dtype.name}
    layout = {"driver": "GTiff", "tiled": True, "interleave": "band", "bigtiff": "if_safer"}
    place = {"transform": image.transform, "crs": _crs(image.crs), "nodata": _nodata(name, image)}
    path = folder / name
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", **shape, **layout, **place) as dataset,
    ):
        dataset.write(image.values)
        if valid is not None:
            dataset.write_mask(valid[0])
    return (str(path),)


def _crs(given: Any) -> CRS | None:
    try:
        return None if given is None else CRS.from_user_input(given)
    except (CRSError, ValueError) as error:
        raise UsageError(f"{given}: not a CRS ({error})", "crs") from error


def _nodata(name: str, image: Image) -> float | None:
    """The nodata value of a file; None where its type cannot hold the value, as then no pixel has it."""
    if image.nodata is None or holds(image.values.dtype.name, image.nodata):
        return image.nodata
    if name == _PAN:
        return None
    raise UsageError(f"{image.nodata:g}: {image.values.dtype.name} has no such value", "nodata")


def _read(path: Path, ms: Image) -> Image:
    """The fused file as an image in the type of MS."""
    with rasterio.open(path) as dataset:
        values, valid = dataset.read(), dataset.read_masks() > 0
        nodata, transform, crs = dataset.nodata, dataset.transform, dataset.crs
    return Image(values.astype(ms.values.dtype, copy=False), valid, transform, crs, nodata)


def valid_of(image: Image) -> NDArray[np.bool_]:
    """Where an image is valid."""
    return np.ones(image.values.shape, np.bool_) if image.valid is None else image.valid
