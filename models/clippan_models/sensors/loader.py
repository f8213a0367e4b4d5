"""Sensors read from TOML: those of the package by name, a user's own by path."""

from __future__ import annotations

import difflib
import functools
import tomllib
from collections.abc import Collection, Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from clippan_models.errors import UsageError
from clippan_models.sensors.sensor import Band, Sensor

_SUFFIX = ".toml"
_REQUIRED = ("name", "bits", "ratio", "pan_gain")
_OPTIONAL = ("aliases", "bands", "default_gain", "gsd_pan_m", "gsd_ms_m", "pan_wavelength_nm", "source")
_BAND_REQUIRED = ("name", "wavelength_nm", "gain", "in_pan")


def known_sensors() -> tuple[str, ...]:
    """The names of the built-in sensors, in alphabetical order."""
    return tuple(builtin_sensors())


def load_sensor(name_or_path: str) -> Sensor:
    """A built-in sensor by its name, or a sensor of your own by the path of its `.toml` file.

    Raises:
        UsageError: no such sensor or file, or the file does not describe a sensor; names the file and the key.
    """
    if name_or_path.lower().endswith(_SUFFIX):
        return _read_file(Path(name_or_path))
    sensors = builtin_sensors()
    try:
        return sensors[name_or_path.strip().lower()]
    except KeyError:
        raise UsageError(
            f"no sensor is called {name_or_path!r}{_nearest(name_or_path, sensors)}; "
            f"known are {', '.join(sensors)}, and .toml files by their path"
        ) from None


@functools.cache
def builtin_sensors() -> Mapping[str, Sensor]:
    """All sensors of the package by name, in alphabetical order; read once."""
    folder = resources.files("clippan_models.sensors")
    files = {file.name.removesuffix(_SUFFIX): file for file in folder.iterdir() if file.name.endswith(_SUFFIX)}
    return MappingProxyType({key: _parse(file.read_bytes(), file.name, key) for key, file in sorted(files.items())})


def _nearest(name: str, sensors: Mapping[str, Sensor]) -> str:
    """A hint at the sensor that was probably meant, looking at the aliases too."""
    spellings = {key: key for key in sensors}
    spellings |= {alias.lower(): key for key, sensor in sensors.items() for alias in sensor.aliases}
    close = difflib.get_close_matches(name.strip().lower(), spellings, n=1)
    return f" (did you mean {spellings[close[0]]}?)" if close else ""


def _read_file(path: Path) -> Sensor:
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"cannot read the sensor file {path}: {reason}") from error
    return _parse(content, str(path), path.stem)


def _parse(content: bytes, file: str, key: str) -> Sensor:
    try:
        return _sensor(tomllib.loads(content.decode("utf-8")), key)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"sensor file {file} is not valid TOML: {error}") from error
    except UsageError as error:
        raise UsageError(f"sensor file {file}: {error}") from error


def _sensor(table: Mapping[str, object], key: str) -> Sensor:
    _check_keys(table, _REQUIRED, _OPTIONAL)
    return Sensor(
        key=key,
        name=_text(table, "name"),
        bits=_whole(table, "bits"),
        ratio=_number(table, "ratio"),
        pan_gain=_number(table, "pan_gain"),
        bands=tuple(_band(band, place) for place, band in enumerate(_list(table, "bands"), start=1)),
        default_gain=_optional_number(table, "default_gain"),
        aliases=tuple(_text({"aliases": alias}, "aliases") for alias in _list(table, "aliases")),
        gsd_pan_m=_optional_number(table, "gsd_pan_m"),
        gsd_ms_m=_optional_number(table, "gsd_ms_m"),
        pan_wavelength_nm=_edges(table, "pan_wavelength_nm") if "pan_wavelength_nm" in table else None,
        source=_text(table, "source") if "source" in table else Sensor.source,
    )


def _band(table: object, place: int) -> Band:
    try:
        if not isinstance(table, dict):
            raise UsageError("must be a table, written as [[bands]]")
        _check_keys(table, _BAND_REQUIRED)
        return Band(
            name=_text(table, "name"),
            wavelength_nm=_edges(table, "wavelength_nm"),
            gain=_number(table, "gain"),
            in_pan=_flag(table, "in_pan"),
        )
    except UsageError as error:
        raise UsageError(f"bands, number {place}: {error}") from error


def _check_keys(table: Mapping[str, object], required: Collection[str], optional: Collection[str] = ()) -> None:
    allowed = [*required, *optional]
    for key in table:
        if key not in allowed:  # before the missing ones: a typing slip is both, and this message names it
            close = difflib.get_close_matches(key, allowed, n=1)
            raise UsageError(f"unknown key {key!r}" + (f", did you mean {close[0]!r}?" if close else ""))
    for key in required:
        if key not in table:
            raise UsageError(f"{key} is missing")


def _text(table: Mapping[str, object], key: str) -> str:
    value = table[key]
    if not isinstance(value, str):
        raise _wrong(key, "a text", value)
    return value


def _flag(table: Mapping[str, object], key: str) -> bool:
    value = table[key]
    if not isinstance(value, bool):
        raise _wrong(key, "true or false", value)
    return value


def _whole(table: Mapping[str, object], key: str) -> int:
    value = table[key]
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(key, "a whole number", value)
    return value


def _number(table: Mapping[str, object], key: str) -> float:
    value = table[key]
    # the comparison is False for NaN, and it keeps out integers too large for a float
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not abs(value) < 1e9:
        raise _wrong(key, "a finite number", value)
    return float(value)


def _optional_number(table: Mapping[str, object], key: str) -> float | None:
    return _number(table, key) if key in table else None


def _list(table: Mapping[str, object], key: str) -> list[object]:
    value = table.get(key, [])
    if not isinstance(value, list):
        raise _wrong(key, "a list", value)
    return value


def _edges(table: Mapping[str, object], key: str) -> tuple[float, float]:
    edges = [_number({key: edge}, key) for edge in _list(table, key)]
    if len(edges) != 2:
        raise _wrong(key, "two numbers", edges)
    return edges[0], edges[1]


def _wrong(key: str, wanted: str, value: object) -> UsageError:
    return UsageError(f"{key} must be {wanted}, not {value!r}")
