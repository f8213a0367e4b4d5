"""What the bands of an image are called, and the colours that these names stand for."""

from __future__ import annotations

from collections.abc import Sequence

from rasterio.enums import ColorInterp

from clippan_cli.rasters.metadata import each_once
from clippan_cli.scene.band_clues import colours_of
from clippan_cli.scene.scene import Scene
from clippan_models.errors import UsageError

_NAMES = {
    "coastal": ("coastal", "coastal blue", "deepblue", "deep blue"),
    "rededge": ("rededge", "red edge", "rededge1", "rededge2"),
    "nir": ("nir", "nir1", "nir2", "near infrared", "near-infrared"),
    "swir": ("swir", "swir1", "swir2"),
    **{name: (name,) for name in ("red", "green", "blue", "yellow")},
}
_COLOURS = {  # older versions of rasterio know the last four alone
    name: ColorInterp[colour] for colour, names in _NAMES.items() if colour in ColorInterp.__members__ for name in names
}
_SAID_BY_DEFAULT = frozenset({ColorInterp.undefined, ColorInterp.gray})


def chosen_bands(scene: Scene, bands: Sequence[int | str] | None) -> tuple[int, ...]:
    """The 0-based bands of MS that a user has chosen by number, counted from 1, or by name.

    A name is the description of a band in the file, its name or an alias by the sensor, or its colour by the file; the
    case does not matter.

    Raises:
        UsageError: there is no such band, or several have the name.
    """
    ms = scene.pair.ms
    if bands is None:
        return tuple(range(ms.count))
    if wrong := [str(band) for band in bands if isinstance(band, int) and not 1 <= band <= ms.count]:
        raise UsageError(f"{','.join(wrong)}: {ms.name} has bands 1 to {ms.count}", "bands")
    if not bands:
        raise UsageError(f"none: {ms.name} has bands 1 to {ms.count}", "bands")
    names = _names(scene)
    return tuple(band - 1 if isinstance(band, int) else _named(band, names, ms.name) for band in bands)


def colours_by_name(scene: Scene, bands: Sequence[int]) -> tuple[ColorInterp, ...] | None:
    """The colours of some bands of MS by their names; None where the file says colours, or no name is that of one."""
    if set(colours_of(scene.pair.ms)) - _SAID_BY_DEFAULT:
        return None
    names = _names(scene)
    found = each_once([_colour(names[band]) for band in bands])
    return found if set(found) - _SAID_BY_DEFAULT else None


def _colour(names: Sequence[str]) -> ColorInterp:
    return next((_COLOURS[name] for name in names if name in _COLOURS), ColorInterp.undefined)


def _named(wanted: str, names: Sequence[Sequence[str]], file: str) -> int:
    found = [band for band, each in enumerate(names) if wanted.lower() in each]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{wanted}: several bands of {file} have this name; give their numbers", "bands")
    known = ", ".join(f"{number} ({each[0]})" if each else str(number) for number, each in enumerate(names, start=1))
    raise UsageError(f"{wanted}: {file} has no band of this name; its bands are {known}", "bands")


def _names(scene: Scene) -> list[tuple[str, ...]]:
    """All names of each band of MS in lower case, that of the sensor first."""
    ms, known = scene.pair.ms, scene.sensor.bands
    names = []
    for band, ((number, index), colour) in enumerate(zip(ms.bands, colours_of(ms), strict=True)):
        texts = [known[band].name, *known[band].aliases] if len(known) == ms.count else []
        texts.append(ms.datasets[number].descriptions[index - 1] or "")
        texts.append("" if colour in _SAID_BY_DEFAULT else colour.name)
        names.append(tuple(dict.fromkeys(text.lower() for text in texts if text)))
    return names
