"""Files by the names that GDAL takes, whether they lie in a folder or in a zip archive."""

from __future__ import annotations

import os
from pathlib import Path

from clippan_cli.rasters.array_names import image_in_file
from clippan_cli.rasters.zipped import archive_of, members_of, read_member
from clippan_models.outside import read_bytes


def holder_of(name: str) -> Path:
    """The local file in which an image lies: an archive, a file of arrays, or its own."""
    if place := archive_of(name):
        return place[0]
    image = image_in_file(name)
    return image.file if image else Path(name)


def is_file(name: str) -> bool:
    """Whether there is a regular file of this name."""
    place = archive_of(name)
    return os.path.isfile(name) if place is None else place[1] in members_of(place[0])


def exists(name: str) -> bool:
    """Whether there is anything of this name, a special file included."""
    return os.path.exists(name) or is_file(name)


def names_in(folder: str) -> list[str]:
    """The names in a folder, which is the working folder where it is empty; none where there is no such folder."""
    if place := archive_of(folder):
        archive, inner = place
        return [os.path.basename(member) for member in members_of(archive) if os.path.dirname(member) == inner]
    return os.listdir(folder or ".") if os.path.isdir(folder or ".") else []


def head_of(name: str, count: int) -> bytes:
    """The first bytes of a regular file."""
    if archive_of(name):
        return read_member(name, "a file", count, whole=False)
    with open(name, "rb") as file:
        return file.read(count)


def content_of(name: str, what: str, largest: int) -> bytes:
    """All of a file, see `outside.read_bytes`.

    Raises:
        InputError: it cannot be read, or is larger.
    """
    return read_member(name, what, largest) if archive_of(name) else read_bytes(Path(name), what, largest)
