"""What a VRT reads: it may name files of any kind, and addresses that GDAL would fetch over the network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from clippan_cli.rasters.bounds import LARGEST_SIDECAR
from clippan_models.errors import InputError
from clippan_models.outside import read_bytes

_FREE_TEXT = ("mdi", "srs", "description", "pixelfunctioncode")  # elements in which an address is a mere word


def looks_like_vrt(path: str) -> bool:
    """Whether a local file is a VRT, whatever its name; GDAL finds out in the same way."""
    with open(path, "rb") as file:
        return b"<VRTDataset" in file.read(4096)


def sources_of(path: str) -> Iterator[str]:
    """The files that a local VRT reads, as seen from the working folder.

    Raises:
        InputError: it is not XML, or it reads from the network.
    """
    try:
        elements = list(ElementTree.fromstring(read_bytes(Path(path), "a VRT", LARGEST_SIDECAR)).iter())
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the last two: an encoding that Python lacks
        raise InputError(f"{path} is not a valid VRT: {error}") from error
    for element in elements:
        # GDAL compares names without regard to case
        tag, text = element.tag.lower(), (element.text or "").strip()
        attributes = {name.lower(): value for name, value in element.attrib.items()}
        if tag in _FREE_TEXT or not text:
            continue
        if "://" in text or text.lower().startswith("/vsi"):
            raise InputError(f"{path} reads {text}; add --allow-remote to read what is not a local file")
        if tag.endswith(("filename", "dataset")) or "filename" in attributes.get("name", "").lower():
            relative = attributes.get("relativetovrt") == "1"
            yield os.path.join(os.path.dirname(path), text) if relative else text
