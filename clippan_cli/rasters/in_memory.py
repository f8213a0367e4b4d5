"""Images of files of arrays as rasters: GeoTIFFs in memory, without georeferencing, with the values as they are."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader, MemoryFile

from clippan_cli.rasters.array_files import read_image


class ArrayDataset(DatasetReader):  # type: ignore[misc]  # rasterio has no types
    """A raster that exists in memory alone, until it is closed."""

    def __init__(self, values: NDArray[Any]) -> None:
        """Take an image `[C, H, W]`."""
        self._memory = MemoryFile()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            write_plain(self._memory.name, values)
            super().__init__(self._memory.name, driver=["GTiff"])

    def close(self) -> None:
        """Close it, and free its memory."""
        super().close()
        self._memory.close()


def open_array(name: str) -> ArrayDataset:
    """Open an image of a file of arrays as a raster.

    Raises:
        InputError: see `read_image`.
        UsageError: the package that reads it is not installed.
    """
    return ArrayDataset(read_image(name))


def write_plain(path: str | Path, values: NDArray[Any]) -> None:
    """Write an image `[C, H, W]` to a GeoTIFF without georeferencing."""
    count, height, width = values.shape
    shape = {"count": count, "height": height, "width": width, "dtype": values.dtype.name}
    layout = {"tiled": True, "interleave": "band", "bigtiff": "if_safer", "photometric": "minisblack"}
    with rasterio.open(path, "w", driver="GTiff", **shape, **layout) as file:
        file.write(values)
