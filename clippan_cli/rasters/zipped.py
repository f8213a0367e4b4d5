"""Rasters inside zip archives: GDAL reads them by names such as /vsizip/{/data/scene.zip}/folder/image.tif.

What lies in an archive can lead only to other members of it: of the formats whose files name others only DIMAP is read
from it, and no masks and overviews beside a raster, which GDAL would open with any driver.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from zipfile import BadZipFile, ZipFile, ZipInfo

from clippan_models.errors import InputError
from clippan_models.outside import open_regular, too_large

DRIVERS = ("GTiff", "COG", "JP2OpenJPEG", "JP2ECW", "JP2KAK")
"""GDAL drivers that read pixels from the member named, and from no other one."""

MOST_MEMBERS = 10_000
"""Files in one archive."""

_LARGEST_DIRECTORY = 16 * 2**20  # bytes in which an archive lists its members
_NAME = re.compile(r"/vsizip/(?:\{([^{}]+\.zip)\}|([^{}]+?\.zip))(?:/(.*))?", re.IGNORECASE | re.DOTALL)


def name_in_zip(archive: Path, member: str = "") -> Path:
    """The name by which GDAL reads a member of an archive; that of the archive as a folder for no member.

    Raises:
        InputError: GDAL would read another archive by it.
    """
    if set("{}") & set(str(archive.absolute())):
        raise InputError(f"{archive} has a brace in its path, which GDAL does not read; rename it")
    return Path("/vsizip", f"{{{archive.absolute()}}}", member)


def archive_of(name: str) -> tuple[Path, str] | None:
    """The archive and the member that a name stands for; None for any other name."""
    found = _NAME.fullmatch(name)
    return None if found is None else (Path(found[1] or found[2]), found[3] or "")


def members_of(archive: Path) -> dict[str, ZipInfo]:
    """The files in an archive by their names.

    Raises:
        InputError: it cannot be read, holds too many, or one whose name leads out of it.
    """
    try:
        status = os.stat(archive)
    except OSError as error:
        raise InputError(f"{archive} cannot be read: {error.strerror or error}") from error
    return _members(archive, status.st_mtime_ns, status.st_size)


def check_member(name: str) -> ZipInfo:
    """Refuse a name that no file in an archive has.

    Raises:
        InputError: there is no such archive, no such file in it, or an empty one.
    """
    archive, member = archive_of(name) or (Path(name), "")
    info = members_of(archive).get(member)
    if info is None:
        raise InputError(f"{archive} holds no file {member}")
    if info.file_size == 0:
        raise InputError(f"{name} is empty (0 bytes)")
    return info


def read_member(name: str, what: str, largest: int, *, whole: bool = True) -> bytes:
    """All of a file in an archive, or its first bytes.

    Raises:
        InputError: it cannot be read, or all of it is wanted and it is larger.
    """
    archive, member = archive_of(name) or (Path(name), "")
    check_member(name)
    try:
        with open_regular(archive) as file, ZipFile(file) as opened, opened.open(member) as content:
            text = content.read(largest + 1)
    except (OSError, BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(f"{name} cannot be read as {what}: {error}") from error
    if whole and len(text) > largest:
        raise too_large(Path(name), what, largest)
    return text[:largest]


def stamp_of_member(name: str) -> str:
    """What tells whether a member is still the same: its checksum and size, by its archive."""
    info = check_member(name)
    return f"crc32 {info.CRC:08x} {info.file_size}"


@lru_cache(maxsize=16)
def _members(archive: Path, changed: int, size: int) -> dict[str, ZipInfo]:
    """Remembered until the archive changes, as each member asks for them."""
    try:
        with open_regular(archive) as file:
            _check_directory(archive, file)
            with ZipFile(file) as opened:
                found = {info.filename: info for info in opened.infolist() if not info.is_dir()}
    except (OSError, BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise InputError(f"{archive} cannot be read as a zip archive: {error}") from error
    for wrong in filter(_leads_out, found):
        raise InputError(f"{archive} holds {wrong!a}, whose name leads out of the archive")
    return found


def _leads_out(member: str) -> bool:
    path = PurePosixPath(member)
    return path.is_absolute() or ".." in path.parts or "\\" in member or "\0" in member


def _check_directory(archive: Path, file: BinaryIO) -> None:
    """Refuse an archive that lists more than it may, before all of the list is read."""
    for count, size in _directories(file):
        if count > MOST_MEMBERS or size > _LARGEST_DIRECTORY:
            raise InputError(f"{archive} holds {count:,} files, more than {MOST_MEMBERS:,}; unpack what you need of it")


def _directories(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """How many members an archive says it has, and the bytes of their list, as its end tells, in one or two places."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - 2**16 - 42))
    tail = file.read()
    if (place := tail.rfind(b"PK\x05\x06")) >= 0:
        count, size = struct.unpack_from("<HI", tail, place + 10)
        if count != 0xFFFF and size != 0xFFFFFFFF:
            yield count, size
    if (place := tail.rfind(b"PK\x06\x07")) >= 0:
        file.seek(struct.unpack_from("<Q", tail, place + 8)[0])
        yield struct.unpack_from("<QQ", file.read(56), 32)
    file.seek(0)
