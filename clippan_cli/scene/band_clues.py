"""What the files of an image say of each of its bands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rasterio.enums import ColorInterp

from clippan_cli.rasters.source import RasterSource
from clippan_models.sensors import BandClue

_COLOURS = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}
_IMD_BAND = re.compile(r"BAND_\w+")
_TO_NM = {"um": 1000.0, "micrometers": 1000.0, "microns": 1000.0, "nm": 1.0, "nanometers": 1.0}


def band_clues(source: RasterSource) -> tuple[BandClue, ...]:
    """The description of each band, its group in an IMD file, its colour, its wavelength, or the name of its file."""
    groups = _imd_bands(source)
    clues = []
    for band, (number, index) in enumerate(source.bands):
        dataset = source.datasets[number]
        texts = (
            dataset.descriptions[index - 1],
            groups[band] if groups else None,
            _COLOURS.get(dataset.colorinterp[index - 1]),
            Path(source.names[number]).stem if len(source.datasets) == source.count else None,
        )
        clues.append(BandClue(tuple(text for text in texts if text), _wavelength_nm(dataset, index)))
    return tuple(clues)


def _imd_bands(source: RasterSource) -> list[str]:
    """The groups BAND_B, BAND_G ... of the IMD or XML beside a product of Maxar, where there is one for each band."""
    found: dict[str, None] = {}
    for key in source.grid.tags(ns="IMD"):
        found |= {part: None for part in key.split(".") if _IMD_BAND.fullmatch(part)}
    return list(found) if len(found) == source.count else []


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
