"""What a .TIL of Maxar names: GDAL opens its tiles with any driver, and takes its corner from the IMD beside it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affine import Affine

from clippan_cli.rasters.bounds import LARGEST_SIDECAR
from clippan_cli.rasters.grids import GRID_TOLERANCE, corners_apart
from clippan_models.errors import InputError
from clippan_models.outside import read_text

# GDAL reads more than this, such as comments and lists; what is read here is then all that it can find
_LONGEST_LINE = 1000  # and a longer one takes long to match
_LINE = re.compile(r"""\s*(?:(\w+)\s*=\s*("[^"]*"|[^\s"'=;#/()<>]+)\s*;?|END\s*;?)?\s*""", re.ASCII)


@dataclass(frozen=True)
class Tile:
    """One tile of a TIL.

    Attributes:
        path: as seen from the working folder.
        col: column of the TIL at which it begins.
        row: row at which it begins.
    """

    path: str
    col: int
    row: int


def tiles_of(path: str) -> tuple[Tile, ...]:
    """The tiles that a local file names if it is a TIL; none otherwise.

    Raises:
        InputError: it is called TIL but is not written like one.
    """
    if Path(path).suffix.lower() != ".til":
        return ()
    groups: list[dict[str, str]] = [{}]
    for number, line in enumerate(read_text(Path(path), "a TIL file", LARGEST_SIDECAR).splitlines(), start=1):
        found = _LINE.fullmatch(line) if len(line) <= _LONGEST_LINE else None
        key, value = (found[1] or "", (found[2] or "").strip('"')) if found else ("", "")
        opens = key.upper() == "BEGIN_GROUP"
        if found is None or "\0" in value or (opens and not re.fullmatch(r"\w+", value, re.ASCII)):
            raise InputError(f"{path} is not a valid TIL file: line {number} is {line[:60]!r}")
        if opens:
            groups.append({})
        groups[-1][key.lower()] = value
    try:
        return tuple(
            Tile(
                os.path.join(os.path.dirname(path), group["filename"]),
                int(group.get("ulcoloffset", "0")),
                int(group.get("ulrowoffset", "0")),
            )
            for group in groups
            if "filename" in group
        )
    except ValueError as error:
        raise InputError(f"{path} is not a valid TIL file: {error}") from error


def check_corner(path: str, dataset: Any, tile: Tile, tile_dataset: Any) -> None:
    """Check that an open TIL lies where one of its tiles does: without a corner in the IMD, GDAL makes one up.

    Raises:
        InputError: it does not.
    """
    place = dataset.transform @ Affine.translation(tile.col, tile.row)
    apart = corners_apart(~tile_dataset.transform @ place, Affine.identity(), tile_dataset.width, tile_dataset.height)
    if apart > GRID_TOLERANCE:
        raise InputError(
            f"{path} begins at {dataset.transform.c:.10g}, {dataset.transform.f:.10g} by its IMD, {apart:.3g} pixels "
            f"off its tile {tile.path}; join the tiles with gdalbuildvrt, and name the VRT with --allow-vrt"
        )
