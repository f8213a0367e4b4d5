"""Sensors read from TOML: those of the package by name, a user's own by path.

They are read here and not in `store`: sensors stand below it, since rooms that are free of torch need them.
"""

from __future__ import annotations

import difflib
import functools
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from clippan_models.errors import UsageError
from clippan_models.outside import read_toml
from clippan_models.sensors.sensor import Band, Sensor

_SUFFIX = ".toml"
# A file may state these for its readers, as earlier versions asked for them; clippan makes no use of them.
_FACTS = frozenset({"gsd_pan_m", "gsd_ms_m", "pan_wavelength_nm", "in_pan"})


def known_sensors() -> tuple[str, ...]:
    """The names of the built-in sensors, in alphabetical order."""
    return tuple(builtin_sensors())


def load_sensor(name_or_path: str) -> Sensor:
    """A built-in sensor by its name, or a sensor of your own by the path of its `.toml` file.

    Raises:
        UsageError: no such sensor or file, or the file does not describe a sensor; names the file and the key.
    """
    if name_or_path.lower().endswith(_SUFFIX):
        path = Path(name_or_path)
        return _sensor(read_toml(path, "sensor file"), str(path), path.stem)
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
    tables = {key: (tomllib.loads(file.read_text(encoding="utf-8")), file.name) for key, file in sorted(files.items())}
    return MappingProxyType({key: _sensor(table, name, key) for key, (table, name) in tables.items()})


def _nearest(name: str, sensors: Mapping[str, Sensor]) -> str:
    """A hint at the sensor that was probably meant, looking at the aliases too."""
    spellings = {key: key for key in sensors}
    spellings |= {alias.lower(): key for key, sensor in sensors.items() for alias in sensor.aliases}
    close = difflib.get_close_matches(name.strip().lower(), spellings, n=1)
    return f" (did you mean {spellings[close[0]]}?)" if close else ""


def _sensor(table: dict[str, Any], file: str, key: str) -> Sensor:
    try:
        return msgspec.convert(_without_facts(table) | {"key": key}, Sensor)
    except msgspec.ValidationError as error:
        problem = str(error).replace("$.", "")
        raise UsageError(f"sensor file {file}: {problem}{_hint(problem)}") from error
    except UsageError as error:
        raise UsageError(f"sensor file {file}: {error}") from error


def _without_facts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_facts(inner) for key, inner in value.items() if key not in _FACTS}
    return [_without_facts(inner) for inner in value] if isinstance(value, list) else value


def _hint(problem: str) -> str:
    """The key that was probably meant, where the problem is an unknown one."""
    unknown = re.search(r"unknown field `(.+?)`", problem)
    known = Sensor.__struct_fields__ + Band.__struct_fields__
    close = difflib.get_close_matches(unknown[1], known, n=1) if unknown else []
    return f"; did you mean `{close[0]}`?" if close else ""
