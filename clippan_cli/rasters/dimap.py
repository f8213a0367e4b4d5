"""What the XML file of a DIMAP product names: GDAL opens its images with any driver, as soon as it opens the file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from clippan_cli.rasters.bounds import LARGEST_SIDECAR, MOST_PARTS
from clippan_cli.rasters.places import content_of, exists, head_of, is_file, names_in
from clippan_models.errors import InputError

MOST_DOCUMENTS = 100
"""XML files of one product."""


@dataclass(frozen=True)
class Product:
    """The files that a DIMAP file names, as seen from the working folder.

    Attributes:
        documents: further XML files of the product that are there.
        images: the rasters, those that a document names included.
        nodata: the value of pixels without data, of which GDAL does not tell.
    """

    documents: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    nodata: float | None = None


def files_of_product(path: str, seen: set[str] | None = None) -> Product:
    """What a local file names if it is one of DIMAP; nothing otherwise.

    Args:
        path: the file.
        seen: real paths of the documents that were read before, which name nothing more.

    Raises:
        InputError: it is one of DIMAP but not XML, or it leads to too many files.
    """
    seen, real = set() if seen is None else seen, os.path.realpath(path)
    if real in seen or not _looks_like_dimap(path):
        return Product()
    seen.add(real)
    try:
        content = content_of(path, "a DIMAP file", LARGEST_SIDECAR)
        elements = list(ElementTree.fromstring(content).iter())
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the last two: an encoding that Python lacks
        raise InputError(f"{path} is not a valid DIMAP file: {error}") from error
    named: dict[str, dict[str, None]] = {"data_file_path": {}, "component_path": {}}  # each once, in their order
    for element in elements:
        href = {name.lower(): value for name, value in element.attrib.items()}.get("href")
        if href and (kind := element.tag.lower()) in named:
            named[kind][href] = None
    if len(seen) + len(named["component_path"]) > MOST_DOCUMENTS or len(named["data_file_path"]) > MOST_PARTS:
        raise InputError(f"{path} leads to more than {MOST_DOCUMENTS} documents or {MOST_PARTS:,} images")
    images, documents = ([_beside(path, href) for href in hrefs] for hrefs in named.values())
    documents = [document for document in documents if exists(document)]
    inner = [files_of_product(document, seen) for document in documents]
    return Product(
        (*documents, *(d for product in inner for d in product.documents)),
        (*images, *(i for product in inner for i in product.images)),
        _nodata_of(elements),
    )


def single_image_of(path: Path) -> Path | None:
    """The raster of which a local file tells as the only one of a DIMAP product; None where it is no such file."""
    try:
        product = files_of_product(str(path))
    except (InputError, OSError):  # it is told of where the file is opened
        return None
    return Path(product.images[0]) if len(product.images) == 1 and not product.documents else None


def _nodata_of(elements: Iterable[ElementTree.Element]) -> float | None:
    """The special value that a document calls NODATA; DIMAP 1 and 2 name the number differently."""
    for element in elements:
        if element.tag.lower() != "special_value":
            continue
        said = {child.tag.upper(): (child.text or "").strip() for child in element}
        number = said.get("SPECIAL_VALUE_COUNT") or said.get("SPECIAL_VALUE_INDEX", "")
        if said.get("SPECIAL_VALUE_TEXT", "").upper() == "NODATA" and number.isdecimal():
            return float(number)
    return None


def _looks_like_dimap(path: str) -> bool:
    """As GDAL finds out; and a special file, such as a pipe, is none."""
    return is_file(path) and b"DIMAP_Document" in head_of(path, 4096).replace(b"Dimap_", b"DIMAP_")


def _beside(path: str, href: str) -> str:
    """Where GDAL looks for a file that another one names; it ignores the case of the name where it must."""
    place = os.path.join(os.path.dirname(path), href)
    folder, name = os.path.split(place)
    if exists(place):
        return place
    others = (other for other in names_in(folder) if other.lower() == name.lower())
    return os.path.join(folder, next(others, name))
