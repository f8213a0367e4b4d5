"""Pairs that STAC items name: of each item the panchromatic asset, and the multispectral one or its bands.

Read without pystac: its names of bands are empty for STAC 1.1, it goes to the network for a link that leads there, and
it refuses items that lack what a pair does not need.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from clippan_cli.scene.files import LeftOut, PairTable, SceneFiles
from clippan_cli.scene.names import safe_name, with_unique_ids
from clippan_models.errors import InputError

ENDINGS = (".json", ".geojson")

_PAN = frozenset({"pan", "panchromatic"})
_ORDER = ("coastal", "blue", "green", "green05", "yellow", "red", "rededge", "rededge071", "rededge075", "rededge078")
_NEAR_INFRARED = ("nir", "nir08", "nir09")
_MANY = 3  # bands of an asset that is a whole MS
_DEPTH = 8  # of catalogues in catalogues


def pairs_of_stac(path: Path) -> PairTable:
    """The scenes of a STAC item, item collection, catalogue or collection on this machine.

    Raises:
        InputError: a file cannot be read, or is not STAC.
    """
    found = [_scene(item, folder, path.name) for item, folder in _items(path, 0)]
    pairs = [one for one in found if isinstance(one, SceneFiles)]
    return PairTable(with_unique_ids(pairs), tuple(one for one in found if isinstance(one, LeftOut)))


def _items(path: Path, depth: int) -> list[tuple[Mapping[str, Any], Path]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as STAC: {error}") from error
    kind = document.get("type") if isinstance(document, dict) else None
    if kind == "Feature":
        return [(document, path.parent)]
    if kind == "FeatureCollection":
        return [(item, path.parent) for item in document.get("features") or [] if isinstance(item, dict)]
    if kind in ("Catalog", "Collection") and depth < _DEPTH:
        every = [link for link in document.get("links") or [] if isinstance(link, dict)]
        links = [link for link in every if link.get("rel") in ("item", "child", "items")]
        places = [_place(str(link.get("href", "://")), path.parent) for link in links]
        return [item for place in places if "://" not in place for item in _items(Path(place), depth + 1)]
    raise InputError(f"{path} is not a STAC item, item collection, catalogue or collection")


def _scene(item: Mapping[str, Any], folder: Path, origin: str) -> SceneFiles | LeftOut:
    name = str(item.get("id") or "item")
    assets = item.get("assets")
    listed = assets if isinstance(assets, dict) else {}
    known = {key: asset for key, asset in listed.items() if isinstance(asset, dict) and "href" in asset}
    bands = {key: _common_names(asset, item) for key, asset in known.items()}
    pan = [key for key in known if set(bands[key]) == {"pan"} or (not bands[key] and key.lower() in _PAN)]
    whole = [key for key in known if len(bands[key]) >= _MANY and _is_data(known[key])]
    single = {bands[key][0]: key for key in known if len(bands[key]) == 1 and bands[key][0] in _SEEN}
    if len(pan) != 1:
        return LeftOut(name, f"{len(pan)} of its assets are panchromatic; one is needed")
    if len(whole) > 1:
        return LeftOut(name, f"several of its assets hold many bands: {', '.join(whole)}; name one in a CSV file")
    chosen = whole or [single[band] for band in _SEEN if band in single]
    if not whole and len(chosen) < _MANY:
        return LeftOut(name, "none of its assets holds many bands, and fewer than three hold one that PAN sees")
    places = {key: _place(str(known[key]["href"]), folder) for key in (*chosen, *pan)}
    return SceneFiles(tuple(places[key] for key in chosen), places[pan[0]], safe_name(name), f"an item of {origin}")


_SEEN = (*_ORDER, *_NEAR_INFRARED)
"""Common names of bands, by wavelength; those beyond the near infrared have nothing of PAN."""


def _common_names(asset: Mapping[str, Any], item: Mapping[str, Any]) -> Sequence[str]:
    """The common names of an asset's bands, by the extension eo or, since STAC 1.1, by the core.

    Before STAC 1.0, an asset has numbers of bands that its item lists.
    """
    properties = item.get("properties")
    every = properties.get("eo:bands") if isinstance(properties, dict) else None
    by_number = dict(enumerate(every)) if isinstance(every, list) else {}
    listed = asset.get("eo:bands") or asset.get("bands") or []
    bands = [by_number.get(band) if isinstance(band, int) else band for band in listed]
    names = [band.get("common_name") or band.get("eo:common_name") or "" for band in bands if isinstance(band, dict)]
    return [str(name) for name in names]


def _is_data(asset: Mapping[str, Any]) -> bool:
    return not set(asset.get("roles") or []) & {"thumbnail", "overview", "visual", "metadata"}


def _place(href: str, folder: Path) -> str:
    """Where a reference in a file of a folder leads: a path on this machine, or an address."""
    if href.lower().startswith("file://"):
        return url2pathname(urlsplit(href).path)
    return href if "://" in href else str(folder / href)
