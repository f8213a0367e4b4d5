"""Landsat 7 to 9, Collections 1 and 2, by the file _MTL.txt, _MTL.xml or _MTL.json that describes the product.

MS has the reflective bands 1 to 7 (of ETM+ 1 to 5 and 7) and PAN is band 8. Pixels are digital numbers; the scale to
reflectance at the top of the atmosphere, without the correction for the elevation of the sun, goes with the bands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from clippan_cli.products.product import PairsOf, Product, check_inside
from clippan_cli.rasters.bounds import LARGEST_SIDECAR
from clippan_cli.rasters.options import Declared
from clippan_cli.rasters.places import content_of, is_file
from clippan_cli.rasters.zipped import archive_of
from clippan_cli.scene.files import PairTable
from clippan_cli.scene.landsat import BQA_FILL, BQA_SATURATION, FILL, QA_PIXEL, QA_RADSAT
from clippan_cli.scene.parts import landsat_bands
from clippan_models.errors import InputError, in_one_line
from clippan_models.outside import parse_json

_CONTENTS = ("PRODUCT_CONTENTS", "PRODUCT_METADATA")  # of Collection 2, and of Collection 1
_RESCALING = ("LEVEL1_RADIOMETRIC_RESCALING", "RADIOMETRIC_RESCALING")
_ATTRIBUTES = ("IMAGE_ATTRIBUTES", "PRODUCT_METADATA")
_ODL = re.compile(r"^\s*(\w+)\s*=\s*(\"[^\"\n]*\"|[^\s\"]+)\s*$", re.MULTILINE)
_PAN = 8
_QUALITY = (
    ("FILE_NAME_QUALITY_L1_PIXEL", QA_PIXEL),  # of Collection 2, as the next
    ("FILE_NAME_QUALITY_L1_RADIOMETRIC_SATURATION", QA_RADSAT),
    ("FILE_NAME_BAND_QUALITY", BQA_FILL),  # of Collection 1, as the next
    ("FILE_NAME_BAND_QUALITY", BQA_SATURATION),
)

Groups = Mapping[str, Mapping[str, str]]
"""The values of an MTL file by group and name."""


class LandsatReader:
    """Reads MTL files."""

    kind = "Landsat"
    is_whole = True

    def recognises(self, path: Path) -> bool:
        """Whether a file is called as USGS calls its MTL files."""
        return bool(re.search(r"_MTL\.(txt|xml|json)$", path.name, re.IGNORECASE))

    def read(self, path: Path, pairs_of: PairsOf) -> PairTable:
        """The one scene of a product.

        Raises:
            InputError: it cannot be read, has no PAN, or a band is missing.
        """
        groups = _groups(path)
        contents = _first(groups, _CONTENTS)
        satellite = _first(groups, _ATTRIBUTES).get("SPACECRAFT_ID", "")
        number = satellite.rpartition("_")[2]
        if number not in ("7", "8", "9"):
            raise InputError(f"{path} is of {satellite or 'no satellite'}; only Landsat 7, 8 and 9 have a PAN band")
        bands = [int(band[1:]) for band in landsat_bands(int(number))]
        if f"FILE_NAME_BAND_{_PAN}" not in contents:
            raise InputError(f"{path} names no band {_PAN}, which is PAN; take the product of Level 1, which has it")
        ms = [_file(contents, f"FILE_NAME_BAND_{band}", path) for band in bands]
        pan = _file(contents, f"FILE_NAME_BAND_{_PAN}", path)
        declared = _declared(contents, _first(groups, _RESCALING), bands, path)
        read = {*ms, pan, *(Path(quality.file) for quality in declared.quality)}
        every = (path.parent / name for key, name in contents.items() if _names_raster(key, name))
        product = Product(
            self.kind,
            path,
            tuple(ms),
            (pan,),
            id=re.sub(r"_MTL$", "", path.stem, flags=re.IGNORECASE),
            ms_declared=declared,
            pan_declared=Declared(nodata=FILL),
            others=tuple(file for file in every if file not in read),
        )
        return product.table


def _declared(contents: Mapping[str, str], rescaling: Mapping[str, str], bands: list[int], path: Path) -> Declared:
    """What the product says of MS."""
    numbers = [rescaling.get(f"REFLECTANCE_{what}_BAND_{band}") for what in ("MULT", "ADD") for band in bands]
    try:
        values = [float(number) for number in numbers if number is not None]
    except ValueError as error:
        raise InputError(f"{path} holds what is no number: {error}") from error
    count = len(bands)
    scales, offsets = (values[:count], values[count:]) if len(values) == 2 * count else ((), ())
    quality = [kind.file(str(_file(contents, key, path)), bands) for key, kind in _QUALITY if key in contents]
    return Declared((), tuple(scales), tuple(offsets), FILL, tuple(quality))


def _file(contents: Mapping[str, str], key: str, path: Path) -> Path:
    """A file that the product names, which must be there."""
    if key not in contents:
        raise InputError(f"{path} names no {key}: the product is incomplete")
    file = path.parent / contents[key]
    if not is_file(str(file)):
        raise InputError(f"{path} names {file.name}, which is not there: the product is incomplete")
    return file if archive_of(str(file)) else check_inside(file, path.parent, path)


def _names_raster(key: str, name: str) -> bool:
    return key.startswith("FILE_NAME_") and name.upper().endswith(".TIF")


def _first(groups: Groups, names: tuple[str, ...]) -> Mapping[str, str]:
    """The first of some groups that is there; nothing where none is."""
    return next((groups[name] for name in names if name in groups), {})


def _groups(path: Path) -> Groups:
    """The groups of an MTL file in any of its three forms.

    Raises:
        InputError: it cannot be read.
    """
    try:
        content = content_of(str(path), "an MTL file", LARGEST_SIDECAR)
        if path.suffix.lower() == ".xml":
            elements = ElementTree.fromstring(content).iter()
            pairs = ((element.tag, [(leaf.tag, leaf.text or "") for leaf in element]) for element in elements)
            return {name: dict(leaves) for name, leaves in pairs if leaves}
        text = content.decode("utf-8-sig")
        return dict(_objects(parse_json(text))) if path.suffix.lower() == ".json" else _odl(text)
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the last: an encoding that Python lacks
        raise InputError(f"{path} cannot be read as an MTL file: {in_one_line(error)}") from error


def _objects(document: Any, name: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    """The objects in a JSON document by their names."""
    if isinstance(document, dict):
        yield name, {key: str(value) for key, value in document.items() if isinstance(value, str | int | float)}
        for key, value in document.items():
            yield from _objects(value, key)


def _odl(text: str) -> Groups:
    """The groups of a text in the Object Description Language."""
    groups: dict[str, dict[str, str]] = {}
    name = ""
    for key, value in _ODL.findall(text):
        if key == "GROUP":
            name = value
        elif key != "END_GROUP":
            groups.setdefault(name, {})[key] = value.strip('"')
    return groups
