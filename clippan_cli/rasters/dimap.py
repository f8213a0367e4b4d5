"""What the XML file of a DIMAP product names: GDAL opens its images with any driver, as soon as it opens the file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from xml.etree import ElementTree

from clippan_models.errors import InputError


@dataclass(frozen=True)
class Product:
    """The files that a DIMAP file names, as seen from the working folder.

    Attributes:
        documents: further XML files of the product that are there.
        images: the rasters, those that a document names included.
    """

    documents: tuple[str, ...] = ()
    images: tuple[str, ...] = ()


def files_of_product(path: str, above: frozenset[str] = frozenset()) -> Product:
    """What a local file names if it is one of DIMAP; nothing otherwise.

    Args:
        path: the file.
        above: real paths of the documents that have led to it.

    Raises:
        InputError: it is one of DIMAP but not XML.
    """
    real = os.path.realpath(path)
    if real in above or not _looks_like_dimap(path):
        return Product()
    try:
        elements = list(ElementTree.parse(path).iter())
    except (ElementTree.ParseError, OSError) as error:
        raise InputError(f"{path} is not a valid DIMAP file: {error}") from error
    images, documents = [], []
    for element in elements:
        href = {name.lower(): value for name, value in element.attrib.items()}.get("href")
        kind = element.tag.lower()
        if href and kind == "data_file_path":
            images.append(_beside(path, href))
        elif href and kind == "component_path" and os.path.exists(document := _beside(path, href)):
            documents.append(document)
    inner = [files_of_product(document, above | {real}) for document in documents]
    return Product(
        (*documents, *(d for product in inner for d in product.documents)),
        (*images, *(i for product in inner for i in product.images)),
    )


def _looks_like_dimap(path: str) -> bool:
    """As GDAL finds out; and a special file, such as a pipe, is none."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return b"DIMAP_Document" in file.read(4096).replace(b"Dimap_", b"DIMAP_")


def _beside(path: str, href: str) -> str:
    """Where GDAL looks for a file that another one names; it ignores the case of the name where it must."""
    place = os.path.join(os.path.dirname(path), href)
    folder, name = os.path.split(place)
    if os.path.exists(place) or not os.path.isdir(folder or "."):
        return place
    others = (other for other in os.listdir(folder or ".") if other.lower() == name.lower())
    return os.path.join(folder, next(others, name))
