"""What a raster may hold, and what may lie beside it: bounds that are checked before any work that grows with it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from rasterio._err import CPLE_BaseError
from rasterio.enums import Interleaving
from rasterio.errors import RasterioError

from clippan_cli.rasters.metadata import named_domains
from clippan_cli.rasters.options import LARGEST_BLOCK
from clippan_cli.rasters.zipped import archive_of, members_of
from clippan_models.errors import InputError, in_one_line
from clippan_models.outside import size_text

MOST_FILES = 10_000
"""Other files that one raster leads to."""

DEEPEST = 16
"""Files in a row of which each leads to the next."""

MOST_PARTS = 1000
"""Files of one image: its bands or its tiles."""

MOST_BANDS = 512
"""Of one image; those of imaging spectrometers have fewer."""

MOST_TAGS = 20_000
"""Of one raster and its bands, in all domains."""

LONGEST_NAME = 1000
"""Characters of the name of a band, of its unit, or of a tag."""

LONGEST_TEXT = 2**20
"""Characters of one tag, or of the CRS."""

LARGEST_SIDECAR = 16 * 2**20
"""Bytes of a text file beside a raster."""

_TEXTS = (
    *(".aux", ".dim", ".eph", ".hdr", ".imd", ".j2w", ".jgw", ".pass", ".pgw", ".prj", ".pvl", ".rpb", ".rpc"),
    *(".tab", ".tfw", ".tifw", ".tiffw", ".txt", ".wld", ".xml"),
)
"""Endings of the text files that GDAL reads along with a raster."""

_OF_THE_FOLDER = ("metadata.dim", "summary.txt")
"""Those that it reads with any raster beside them."""

_OF_THE_SCENE = ("_metadata.txt", "_mtl.txt", "_rpc.txt")
"""What follows the name of the scene in those that it reads with all rasters of a scene."""


def check_beside(name: str) -> None:
    """Check the files beside a raster before GDAL reads them with it: it would wait for a pipe, or read without end.

    Raises:
        InputError: one is not a regular file, or a large text.
    """
    folder, file = os.path.split(name)
    if place := archive_of(folder):
        _check_read_with(name, file, _large_members(*place))
        return
    try:
        strange = _strange_files(folder or ".", os.stat(folder or ".").st_mtime_ns)
    except OSError:  # a folder that may not be listed, which GDAL cannot do either
        return
    _check_read_with(name, file, strange)


def _check_read_with(name: str, file: str, strange: Iterable[tuple[str, int | None]]) -> None:
    for other, size in strange:
        if not _is_read_with(file.lower(), other.lower()):
            continue
        if size is None:
            raise InputError(f"{name} cannot be read: {other} beside it is not a regular file; remove it")
        largest = size_text(LARGEST_SIDECAR)
        raise InputError(f"{name} cannot be read: {other} beside it has {size:,} bytes, more than {largest}")


def check_content(name: str, dataset: Any, largest_block: int) -> None:
    """Check how much an open raster holds, and that all that it says can be understood.

    Args:
        name: of the raster.
        dataset: the raster.
        largest_block: bytes of pixels that must be decoded together, at most.

    Raises:
        InputError: it holds too much, or says what cannot be read.
    """
    if dataset.count > MOST_BANDS:
        raise InputError(f"{name} has {dataset.count:,} bands; clippan reads up to {MOST_BANDS}")
    _check_blocks(name, dataset, largest_block)
    try:
        for what, text, longest in _texts_of(dataset):
            if len(text) > longest:
                raise InputError(f"{name}: {what} has {len(text):,} characters; clippan reads up to {longest:,}")
        dataset.gcps, dataset.colorinterp  # noqa: B018 - of some errors above, rasterio tells only with the next call
    except UnicodeDecodeError as error:
        raise InputError(f"{name} holds a text that is not UTF-8, such as the name of a band or a tag") from error
    except (RasterioError, CPLE_BaseError) as error:
        raise InputError(f"{name} holds what cannot be understood: {in_one_line(error)}") from error
    tags = sum(len(tags) for tags in _tags_of(dataset))
    if tags > MOST_TAGS:
        raise InputError(f"{name} has {tags:,} tags; clippan reads up to {MOST_TAGS:,}")


def _is_read_with(file: str, other: str) -> bool:
    """Whether GDAL may read another file of the folder along with a raster; both in lower case.

    Such as A.tfw and A_RPC.TXT with A.tif, LC08_MTL.txt with LC08_B8.tif, DIM_A.XML with IMG_A.tif.
    """
    stem = Path(file).stem
    scene = next((other.removesuffix(ending) for ending in _OF_THE_SCENE if other.endswith(ending)), None)
    return (
        other in _OF_THE_FOLDER
        or other.startswith((f"{stem}.", f"{stem}_rpc"))
        or (bool(scene) and stem.startswith(f"{scene}_"))
        or (stem.startswith("img_") and other.startswith(("dim_", "rpc_")))
    )


def _check_blocks(name: str, dataset: Any, largest: int) -> None:
    together = dataset.count if dataset.interleaving == Interleaving.pixel else 1
    for (height, width), dtype in zip(dataset.block_shapes, dataset.dtypes, strict=True):
        size = height * width * together * (np.dtype(dtype).itemsize if dtype in np.sctypeDict else 16)
        if size > largest:
            of_ram = " (a quarter of --ram)" if largest < LARGEST_BLOCK else ""
            raise InputError(
                f"{name} cannot be read: its blocks of {width}x{height} pixels have {size / 2**20:,.0f} MB each, more "
                f"than {size_text(largest)}{of_ram}; rewrite it with gdal_translate -co TILED=YES"
            )


def _texts_of(dataset: Any) -> Iterator[tuple[str, str, int]]:
    """Every text of a raster, with what it is and how long it may be."""
    yield "its CRS", dataset.crs.to_wkt() if dataset.crs else "", LONGEST_TEXT
    for band, texts in enumerate(zip(dataset.descriptions, dataset.units, strict=True), start=1):
        yield from ((f"the name or unit of band {band}", text or "", LONGEST_NAME) for text in texts)
    for tags in _tags_of(dataset):
        for key, text in tags.items():
            yield "the name of a tag", key, LONGEST_NAME
            yield f"the tag {key}", text, LONGEST_TEXT


def _tags_of(dataset: Any) -> Iterator[dict[str, str]]:
    """The tags of a raster and its bands, by domain."""
    for band in range(dataset.count + 1):
        for domain in ("", *named_domains(dataset, band)):
            yield dataset.tags(band, ns=domain or None)


def _large_members(archive: Path, folder: str) -> Iterator[tuple[str, int | None]]:
    """The large texts in a folder of an archive, with their sizes."""
    for name, info in members_of(archive).items():
        if os.path.dirname(name) == folder and name.lower().endswith(_TEXTS) and info.file_size > LARGEST_SIDECAR:
            yield os.path.basename(name), info.file_size


@lru_cache(maxsize=16)
def _strange_files(folder: str, changed: int) -> tuple[tuple[str, int | None], ...]:
    """What is neither a folder nor a regular file, and texts that are large with their size.

    Remembered until the folder changes, as there may be many rasters in it.
    """
    found: list[tuple[str, int | None]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file():
                if entry.name.lower().endswith(_TEXTS) and (size := entry.stat().st_size) > LARGEST_SIDECAR:
                    found.append((entry.name, size))
            elif not entry.is_dir() and os.path.exists(entry.path):
                found.append((entry.name, None))
    return tuple(found)
