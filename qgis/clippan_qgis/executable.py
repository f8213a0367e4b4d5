"""Finding the program clippan, and the environment that it runs in. Free of QGIS."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "CLIPPAN_EXECUTABLE"

_IN_ENVIRONMENT = ("bin/clippan", "Scripts/clippan.exe")
_OF_QGIS = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_LIB", "PROJ_DATA")


class ClippanNotFoundError(Exception):
    """There is no clippan where it was looked for; the message says where, and what to do."""


def find_clippan(configured: str, environ: Mapping[str, str]) -> list[str]:
    """The beginning of each command line.

    Args:
        configured: what the user has set in QGIS: the program, the Python interpreter of its environment, or the folder
            of this environment; may be empty.
        environ: the environment variables.

    Raises:
        ClippanNotFoundError: it is not there.
    """
    for path, origin in ((configured, "the setting of the provider"), (environ.get(VARIABLE, ""), VARIABLE)):
        if path:
            return _command(Path(path).expanduser(), origin)
    found = shutil.which("clippan", path=environ.get("PATH"))
    if found is None:
        raise ClippanNotFoundError(
            "the program clippan is not on the PATH of QGIS: name it, or the Python interpreter of its environment, in "
            "Settings > Options > Processing > Providers > clippan"
        )
    return [found]


def _command(path: Path, origin: str) -> list[str]:
    if path.is_dir():
        for name in _IN_ENVIRONMENT:
            if (path / name).is_file():
                return [str(path / name)]
        raise ClippanNotFoundError(f"{origin} names the folder {path}, which is no environment with clippan in it")
    if not path.is_file():
        raise ClippanNotFoundError(f"{origin} names {path}, which does not exist")
    return [str(path), "-m", "clippan_cli"] if path.name.startswith("python") else [str(path)]


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables for clippan: without those that lead to the Python, GDAL and PROJ of QGIS."""
    return {**{name: value for name, value in environ.items() if name not in _OF_QGIS}, "PYTHONUTF8": "1"}
