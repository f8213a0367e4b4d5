"""GDAL set up for writing, and what it and libtiff complain of: collected, kept from stderr, and told in one line."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import rasterio
import rasterio.env
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from clippan_models.errors import DISK_FULL, ClippanError, OutputError, in_one_line, shown

GDAL_ERRORS = (RasterioError, CPLE_BaseError, OSError, SystemError)
UNTOUCHED = "the previous file, if any, is untouched"
"""What a message ends with when writing fails."""

LIBTIFF_FAILURE = re.compile(r"_tiff\w+Proc: (?P<reason>.*?)\.?$")
_NOISE_OF_GDAL = re.compile(r"(ERROR|Warning) \d+: ")  # from threads of GDAL; if it matters, an exception follows
_CACHE_BYTES = 128 * 2**20
_STDERR_LOCK = threading.RLock()


@contextmanager
def environment() -> Iterator[None]:
    """GDAL set up for writing: the mask inside of the file, a small block cache.

    Entered anew for each call, since rasterio keeps it by thread.
    """
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, **small_cache()):
        yield


def small_cache() -> dict[str, int]:
    """The option that keeps GDAL from caching a twentieth of the memory; empty where the user has set a limit."""
    configured = {key.upper() for key in rasterio.env.getenv()} if rasterio.env.hasenv() else set()
    return {} if "GDAL_CACHEMAX" in configured | os.environ.keys() else {"GDAL_CACHEMAX": _CACHE_BYTES}


@contextmanager
def warnings_of_gdal(complaints: list[str]) -> Iterator[None]:
    """Collect what GDAL warns of about creation options, instead of logging it."""

    class Collector(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            message = record.getMessage()
            if "CPLE_NotSupported" in message or "CPLE_IllegalArg" in message:
                complaints.append(message.partition(" in ")[2])
            return record.levelno >= logging.ERROR

    source = logging.getLogger("rasterio._env")
    collector, level = Collector(), source.level
    source.addFilter(collector)
    source.setLevel(logging.WARNING)
    try:
        yield
    finally:
        source.setLevel(level)
        source.removeFilter(collector)


@contextmanager
def stderr_of_gdal(complaints: list[str]) -> Iterator[None]:
    """Keep libtiff from writing its failures to the stderr of the user, and collect their reasons.

    libtiff prints failed system calls straight to file descriptor 2, past every handler of GDAL, and sometimes that
    is the only trace of a full disk: writing with several threads raises nothing. Whatever else is written there
    meanwhile is passed on. For short calls only: stderr is not a terminal meanwhile.
    """
    with _STDERR_LOCK:
        saved = _duplicate_stderr()
        if saved is None:
            yield
            return
        source, sink = os.pipe()
        # Better to lose words than to wait forever for a reader of a full pipe.
        os.set_blocking(source, False)
        os.set_blocking(sink, False)
        try:
            os.dup2(sink, 2)
            os.close(sink)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            _sort_out(_drain(source), complaints)
            os.close(source)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Write with GDAL what is to become a file; whatever GDAL or the system has against it becomes an OutputError."""
    complaints: list[str] = []
    try:
        with environment(), stderr_of_gdal(complaints):
            yield
    except GDAL_ERRORS as error:
        raise write_failure(path, *complaints, reason_of(error)) from error
    if complaints:
        raise write_failure(path, *complaints)


def write_failure(path: Path, *reasons: str) -> OutputError:
    """The error for the first of the reasons; any of them may tell that the disk is full."""
    reason = reasons[0]
    full = any(os.strerror(number) in text for number in DISK_FULL for text in reasons)
    what = "disk full or quota exceeded while writing" if full else "cannot write"
    return OutputError(f"{what} {shown(path)}: {reason}; {UNTOUCHED}")


def reason_of(error: BaseException) -> str:
    """What GDAL or the system says, in one line; rasterio's own words only point to the cause."""
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    cause = error if isinstance(error, ClippanError) else error.__cause__ or error
    return in_one_line(cause).rstrip(".")


def _duplicate_stderr() -> int | None:
    # Started without a stderr, as daemons are, the process may have our output open under the number 2.
    if sys.__stderr__ is None:
        return None
    try:
        return os.dup(2)
    except OSError:
        return None


def _drain(source: int) -> bytes:
    words = b""
    with suppress(BlockingIOError):
        while more := os.read(source, 2**16):
            words += more
    return words


def _sort_out(words: bytes, complaints: list[str]) -> None:
    foreign = b""
    for line in words.splitlines(keepends=True):
        text = line.decode(errors="replace").rstrip()
        if failure := LIBTIFF_FAILURE.match(text):
            complaints.append(failure["reason"])
        elif not _NOISE_OF_GDAL.match(text):
            foreign += line
    if foreign:
        with suppress(OSError):
            os.write(2, foreign)
