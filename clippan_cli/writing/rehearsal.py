"""A small image written in memory with the true options, to learn what GDAL makes of them before the work."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.io import MemoryFile

from clippan_cli.rasters.gdal_errors import GDAL_ERRORS, environment, reason_of, stderr_of_gdal, warnings_of_gdal
from clippan_cli.rasters.grids import GRID_TOLERANCE, corners_apart
from clippan_cli.rasters.metadata import RasterMetadata
from clippan_cli.writing.creation import cog_options, create_geotiff, temporary_options
from clippan_cli.writing.grid import OutputGrid
from clippan_cli.writing.options import OutputOptions
from clippan_cli.writing.verification import Facts
from clippan_models.errors import UsageError

logger = logging.getLogger(__name__)

_COMPRESSIONS = (
    "none",
    "deflate",
    "lzw",
    "zstd",
    "lzma",
    "packbits",
    "lerc",
    "lerc_deflate",
    "lerc_zstd",
    "jpeg",
    "webp",
    "jxl",
)


@dataclass(frozen=True)
class Rehearsal:
    """What writing a small image in memory has shown.

    Attributes:
        facts: what GDAL says of the file; all but the size holds for the true output, too.
        lossless: whether pixels come back as they were written.
    """

    facts: Facts
    lossless: bool


def check_encoding(grid: OutputGrid, options: OutputOptions, metadata: RasterMetadata | None = None) -> Rehearsal:
    """Write a small image with the true options in memory, to fail before hours of work and not after them.

    Raises:
        UsageError: GDAL does not know an option, or it cannot do with these bands what the option asks for.
    """
    check_compression(options)
    small = replace(grid, width=min(grid.width, 64), height=min(grid.height, 64))
    complaints: list[str] = []
    try:
        with environment(), warnings_of_gdal(complaints), stderr_of_gdal([]):
            rehearsal = _write_in_memory(small, options, metadata)
    except GDAL_ERRORS as error:
        raise UsageError(
            f"GDAL cannot write {grid.count} bands of {grid.dtype} as {_described(options)}: {reason_of(error)}"
        ) from error
    if complaints:
        raise UsageError(f"GDAL does not accept a creation option: {complaints[0]}")
    _refuse_changed_grid(small, rehearsal.facts, options)
    return rehearsal


def check_compression(options: OutputOptions) -> None:
    """Refuse a compression that this GDAL cannot write, unless it is among the user's creation options.

    Raises:
        UsageError: GDAL does not know it; the message lists those that it has.
    """
    if not options.user_options.get("COMPRESS") and not _gdal_can_write(options.compression):
        wrong = "this GDAL cannot write" if options.compress.lower() in _COMPRESSIONS else "unknown"
        offered = ", ".join(available_compressions())
        raise UsageError(f"{wrong} compression '{options.compress}'; GDAL offers here: {offered}")


def available_compressions() -> tuple[str, ...]:
    """The compressions that this GDAL can write."""
    return tuple(name for name in _COMPRESSIONS if _gdal_can_write(name))


def _write_in_memory(grid: OutputGrid, options: OutputOptions, metadata: RasterMetadata | None) -> Rehearsal:
    pixels, is_cog = _noise(grid), options.driver == "cog"
    with MemoryFile(ext=".tif") as file, MemoryFile(ext=".tif") as copy:
        with create_geotiff(file.name, grid, temporary_options(grid, options), metadata) as dataset:
            dataset.write(pixels)
            if grid.mask:
                dataset.write_mask(np.full((grid.height, grid.width), 255, np.uint8))
        if is_cog:
            rasterio.shutil.copy(file.name, copy.name, driver="COG", **cog_options(grid, options))
        final = (copy if is_cog else file).name
        # What needs a side file to survive would not survive the rename.
        if rasterio.shutil.exists(f"{final}.aux.xml"):
            rasterio.shutil.delete(f"{final}.aux.xml")
        with rasterio.open(final) as dataset:
            same = bool(np.array_equal(dataset.read(), pixels)) and not _allows_error(options)
            return Rehearsal(Facts.of(dataset), same)


def _noise(grid: OutputGrid) -> NDArray[Any]:
    """Pixels that no lossy compression can keep, within 8 bits so that they fit any NBITS above."""
    values = np.random.default_rng(0).random((grid.count, grid.height, grid.width))
    top = 1 if grid.dtype == "float32" else 2 ** min(grid.nbits or 8, 8) - 1
    return (values * top).astype(grid.dtype)


def _allows_error(options: OutputOptions) -> bool:
    # LERC keeps noise exactly where it cannot save anything, whatever error it is allowed.
    return options.user_options.get("MAX_Z_ERROR", "0").strip("0.") != ""


def _refuse_changed_grid(grid: OutputGrid, facts: Facts, options: OutputOptions) -> None:
    kept = (facts.width, facts.height, facts.dtypes) == (grid.width, grid.height, (grid.dtype,) * grid.count)
    # Point images are stored half a pixel off and moved back, which may cost the last digit.
    apart = corners_apart(~grid.transform @ Affine(*facts.transform[:6]), Affine.identity(), grid.width, grid.height)
    if not kept or apart > GRID_TOLERANCE:
        raise UsageError(f"the creation options change the grid of the image ({_described(options)}); leave them out")
    if grid.crs is not None and (facts.crs is None or CRS.from_wkt(facts.crs) != grid.crs):
        logger.warning("GeoTIFF cannot hold the CRS exactly; it will read as %s", facts.crs)


def _described(options: OutputOptions) -> str:
    extras = "".join(f", {key}={value}" for key, value in options.creation_options)
    return f"{options.driver} with {options.compression.lower()} compression{extras}"


def _gdal_can_write(compression: str) -> bool:
    complaints: list[str] = []
    try:
        with environment(), warnings_of_gdal(complaints), stderr_of_gdal([]), MemoryFile(ext=".tif") as file:
            shape = {"driver": "GTiff", "width": 16, "height": 16, "count": 3, "dtype": "uint8"}
            somewhere = Affine.scale(2)  # rasterio warns of images without a geotransform
            rasterio.open(file.name, "w", **shape, transform=somewhere, COMPRESS=compression).close()
    except GDAL_ERRORS:
        return False
    return not complaints
