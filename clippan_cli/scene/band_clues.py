"""What the files of an image say of each of its bands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rasterio.enums import ColorInterp

from clippan_cli.rasters.metadata import each_once
from clippan_cli.rasters.source import RasterSource
from clippan_models.sensors import BandClue

_COLOURS = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}
# Words in the names of files that say which bands a file holds, as in the two files of Pleiades Neo.
_ORDERS = {
    "RGB": ("red", "green", "blue"),
    "BGR": ("blue", "green", "red"),
    "RGBN": ("red", "green", "blue", "nir"),
    "BGRN": ("blue", "green", "red", "nir"),
    "NED": ("nir", "rededge", "deepblue"),
}
_IMD_BAND = re.compile(r"BAND_\w+")
_TO_NM = {"um": 1000.0, "micrometers": 1000.0, "microns": 1000.0, "nm": 1.0, "nanometers": 1.0}


def band_clues(source: RasterSource) -> tuple[BandClue, ...]:
    """What is said of each band.

    That is its description, its group in an IMD file, the order of bands in the name of its file, its colour, its
    wavelength, or else the name of its file.
    """
    groups, colours = _imd_bands(source), colours_of(source)
    clues = []
    for band, (number, index) in enumerate(source.bands):
        dataset, name = source.datasets[number], Path(source.names[number]).stem
        texts = (
            source.declared.names[band] if source.declared.names else dataset.descriptions[index - 1],
            groups[band],
            _in_order(name, dataset.count, index),
            _COLOURS.get(colours[band]),
            name if len(source.datasets) == source.count else None,
        )
        clues.append(BandClue(tuple(text for text in texts if text), _wavelength_nm(dataset, index)))
    return tuple(clues)


def colours_of(source: RasterSource) -> tuple[ColorInterp, ...]:
    """The colour interpretation of each band; undefined where two bands have one: many writers call any three so."""
    return each_once([source.datasets[number].colorinterp[index - 1] for number, index in source.bands])


def _in_order(name: str, count: int, index: int) -> str | None:
    """The band of a file with so many that is this one, counted from 1, if the name of the file says the order."""
    words = re.split(r"[^A-Z]+", name.upper())
    return next((_ORDERS[word][index - 1] for word in words if len(_ORDERS.get(word, ())) == count), None)


def _imd_bands(source: RasterSource) -> list[str | None]:
    """The groups BAND_B, BAND_G ... of the IMD or XML beside a product of Maxar, or beside each of its files.

    They count where there is one for each band.
    """
    groups = [_imd_groups(dataset) for dataset in source.datasets]
    if len(groups[0]) == source.count:
        return list(groups[0])
    counted = [len(found) == dataset.count for found, dataset in zip(groups, source.datasets, strict=True)]
    return [groups[number][index - 1] if counted[number] else None for number, index in source.bands]


def _imd_groups(dataset: Any) -> tuple[str, ...]:
    parts = (part for key in dataset.tags(ns="IMD") for part in key.split("."))
    return tuple(dict.fromkeys(part for part in parts if _IMD_BAND.fullmatch(part)))


def _wavelength_nm(dataset: Any, band: int) -> float | None:
    imagery = dataset.tags(band, ns="IMAGERY")
    if "CENTRAL_WAVELENGTH_UM" in imagery:
        return _number(imagery["CENTRAL_WAVELENGTH_UM"], 1000.0)
    tags: Mapping[str, str] = {key.lower(): value for key, value in dataset.tags(band).items()}
    unit = _TO_NM.get(tags.get("wavelength_units", "nm").lower())
    return None if unit is None or "wavelength" not in tags else _number(tags["wavelength"], unit)


def _number(text: str, factor: float) -> float | None:
    with suppress(ValueError):
        return float(text) * factor
    return None
