"""Which bands of a sensor an image holds: products are sold with some of them, and files put them in any order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from clippan_models.sensors.sensor import Band, Sensor

# Spellings of band names in descriptions, and the word that stands for them.
_SPELLINGS = (
    (re.compile(r"near[-_ ]?infra[-_ ]?red"), "nir"),
    (re.compile(r"short[-_ ]?wave[-_ ]?infra[-_ ]?red"), "swir"),
    (re.compile(r"red[-_ ]?edge"), "rededge"),
    (re.compile(r"deep[-_ ]?blue"), "deepblue"),
    (re.compile(r"coastal[-_ ](?:blue|aerosol)"), "coastal"),
    (re.compile(r"(nir|swir|rededge)[-_ ](?=\d\b)"), r"\1"),
)


@dataclass(frozen=True)
class BandClue:
    """What is said of one band of an image.

    Attributes:
        texts: its description and other texts that may name it, those that count most first.
        wavelength_nm: its centre.
    """

    texts: tuple[str, ...] = ()
    wavelength_nm: float | None = None


def as_in_image(sensor: Sensor, clues: Sequence[BandClue]) -> Sensor | None:
    """The sensor with the bands of an image in its order, or None where the image cannot be told to be of the sensor.

    Bands that are all told by their clues are those. Otherwise the image has all bands of the sensor or one of its
    usual subsets: the first that has as many bands and contradicts no clue.

    Args:
        sensor: with all its bands.
        clues: one for each band of the image.
    """
    if not sensor.bands:
        return sensor
    told = [_told(sensor, clue) for clue in clues]
    names = [name for name in told if name is not None]
    if len(names) == len(told) == len(set(names)):
        return sensor.with_bands(names)
    for order in (tuple(band.name for band in sensor.bands), *sensor.subsets):
        if len(order) == len(told) and all(name in (None, usual) for name, usual in zip(told, order, strict=True)):
            return sensor.with_bands(order)
    return None


def _told(sensor: Sensor, clue: BandClue) -> str | None:
    """The band that a clue means, if it is exactly one."""
    for text in clue.texts:
        words = _words(text)
        named = [band.name for band in sensor.bands if words & _names(band)]
        if len(named) == 1:
            return named[0]
    if clue.wavelength_nm is None:
        return None
    centre = clue.wavelength_nm
    near = [band for band in sensor.bands if band.wavelength_nm[0] <= centre <= band.wavelength_nm[1]]
    return min(near, key=lambda band: abs(sum(band.wavelength_nm) / 2 - centre)).name if near else None


def _words(text: str) -> set[str]:
    plain = text.lower()
    for spelling, word in _SPELLINGS:
        plain = spelling.sub(word, plain)
    # BAND_B, as in IMD files, is one word; in names of files an underscore separates words
    return {*re.findall(r"\w+", plain), *re.findall(r"[^\W_]+", plain)}


def _names(band: Band) -> set[str]:
    return {band.name.lower(), *(alias.lower() for alias in band.aliases)}
