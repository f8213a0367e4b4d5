"""Whether a file reads back as it was written: its facts, and the checksums of every block."""

from __future__ import annotations

import math
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

from clippan_cli.rasters.gdal_errors import environment
from clippan_cli.writing.creation import BLOCK
from clippan_cli.writing.grid import OutputGrid
from clippan_cli.writing.options import OutputOptions
from clippan_models.contracts import Window


class Mismatch(Exception):
    """The file holds something else than what was written."""


@dataclass(frozen=True)
class Facts:
    """What a reader of the file is told about it, in comparable form."""

    width: int
    height: int
    dtypes: tuple[str, ...]
    crs: str | None
    transform: tuple[float, ...]
    nodata: tuple[str, ...]
    mask_flags: tuple[tuple[str, ...], ...]
    descriptions: tuple[str | None, ...]
    layout: str | None

    @classmethod
    def of(cls, dataset: Any) -> Facts:
        """What an open file says of itself."""
        return cls(
            dataset.width,
            dataset.height,
            tuple(dataset.dtypes),
            None if dataset.crs is None else dataset.crs.to_wkt(),
            tuple(dataset.transform),
            tuple(repr(value) for value in dataset.nodatavals),
            tuple(tuple(flag.name for flag in flags) for flags in dataset.mask_flag_enums),
            tuple(dataset.descriptions),
            dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT"),
        )

    def differences(self, other: Facts) -> str:
        """Names and values of what differs, or an empty string."""
        mine, theirs = vars(self), vars(other)
        return "; ".join(f"{key}: {mine[key]} became {theirs[key]}" for key in mine if mine[key] != theirs[key])


@dataclass(frozen=True)
class Checksum:
    """CRC-32 of the pixels and of the mask of a window; None for what is not compared."""

    data: int | None
    mask: int | None

    @classmethod
    def of(cls, data: NDArray[Any], mask: NDArray[np.uint8] | None) -> Checksum:
        """Those of the pixels of one window, and of its mask if there is one."""
        return cls(_crc(data), None if mask is None else _crc(mask))

    def of_mask_only(self) -> Checksum:
        """For lossy files, whose pixels cannot be compared."""
        return Checksum(None, self.mask)


def verify_facts(path: Path, rehearsed: Facts, grid: OutputGrid, options: OutputOptions) -> None:
    """Compare what a file says of itself with what the rehearsal led to expect.

    Raises:
        Mismatch: it says something else, or overviews are missing.
    """
    expected = replace(rehearsed, width=grid.width, height=grid.height)
    with rasterio.Env(), rasterio.open(path, driver="GTiff") as dataset:
        differences = expected.differences(Facts.of(dataset))
        overviews = dataset.overviews(1)
    if differences:
        raise Mismatch(differences)
    wants_overviews = options.driver == "cog" and options.user_options.get("OVERVIEWS", "AUTO").upper() != "NONE"
    block = int(options.user_options.get("BLOCKSIZE", BLOCK))
    if wants_overviews and max(grid.width, grid.height) > block and not overviews:
        raise Mismatch("no overviews")


def verify_blocks(
    path: Path, checksums: Mapping[Window, Checksum], threads: int, on_share: Callable[[float], None]
) -> None:
    """Read every block of the file, of its mask and of its overviews, in several threads with a handle each.

    Raises:
        Mismatch: a window holds something else than was written.
    """
    readings = [_Reading(None, window, checksums[window]) for window in sorted(checksums, key=lambda w: (w.row, w.col))]
    readings += _overview_readings(path)
    share = math.ceil(len(readings) / threads)
    stop, done = threading.Event(), _Counter()
    # The limit of the block cache is one for all threads; the first to leave would lift it for the others.
    with environment(), ThreadPoolExecutor(threads) as pool:
        # Neighbours stay in one thread, so that a block that two windows share is decoded once.
        parts = [readings[start : start + share] for start in range(0, len(readings), share)]
        futures = [pool.submit(_read_back, path, part, stop, done) for part in parts]
        try:
            _watch(futures, lambda: on_share(done.value / len(readings)))
        finally:
            stop.set()


def raster_window(window: Window) -> RasterWindow:
    """A window as rasterio wants it."""
    return RasterWindow(window.col, window.row, window.width, window.height)


@dataclass(frozen=True)
class _Reading:
    """A window to read, at full resolution (level None) or in an overview, and what should come out."""

    level: int | None
    window: Window
    expected: Checksum

    def check(self, dataset: Any) -> None:
        place = raster_window(self.window)
        data, mask = dataset.read(window=place), dataset.read_masks(1, window=place)
        if self.expected.data not in (None, _crc(data)):
            raise Mismatch(f"other pixels in {self.window}")
        if self.expected.mask not in (None, _crc(mask)):
            raise Mismatch(f"another mask in {self.window}")


def _crc(values: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(values).data)


def _overview_readings(path: Path) -> list[_Reading]:
    with rasterio.Env(), rasterio.open(path, driver="GTiff") as dataset:
        levels = len(dataset.overviews(1))
    return [
        _Reading(level, window, Checksum(None, None)) for level in range(levels) for window in _windows_of(path, level)
    ]


def _windows_of(path: Path, level: int) -> Iterator[Window]:
    side = 2 * BLOCK
    with rasterio.Env(), rasterio.open(path, driver="GTiff", overview_level=level) as dataset:
        for row in range(0, dataset.height, side):
            for col in range(0, dataset.width, side):
                yield Window(row, col, min(side, dataset.height - row), min(side, dataset.width - col))


class _Counter:
    """A count that threads can share."""

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def increase(self) -> None:
        with self._lock:
            self.value += 1


def _read_back(path: Path, readings: Sequence[_Reading], stop: threading.Event, done: _Counter) -> None:
    with rasterio.Env(), ExitStack() as handles:
        opened: dict[int | None, Any] = {}
        for reading in readings:
            if stop.is_set():
                return
            if reading.level not in opened:
                at_level = {} if reading.level is None else {"overview_level": reading.level}
                opened[reading.level] = handles.enter_context(rasterio.open(path, driver="GTiff", **at_level))
            reading.check(opened[reading.level])
            done.increase()


def _watch(futures: Sequence[Future[None]], report: Callable[[], None]) -> None:
    pending: set[Future[None]] = set(futures)
    while pending:
        finished, pending = wait(pending, timeout=0.1, return_when=FIRST_EXCEPTION)
        for future in finished:
            future.result()
        report()
