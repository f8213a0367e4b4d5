"""An empty GeoTIFF as GDAL makes it: the creation options for it and for a COG, and everything in it but pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rasterio

from clippan_cli.rasters.gdal_errors import writing
from clippan_cli.rasters.metadata import RasterMetadata, write_metadata
from clippan_cli.writing.grid import OutputGrid, needs_bigtiff
from clippan_cli.writing.options import OutputOptions
from clippan_models.store.files import written_whole

BLOCK = 512
"""Side of the blocks in the file; windows on multiples of it take the least memory, and are the fastest to verify."""

_PREDICTABLE = frozenset({"DEFLATE", "LZW", "ZSTD"})

_LEVEL = {"DEFLATE": "ZLEVEL", "ZSTD": "ZSTD_LEVEL"}
"""Where the GeoTIFF driver takes the level of a compression, which is 1 unless the user wants another.

Behind a predictor, sharp images deflated at level 6 are no smaller, and take twice as long. With zstd, level 1 takes
less time than deflate, and GDAL's own level, 9, five times as long for files that are a tenth smaller.
"""


def temporary_options(grid: OutputGrid, options: OutputOptions) -> dict[str, str]:
    """A GeoTIFF is written as it will stay, a COG is translated from a raw file."""
    return _gtiff_options(grid, options) if options.driver == "gtiff" else _raw_options(grid)


def cog_options(grid: OutputGrid, options: OutputOptions) -> dict[str, str]:
    """The creation options of the COG driver; those of the user win."""
    chosen = {
        "COMPRESS": options.compression,
        "NUM_THREADS": str(options.threads),
        "BLOCKSIZE": str(BLOCK),
        "BIGTIFF": "YES" if needs_bigtiff(grid) else "NO",
        # Means of valid pixels: no ringing beside saturation and nodata, unlike GDAL's default, cubic.
        "OVERVIEW_RESAMPLING": "AVERAGE",
        # Else GDAL drops all metadata domains but the default one.
        "COPY_SRC_MDD": "YES",
    }
    if _has_predictor(grid, options):
        chosen["PREDICTOR"] = "YES"
    if options.compression in _LEVEL:
        chosen["LEVEL"] = "1"
    if grid.nbits is not None:
        chosen["NBITS"] = str(grid.nbits)
    return chosen | options.user_options


def create_geotiff(
    path: Path | str, grid: OutputGrid, options: Mapping[str, str], metadata: RasterMetadata | None
) -> Any:
    """Open a new GeoTIFF for writing, with everything in it but pixels."""
    dataset = rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=grid.width,
        height=grid.height,
        count=grid.count,
        dtype=grid.dtype,
        crs=grid.crs,
        transform=None if grid.transform.is_identity else grid.transform,
        nodata=grid.nodata,
        **options,
    )
    try:
        if metadata is not None:
            write_metadata(dataset, metadata)
    except BaseException:
        dataset.close()
        raise
    return dataset


@contextmanager
def new_raster(path: Path, **profile: Any) -> Iterator[Any]:
    """A small GeoTIFF to write at once, open; when it is closed, it replaces what is at `path`.

    Raises:
        OutputError: it cannot be written; `path` is as it was.
    """
    with (
        written_whole(path) as partial,
        writing(path),
        rasterio.open(partial, "w", driver="GTiff", **profile) as dataset,
    ):
        yield dataset


def _raw_options(grid: OutputGrid) -> dict[str, str]:
    """A tiled, uncompressed GeoTIFF: as fast as the disk, and read only once.

    Interleaved by pixel: that is also the layout of a COG, and writing 4 bands took a third of the time of separate
    ones (0.5 s against 1.5 s for 8192 x 8192); deflated files are 1.5 % smaller by band, which is not worth it.
    """
    layout = {
        "TILED": "YES",
        "BLOCKXSIZE": str(BLOCK),
        "BLOCKYSIZE": str(BLOCK),
        "INTERLEAVE": "PIXEL",
        # GDAL takes the fourth band of 8 bits for alpha if it is not told.
        "PHOTOMETRIC": "MINISBLACK",
        "ALPHA": "NO",
        "BIGTIFF": "YES" if needs_bigtiff(grid) else "NO",
    }
    return layout | ({} if grid.nbits is None else {"NBITS": str(grid.nbits)})


def _gtiff_options(grid: OutputGrid, options: OutputOptions) -> dict[str, str]:
    chosen = _raw_options(grid) | {"COMPRESS": options.compression}
    if not grid.mask:
        # With a mask inside of the file, the compressing threads of GDAL print spurious errors (seen with 3.10).
        chosen["NUM_THREADS"] = str(options.threads)
    if _has_predictor(grid, options):
        chosen["PREDICTOR"] = "3" if grid.dtype == "float32" else "2"
    if options.compression in _LEVEL:
        chosen[_LEVEL[options.compression]] = "1"
    return chosen | options.user_options


def _has_predictor(grid: OutputGrid, options: OutputOptions) -> bool:
    # TIFF defines predictors for whole bytes only.
    return options.compression in _PREDICTABLE and grid.nbits in (None, 8, 16, 32)
