"""The files of a scene as arguments of a command."""

from __future__ import annotations

from typing import Annotated

import typer

from clippan_cli.options.flags import SCENE
from clippan_cli.scene.files import SceneFiles
from clippan_models.errors import UsageError

Files = Annotated[
    list[str] | None, typer.Argument(metavar="MS PAN", help="The multispectral and the panchromatic raster.")
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


def scene_files(files: list[str] | None, ms: list[str] | None, pan: list[str] | None) -> SceneFiles:
    """MS and PAN from two positional arguments, or from --ms and --pan.

    Raises:
        UsageError: neither, or a mixture.
    """
    if files and (ms or pan):
        raise UsageError("name the files either as MS PAN or with --ms and --pan, not both")
    if files:
        if len(files) != 2:
            raise UsageError(
                f"expected two files, MS then PAN, but got {len(files)}; name the output with -o, and "
                "use --ms and --pan for bands and tiles"
            )
        return SceneFiles((files[0],), files[1])
    if not ms or not pan:
        raise UsageError("name a scene: clippan COMMAND ms.tif pan.tif, or --ms FILE [--ms FILE ...] --pan FILE [...]")
    return SceneFiles(tuple(ms), pan[0], pan_tiles=tuple(pan[1:]))
