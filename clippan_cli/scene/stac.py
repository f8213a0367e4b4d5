"""Pairs that STAC items name: of each item the panchromatic asset, and the multispectral one or its bands.

Read without pystac: its names of bands are empty for STAC 1.1, it goes to the network for a link that leads there, and
it refuses items that lack what a pair does not need.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from clippan_cli.rasters.options import Declared, QualityBits
from clippan_cli.scene.files import LeftOut, PairTable, SceneFiles
from clippan_cli.scene.landsat import FILL, QA_PIXEL, QA_RADSAT
from clippan_cli.scene.names import safe_name, with_unique_ids
from clippan_models.errors import InputError, in_one_line
from clippan_models.outside import read_json

ENDINGS = (".json", ".geojson")

_PAN = frozenset({"pan", "panchromatic"})
_ORDER = ("coastal", "blue", "green", "green05", "yellow", "red", "rededge", "rededge071", "rededge075", "rededge078")
_NEAR_INFRARED = ("nir", "nir08", "nir09")
_MANY = 3  # bands of an asset that is a whole MS
_NO_DATA = ("thumbnail", "overview", "visual", "metadata")
_MASKS = frozenset({"qa_pixel", "qa_radsat", "scl", "udm", "udm2"})
_MASK_ROLES = frozenset(
    {"data-mask", "saturation", "cloud", "cloud-shadow", "snow-ice", "land-water", "water-mask"}
)  # of STAC's best practices
_LONGEST_NAME = 100

DEPTH = 8
"""Of catalogues in catalogues."""

MOST_FILES = 200_000
"""That a catalogue leads to."""


def pairs_of_stac(path: Path) -> PairTable:
    """The scenes of a STAC item, item collection, catalogue or collection on this machine.

    Raises:
        InputError: the file cannot be read, is not STAC, or leads to too many others.
    """
    found = [one if isinstance(one, LeftOut) else _scene(*one, path.name) for one in _items(path)]
    pairs = [one for one in found if isinstance(one, SceneFiles)]
    return PairTable(with_unique_ids(pairs), tuple(one for one in found if isinstance(one, LeftOut)))


def _items(first: Path) -> Iterator[tuple[Mapping[str, Any], Path] | LeftOut]:
    """The items of a file and those that it leads to, each with its folder; a link that leads nowhere is left out."""
    waiting, seen = [(str(first), 0)], set()
    while waiting:
        place, depth = waiting.pop()
        path = Path(place)
        if (file := _identity(place)) in seen:
            continue
        seen.add(file)
        try:
            if "://" in place:
                raise InputError("it is not a file on this machine")
            items, links = _contents(path)
            if links and depth == DEPTH:
                raise InputError(f"catalogues are read up to {DEPTH} below the first")
        except InputError as error:
            if place == str(first):
                raise
            yield LeftOut(place, in_one_line(error), unpaired="://" not in place)
            continue
        yield from ((item, path.parent) for item in items)
        waiting += [(link, depth + 1) for link in reversed(links)]
        if len(seen) + len(waiting) > MOST_FILES:
            raise InputError(f"{first} leads to more than {MOST_FILES:,} files, the most that clippan reads")


def _identity(place: str) -> str:
    """What tells whether two names mean one file."""
    try:
        return os.path.realpath(place)
    except ValueError:  # no name of a file
        return place


def _contents(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The items in a file, and where its links to others lead.

    Raises:
        InputError: it cannot be read, or is not STAC.
    """
    document = read_json(path, "STAC")
    kind = document.get("type") if isinstance(document, dict) else None
    if kind == "Feature":
        return [document], []
    if kind == "FeatureCollection":
        return _objects(document.get("features")), []
    if kind not in ("Catalog", "Collection"):
        raise InputError(f"{path} is not a STAC item, item collection, catalogue or collection")
    links = [link for link in _objects(document.get("links")) if link.get("rel") in ("item", "child", "items")]
    return [], [_place(href, path.parent) for link in links if (href := _text(link.get("href")))]


def _objects(value: Any) -> list[dict[str, Any]]:
    """The objects in a list; none where there is anything else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    """A text, or a number as one; empty where there is anything else."""
    return str(value) if isinstance(value, str | int) else ""


def _scene(item: Mapping[str, Any], folder: Path, origin: str) -> SceneFiles | LeftOut:
    name = _text(item.get("id"))[:_LONGEST_NAME] or "item"
    assets = item.get("assets")
    listed = assets if isinstance(assets, dict) else {}
    known = {key: asset for key, asset in listed.items() if isinstance(asset, dict) and _text(asset.get("href"))}
    bands = {key: _common_names(_bands(asset, item)) for key, asset in known.items()}
    pan = [key for key in known if set(bands[key]) == {"pan"} or (not bands[key] and key.lower() in _PAN)]
    whole = [key for key in known if len(bands[key]) >= _MANY and _is_data(known[key])]
    single = {bands[key][0]: key for key in known if len(bands[key]) == 1 and bands[key][0] in _SEEN}
    if len(pan) != 1:
        return LeftOut(name, f"{len(pan)} of its assets are panchromatic; one is needed")
    if len(whole) > 1:
        return LeftOut(
            name, f"several of its assets hold many bands: {', '.join(whole)[:_LONGEST_NAME]}; name one in a CSV file"
        )
    chosen = whole or [single[band] for band in _SEEN if band in single]
    if not whole and len(chosen) < _MANY:
        return LeftOut(name, "none of its assets holds many bands, and fewer than three hold one that PAN sees")
    places = {key: _place(str(asset["href"]), folder) for key, asset in known.items()}
    masks = [key for key, asset in known.items() if key not in (*chosen, *pan) and _is_mask(key, asset)]
    numbers = [_number(band) for key in chosen for band in _bands(known[key], item)]
    quality = _landsat_quality(item, {key.lower(): places[key] for key in masks}, numbers)
    used = {each.file for each in quality}
    unused = [key for key in masks if places[key] not in used]
    return SceneFiles(
        tuple(places[key] for key in chosen),
        places[pan[0]],
        safe_name(name),
        f"an item of {origin}",
        ms_declared=Declared(nodata=FILL, quality=quality) if quality else Declared(),
        pan_declared=Declared(nodata=FILL) if quality else Declared(),
        notes=(f"{name}: these assets are not used as masks: {', '.join(unused)[:_LONGEST_NAME]}",) if unused else (),
    )


def _is_mask(key: str, asset: Mapping[str, Any]) -> bool:
    roles = asset.get("roles")
    return key.lower() in _MASKS or (isinstance(roles, list) and any(role in _MASK_ROLES for role in roles))


def _landsat_quality(
    item: Mapping[str, Any], masks: Mapping[str, str], numbers: Sequence[int | None]
) -> tuple[QualityBits, ...]:
    """The quality rasters of an item of Landsat Collection 2, for the bands of MS by their numbers, where known.

    Other masks are left alone: STAC has names for what they tell, but not for the values that tell it.
    """
    properties = item.get("properties")
    platform = _text(properties.get("platform")) if isinstance(properties, dict) else ""
    bands = [number for number in numbers if number is not None]
    if not platform.lower().startswith("landsat") or "qa_pixel" not in masks or len(bands) < len(numbers):
        return ()
    kinds = {"qa_pixel": QA_PIXEL, "qa_radsat": QA_RADSAT}
    return tuple(kind.file(masks[key], bands) for key, kind in kinds.items() if key in masks)


_SEEN = (*_ORDER, *_NEAR_INFRARED)
"""Common names of bands, by wavelength; those beyond the near infrared have nothing of PAN."""


def _bands(asset: Mapping[str, Any], item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is said of an asset's bands by the extension eo or, since STAC 1.1, by the core.

    Before STAC 1.0, an asset has numbers of bands that its item lists.
    """
    properties = item.get("properties")
    every = properties.get("eo:bands") if isinstance(properties, dict) else None
    by_number = dict(enumerate(every)) if isinstance(every, list) else {}
    listed = asset.get("eo:bands") or asset.get("bands")
    return _objects([by_number.get(b) if isinstance(b, int) else b for b in listed] if isinstance(listed, list) else [])


def _common_names(bands: Sequence[Mapping[str, Any]]) -> list[str]:
    return [_text(band.get("common_name") or band.get("eo:common_name")) for band in bands]


def _number(band: Mapping[str, Any]) -> int | None:
    """The number in the name of a band such as B4."""
    found = re.search(r"B0?([1-9]\d?)$", _text(band.get("name")))
    return int(found[1]) if found else None


def _is_data(asset: Mapping[str, Any]) -> bool:
    roles = asset.get("roles")
    return not (isinstance(roles, list) and any(role in _NO_DATA for role in roles))


def _place(href: str, folder: Path) -> str:
    """Where a reference in a file of a folder leads: a path on this machine, or an address."""
    if href.lower().startswith("file://"):
        with suppress(ValueError):  # as it is then, it names no file
            return url2pathname(urlsplit(href).path)
    return href if "://" in href else str(folder / href)
