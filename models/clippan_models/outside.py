"""Text that others have written: read only from a regular file, and only up to a stated size."""

from __future__ import annotations

import errno
import json
import os
import stat
import tomllib
from io import BufferedReader
from pathlib import Path
from typing import Any

from clippan_models.errors import InputError, UsageError, in_one_line, shown

LARGEST_TEXT = 64 * 2**20
"""Bytes of a table, a catalogue or an area of interest."""

LARGEST_TOML = 64 * 2**10
"""Bytes of a TOML file, which a person writes."""

MOST_VALUES = 4_000_000
"""Values in a JSON file; small ones take many times the memory of their text."""


def open_regular(path: str | Path) -> BufferedReader:
    """Open a file for reading. Links are followed; a pipe is not waited for.

    Raises:
        OSError: it cannot be opened, or is a folder, a pipe or a device; `strerror` says why.
    """
    try:
        file = open(path, "rb", opener=_open_at_once)
    except ValueError as error:  # a NUL, or half of a character
        raise OSError(errno.EINVAL, "no file can have this name") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file")
    return file


def read_bytes(path: Path, what: str, largest: int = LARGEST_TEXT) -> bytes:
    """All of a file.

    Args:
        path: the file.
        what: it should be, for messages.
        largest: bytes that it may have.

    Raises:
        InputError: it cannot be read, or is larger.
    """
    try:
        with open_regular(path) as file:
            content = file.read(largest + 1)
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be read as {what}: {error.strerror or error}") from error
    if len(content) > largest:
        raise too_large(path, what, largest)
    return content


def read_text(path: Path, what: str, largest: int = LARGEST_TEXT) -> str:
    """The text of a file in UTF-8, see `read_bytes`.

    Raises:
        InputError: it cannot be read, is larger, or is not UTF-8.
    """
    try:
        return read_bytes(path, what, largest).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{shown(path)} cannot be read as {what}: it is not text in UTF-8 ({error})") from error


def read_json(path: Path, what: str, largest: int = LARGEST_TEXT) -> Any:
    """The document in a JSON file, see `read_bytes`.

    Raises:
        InputError: it cannot be read, is larger, or is not JSON; or it has too many values, or is nested too deeply.
    """
    text = read_text(path, what, largest)
    if sum(map(text.count, "[{,")) > MOST_VALUES:
        raise InputError(f"{shown(path)} has more than {MOST_VALUES:,} values, more than clippan reads as {what}")
    try:
        return parse_json(text)
    except ValueError as error:
        raise InputError(f"{shown(path)} cannot be read as {what}: {in_one_line(error)}") from error


def parse_json(text: str) -> Any:
    """The document in a JSON text.

    Raises:
        ValueError: it is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The table in a TOML file that a user names, see `read_bytes`.

    Raises:
        UsageError: it cannot be read, is larger than `LARGEST_TOML`, or is not TOML.
    """
    try:
        return tomllib.loads(read_text(path, f"a {what}", LARGEST_TOML))
    except InputError as error:
        raise UsageError(str(error)) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else in_one_line(error)
        raise UsageError(f"{what} {shown(path)} is not valid TOML: {reason}") from error


def too_large(path: Path, what: str, largest: int) -> InputError:
    """The error for a file that is not read because of its size."""
    return InputError(f"{shown(path)} is larger than {size_text(largest)}, the most that clippan reads as {what}")


def size_text(count: int) -> str:
    """A bound of so many bytes in the largest unit in which it is whole."""
    size, units = count, ["bytes", "KB", "MB", "GB"]
    while size % 1024 == 0 and len(units) > 1:
        size //= 1024
        units.pop(0)
    return f"{size:,} {units[0]}"


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
