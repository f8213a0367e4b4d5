"""What PCIDSK and ERDAS Imagine files link to inside themselves, where GDAL does not list it among their files."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from io import BufferedReader

from clippan_cli.rasters.bounds import MOST_BANDS
from clippan_models.errors import InputError
from clippan_models.outside import open_regular

_NUMBER = re.compile(rb"\s*(\d+)[\s\0]*")
_IMAGE_HEADER = 1024

_NODES_WITH_FILES = (b"externalrasterdms", b"rrdnameslist", b"dependentfile")
_MOST_NODES = 200_000
_LARGEST_NODE = 2**20
# four bytes after a separator: shorter ones may be part of a number
_OTHER_FOLDER = re.compile(rb"\.\.[\\/]|[\\/][^\0]{4}")


def check_links(name: str) -> None:
    """Refuse a local file of which GDAL would open links to other rasters, or to other folders, unasked.

    Raises:
        InputError: it has such links, or they cannot be told.
    """
    with open_regular(name) as file:
        head = file.read(512)
        try:
            if head[:6].upper() == b"PCIDSK" and any(map(_is_link, _channels_of_pcidsk(file, head))):
                raise InputError(
                    f"{name} links to other rasters; write their pixels into one file, e.g. with "
                    "gdal_translate -of GTiff, where you trust them"
                )
            if head.startswith(b"EHFA_HEADER_TAG") and any(map(_OTHER_FOLDER.search, _names_in_imagine(file, head))):
                raise InputError(f"{name} leads to a file outside its folder; copy it there and name it without folder")
        except (ValueError, struct.error) as error:
            raise InputError(f"{name} cannot be opened: {error}; is it damaged or incomplete?") from error


def _channels_of_pcidsk(file: BufferedReader, head: bytes) -> Iterator[bytes]:
    """The header of each channel that may be a link to another raster."""
    if head[360:368].strip() != b"FILE":
        return
    first, count = _number(head[336:352]), _number(head[376:384])
    if count > MOST_BANDS:
        raise ValueError(f"it has {count:,} bands, and clippan reads up to {MOST_BANDS}")
    file.seek((first - 1) * 512)
    for _ in range(count):
        yield file.read(_IMAGE_HEADER)


def _is_link(channel: bytes) -> bool:
    """Whether a channel is one of another raster, which GDAL opens with any driver; not tiles or plain pixels."""
    path, number = channel[64:128].strip(b" "), channel[250:258].strip(b" ")
    return bool(path and number) and not path.startswith(b"/SIS=")


def _names_in_imagine(file: BufferedReader, head: bytes) -> Iterator[bytes]:
    """The content of each node that names another file."""
    file.seek(struct.unpack_from("<I", head, 16)[0] + 8)
    nodes, seen = [struct.unpack("<I", file.read(4))[0]], {0}
    while nodes:
        if (place := nodes.pop()) in seen:
            continue
        if len(seen) > _MOST_NODES:
            raise ValueError(f"it has more than {_MOST_NODES:,} nodes")
        seen.add(place)
        file.seek(place)
        following, _, _, child, data, size, title = struct.unpack("<6I64s", file.read(88))
        nodes += [following, child]
        if title.partition(b"\0")[0].lower() in _NODES_WITH_FILES:
            if size > _LARGEST_NODE:
                raise ValueError(f"its list of files has {size:,} bytes")
            file.seek(data)
            yield file.read(size)


def _number(text: bytes) -> int:
    if not (found := _NUMBER.fullmatch(text)):
        raise ValueError(f"{text!r} in its header is no number")
    return int(found[1])
