"""The files of a scene as arguments of a command."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clippan_cli.options.flags import SCENE
from clippan_cli.scene.files import SceneFiles
from clippan_models.errors import UsageError

if TYPE_CHECKING:
    from clippan_cli.rasters.options import Trust
    from clippan_cli.running.control import Control

Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MS PAN", help="The multispectral and the panchromatic raster; or one product: folder, file or zip."
    ),
]
_BAND = re.compile(r"(.+),band=(\d+)")

MsFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--ms",
        metavar="FILE",
        help="MS raster, or FILE,band=N; repeat for files on one grid, in band order, or for tiles.",
        rich_help_panel=SCENE.name,
    ),
]
PanFiles = Annotated[
    list[str] | None,
    typer.Option("--pan", metavar="FILE", help="Panchromatic raster; repeat for tiles.", rich_help_panel=SCENE.name),
]


def scene_and_bands(
    files: list[str] | None, ms: list[str] | None, pan: list[str] | None
) -> tuple[SceneFiles | Path, dict[str, Any]]:
    """MS and PAN, and the options for the bands that their names choose, as in `ms.tif,band=3` of gdal_pansharpen.

    Raises:
        UsageError: see `scene_files`; or bands of several files are chosen.
    """
    found = scene_files(files, ms, pan)
    if isinstance(found, Path):
        return found, {}
    ms_names, ms_bands = _without_bands(found.ms)
    pan_names, pan_bands = _without_bands(found.pans)
    if len(pan_bands) > 1:
        raise UsageError(f"{pan_names[0]}: PAN is one band; name it once")
    options = {"ms_bands": ms_bands} if ms_bands else {}
    chosen = options | ({"pan_band": pan_bands[0]} if pan_bands else {})
    return replace(found, ms=ms_names, pan=pan_names[0], pan_tiles=pan_names[1:]), chosen


def _without_bands(names: tuple[str, ...]) -> tuple[tuple[str, ...], list[int]]:
    """The names of files, and the bands of the only one where some are chosen."""
    parts = [None if Path(name).exists() else _BAND.fullmatch(name) for name in names]
    chosen = [part for part in parts if part is not None]
    if not chosen:
        return names, []
    one = {part[1] for part in chosen}
    if len(one) > 1 or len(chosen) < len(names):
        raise UsageError(
            f"{names[0]} and others: bands can be chosen of one file; choose those of several with gdal_translate -b"
        )
    return tuple(one), [int(part[2]) for part in chosen]


def scene_files(files: list[str] | None, ms: list[str] | None, pan: list[str] | None) -> SceneFiles | Path:
    """MS and PAN from two positional arguments or from --ms and --pan, or one product.

    Raises:
        UsageError: neither, or a mixture.
    """
    if files and (ms or pan):
        raise UsageError("name the files either as MS PAN or with --ms and --pan, not both")
    if files:
        if len(files) == 1:
            return Path(files[0])
        if len(files) != 2:
            raise UsageError(
                f"expected two files, MS then PAN, but got {len(files)}; name the output with -o, and "
                "use --ms and --pan for bands and tiles"
            )
        return SceneFiles((files[0],), files[1])
    if not ms or not pan:
        raise UsageError("name MS and PAN: --ms FILE --pan FILE, each repeated for bands in several files or for tiles")
    return SceneFiles(tuple(ms), pan[0], pan_tiles=tuple(pan[1:]))


def found_scene(named: SceneFiles | Path, trust: Trust, control: Control) -> SceneFiles:
    """The files of a scene; of a product they are looked for.

    Raises:
        InputError: the product holds no scene, or several.
    """
    if isinstance(named, SceneFiles):
        return named
    from clippan_cli.products.finding import find_scene

    return find_scene(named, trust, control)
