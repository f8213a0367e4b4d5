"""Which sensor took an image, told from what its files say of themselves."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from clippan_models.sensors.loader import builtin_sensors, load_sensor
from clippan_models.sensors.matching import BandClue, as_in_image
from clippan_models.sensors.sensor import Sensor

GENERIC = "generic"
"""The sensor that stands for one that is not known."""

# Last parts of tag names that hold the name of a satellite or camera; GDAL puts prefixes such as `IMAGERY` or
# `Dataset_Sources.Source_Identification.Strip_Source` in front of them.
_SATELLITE_TAGS = frozenset(
    {
        "AUX_SATELLITE_NAME",  # KOMPSAT
        "INSTRUMENT",
        "MISSION",  # DIMAP
        "PLATFORM",
        "SATELLITE",
        "SATELLITEID",  # GDAL's IMAGERY domain; Gaofen, SuperView
        "SATELLITE_ID",
        "SATELLITE_NAME",
        "SATID",  # WorldView, QuickBird
        "SENSOR",  # GeoEye, IKONOS
        "SENSORID",
        "SENSOR_ID",
        "SPACECRAFT",
        "SPACECRAFT_ID",  # Landsat
        "SPACECRAFT_NAME",
    }
)
# Tags that hold free text or a product name, in which a satellite may be named.
_TEXT_TAGS = frozenset(
    {
        "DESCRIPTION",
        "LANDSAT_PRODUCT_ID",
        "LANDSAT_SCENE_ID",
        "PRODUCT_ID",
        "PRODUCT_NAME",
        "TIFFTAG_DOCUMENTNAME",
        "TIFFTAG_IMAGEDESCRIPTION",
        "TITLE",
    }
)
_RATIO_TOLERANCE = 2**0.5  # further off, the ratio is nearer to half or twice the sensor's: MS was resampled
_SHORTEST_IN_NAMES = 3  # `k3` or `qb` in a file name may mean anything


@dataclass(frozen=True)
class SensorGuess:
    """A sensor and one sentence that says why it was chosen."""

    sensor: Sensor
    reason: str


@dataclass(frozen=True)
class _Find:
    """The name of a sensor, found in some text."""

    sensor: Sensor
    words: str
    place: str

    def __str__(self) -> str:
        return f"{self.place} {self.words}"


def guess_sensor(
    metadata: Mapping[str, str],
    bands: Sequence[BandClue],
    ratio: float,
    descriptions: Sequence[str | None],
    filenames: Sequence[str],
) -> SensorGuess:
    """The sensor that the files name, with the bands of the image, or `generic`.

    It is never one whose bands or ratio contradict the image.

    Tags that name a satellite are believed first, then product names and free text in the tags, then the descriptions
    of the bands, then the names of the files. Where one of these names two sensors, or one that does not fit the
    image, the answer is `generic`: what comes after is weaker evidence.

    Args:
        metadata: tags of the files; a domain may stand in front of the tag: `IMAGERY.SATELLITEID`.
        bands: what is said of each MS band.
        ratio: PAN pixels per MS pixel.
        descriptions: of the MS bands.
        filenames: of the files of the scene; folders in front of the name are not looked at.
    """
    tiers = (
        _finds_in_tags(metadata, _SATELLITE_TAGS),
        _finds_in_tags(metadata, _TEXT_TAGS),
        _finds_in_names("band description", [text for text in descriptions if text]),
        _finds_in_names("file name", [re.split(r"[\\/]", name)[-1] for name in filenames]),
    )
    for tier in tiers:
        finds = list(tier)
        if finds:
            return _judge(finds, bands, ratio)
    return _generic("no file names one")


def _judge(finds: Sequence[_Find], bands: Sequence[BandClue], ratio: float) -> SensorGuess:
    """Accept the one sensor found if it fits the image."""
    first = finds[0]
    sensor = first.sensor
    other = next((find for find in finds if find.sensor.key != sensor.key), None)
    if other is not None:
        return _generic(f"{first} means {sensor.key} but {other} means {other.sensor.key}")
    delivered = as_in_image(sensor, bands)
    if delivered is None:
        return _generic(
            f"{first} means {sensor.key}, but which of its {len(sensor.bands)} bands the {len(bands)} of the image are "
            "is not known"
        )
    if not 1 / _RATIO_TOLERANCE < ratio / sensor.ratio < _RATIO_TOLERANCE:
        return _generic(
            f"{first} means {sensor.key}, whose gains hold at ratio {sensor.ratio:g}, but the image has {ratio:.3g}"
        )
    which = "" if delivered.bands == sensor.bands else f" ({', '.join(band.name for band in delivered.bands)})"
    return SensorGuess(delivered, f"{len(bands)} bands and {first}: {sensor.key}{which}")


def _generic(why: str) -> SensorGuess:
    return SensorGuess(load_sensor(GENERIC), why)


def _finds_in_tags(metadata: Mapping[str, str], wanted: frozenset[str]) -> Iterator[_Find]:
    for tag, value in metadata.items():
        last = re.split(r"[.:/]", tag)[-1].strip().upper()
        if last not in wanted:
            continue
        index = _mission_index(metadata, tag) if last == "MISSION" else ""
        yield from _finds(f"{value} {index}", last, shortest=0)


def _mission_index(metadata: Mapping[str, str], tag: str) -> str:
    """DIMAP splits `SPOT 6` into a mission and an index, two tags with the same prefix."""
    return next((value for other, value in metadata.items() if other.upper() == f"{tag}_INDEX".upper()), "")


def _finds_in_names(place: str, names: Sequence[str]) -> Iterator[_Find]:
    for name in names:
        yield from _finds(name, place, shortest=_SHORTEST_IN_NAMES)


def _finds(text: str, place: str, shortest: int) -> list[_Find]:
    """All sensors named in a text; a name inside a longer one (Pleiades in Pleiades Neo) does not count."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    matches = [
        (match, sensor)
        for pattern, alias, sensor in _patterns()
        if len(alias) >= shortest
        for match in pattern.finditer(plain)
    ]
    return [
        _Find(sensor, match.group(), place)
        for match, sensor in matches
        if not any(_inside(match, longer) and other is not sensor for longer, other in matches)
    ]


def _inside(match: re.Match[str], longer: re.Match[str]) -> bool:
    (start, stop), (outer_start, outer_stop) = match.span(), longer.span()
    return outer_start <= start and stop <= outer_stop and stop - start < outer_stop - outer_start


@functools.cache
def _patterns() -> tuple[tuple[re.Pattern[str], str, Sensor], ...]:
    sensors = builtin_sensors().values()
    return tuple((_pattern(alias), alias, sensor) for sensor in sensors for alias in sensor.aliases)


def _pattern(alias: str) -> re.Pattern[str]:
    """An alias as a whole word: no letter or digit may touch it; an underscore may, as file names are written so."""
    joints = {"-": "[- ]?", "_": "[-_ ]?", "#": "[0-9]+"}
    body = "".join(joints.get(letter) or re.escape(letter) for letter in alias)
    return re.compile(rf"(?<![^\W_]){body}(?![^\W_])", re.IGNORECASE)
