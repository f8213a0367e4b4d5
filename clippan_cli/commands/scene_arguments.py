"""The files of a scene as arguments of a command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
MsFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--ms",
        metavar="FILE",
        help="MS raster; repeat for files on one grid, in band order, or for tiles.",
        rich_help_panel=SCENE.name,
    ),
]
PanFiles = Annotated[
    list[str] | None,
    typer.Option("--pan", metavar="FILE", help="Panchromatic raster; repeat for tiles.", rich_help_panel=SCENE.name),
]


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
                f"expected two files, MS then PAN, but got {len(files)}; use --ms and --pan for bands and tiles"
            )
        return SceneFiles((files[0],), files[1])
    if not ms or not pan:
        raise UsageError("name a scene: clippan COMMAND ms.tif pan.tif, or --ms FILE [--ms FILE ...] --pan FILE [...]")
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
