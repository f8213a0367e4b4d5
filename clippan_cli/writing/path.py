"""The place of an output: whether it may be written, its temporary names, and what a killed run left there."""

from __future__ import annotations

import logging
import os
import re
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from clippan_cli.rasters.names import address_of, windows_path_here
from clippan_models.errors import OutputError, shown
from clippan_models.store.temporary import abandoned_part, new_token, part_path

if TYPE_CHECKING:
    from clippan_cli.writing.grid import OutputGrid
    from clippan_cli.writing.options import OutputOptions

logger = logging.getLogger(__name__)

RASTER_ENDINGS = (".tif", ".tiff")
"""Of the names of rasters; both formats share them."""

_SIDECARS = (".aux.xml", ".ovr", ".msk", ".msk.ovr", ".ovr.msk")
_ENDINGS = re.compile(r"((\.cog)?\.tif(\.aux\.xml)?|(\.cog\.tif|\.cog_[0-9]+_[0-9]+)(\.msk)?\.ovr\.tmp)?")
"""After `.part`: of a raster's raw file, its COG, and the overviews that GDAL builds beside it or in its CPL_TMPDIR."""


def check_output_path(path: Path, inputs: Iterable[Path], overwrite: bool) -> None:
    """Refuse, before any work, an output path that cannot or must not be written; remove what killed runs left for it.

    Raises:
        OutputError: the path is one of Windows on another system, an input under any name, exists and `overwrite` is
            not set, is not a regular file, or its folder is missing or not writable.
    """
    check_output_name(path)
    try:
        _refuse_inputs(path, list(inputs))
        _refuse_existing(path, overwrite)
        remove_leftovers(real_path(path))
        _refuse_folder(real_path(path))
    except OSError as error:
        raise OutputError(f"cannot write {shown(path)}: {error.strerror}") from error


def check_apart(outputs: Iterable[Path | None]) -> None:
    """Refuse, before any work, outputs of which one would be written over another.

    Raises:
        OutputError: two of them are one file.
    """
    named = [path for path in outputs if path is not None]
    for number, path in enumerate(named):
        if real_path(path) in map(real_path, named[:number]):
            raise OutputError(f"{shown(path)} is named for two outputs; choose another name for one of them")


def check_output_name(path: Path) -> None:
    """Refuse the name of a file or a folder that cannot be meant.

    Raises:
        OutputError: the name is not UTF-8, a path of Windows on another system, or an address where only files of this
            machine are written.
    """
    if address := address_of(path):
        raise OutputError(
            f"{address} is on an object store, but this is written on this machine only; name a local path"
        )
    if reason := windows_path_here(str(path)):
        raise OutputError(reason)
    try:
        os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise OutputError(f"{shown(path)} is not a UTF-8 name; choose another one") from error


def check_raster_name(path: Path) -> None:
    """Refuse the name of a raster that would not tell what is in the file.

    Raises:
        OutputError: the ending is not that of a format that clippan writes.
    """
    if path.suffix.lower() not in RASTER_ENDINGS:
        raise OutputError(
            f"{shown(path)}: clippan writes GeoTIFF and COG; give the output a name that ends in "
            f"{' or '.join(RASTER_ENDINGS)}, and convert it with gdal_translate where you need another format"
        )


def make_folder(folder: Path) -> None:
    """Make a folder for outputs and those above it, unless it is there.

    Raises:
        OutputError: it cannot be made, or its name cannot be meant.
    """
    check_output_name(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OutputError(f"{shown(folder)} is a file; name a folder") from error
    except OSError as error:
        raise OutputError(f"{shown(folder)} cannot be made: {error.strerror or error}") from error


def check_free_space(path: Path, grid: OutputGrid, options: OutputOptions) -> None:
    """Refuse to begin what obviously does not fit on the disk.

    Raises:
        OutputError: the disk is too full.
    """
    from clippan_cli.writing.grid import estimate_disk_bytes  # GDAL is not needed for the other checks

    needed, free = estimate_disk_bytes(grid, options), shutil.disk_usage(real_path(path).parent).free
    if needed > free:
        raise OutputError(f"not enough space to write {shown(path)}: about {_size(needed)} needed, {_size(free)} free")


def temporary_path(target: Path, token: str) -> Path:
    """Where pixels go before they are at the target."""
    return part_path(target, token).with_suffix(".part.tif")


def working_folders(target: Path) -> set[Path]:
    """The folders in which GDAL and we make temporary files."""
    return {target.parent, Path(os.environ.get("CPL_TMPDIR", target.parent))}


def remove_leftovers(target: Path) -> None:
    """Remove temporary files for this target whose process was killed.

    Best effort: what cannot be removed is in nobody's way.
    """
    for folder in working_folders(target):
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                ending = abandoned_part(target, entry.name)
                if ending is not None and _ENDINGS.fullmatch(ending) and entry.is_file(follow_symlinks=False):
                    os.unlink(entry.path)
                    logger.info("removed %s, left by a run that was killed", shown(Path(entry.path)))


def real_path(path: Path) -> Path:
    """The path of the file itself, behind all symbolic links."""
    return Path(os.path.realpath(path))


def sidecars(path: Path) -> list[Path]:
    """The files that GDAL would read as parts of the one at `path`."""
    named = [path.with_name(path.name + ending) for ending in _SIDECARS]
    return [sidecar for sidecar in named if os.path.lexists(sidecar)]


def _refuse_inputs(path: Path, inputs: list[Path]) -> None:
    for name in (path, *sidecars(real_path(path))):
        for source in inputs:
            if _same_file(name, source):
                raise OutputError(f"{shown(name)} is the same file as the input {shown(source)}; choose another name")


def _same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except FileNotFoundError:
        return real_path(one) == real_path(other)


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise OutputError(f"{shown(path)} is a folder; add a file name")
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise OutputError(f"{shown(path)} is not a regular file; choose another path")
    # A sidecar without its raster would describe the new one, and removing it is no less overwriting.
    existing = [*([path] if path.exists() else []), *sidecars(real_path(path))]
    if existing and not overwrite:
        raise OutputError(f"{shown(existing[0])} exists; add --overwrite to replace it")


def _refuse_folder(target: Path) -> None:
    folder = target.parent
    if not folder.is_dir():
        raise OutputError(f"the folder {shown(folder)} does not exist; create it first")
    # Trying tells more than access rights do: read-only file systems, quotas, and names too long.
    probe = part_path(target, new_token())
    with suppress(FileNotFoundError):
        os.lstat(target)
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        os.unlink(probe)
    except OSError as error:
        raise OutputError(f"cannot write in the folder {shown(folder)}: {error.strerror}") from error


def _size(count: int) -> str:
    if count >= 1e10:
        return f"{count / 1e9:,.0f} GB"
    return f"{count / 1e6:,.0f} MB" if count >= 1e7 else f"{count / 1e6:.2g} MB"
