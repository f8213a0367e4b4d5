"""The files of a folder or an archive, and which of them may be rasters."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from clippan_cli.rasters.dimap import single_image_of
from clippan_cli.rasters.zipped import archive_of, members_of, name_in_zip
from clippan_cli.scene.files import LeftOut

_ENDINGS = (".tif", ".tiff", ".jp2", ".ntf", ".nitf", ".img", ".pix", ".vrt", ".png", ".bil")
_DIMAP_ENDINGS = (".xml", ".dim")


def files_below(folder: Path) -> tuple[list[Path], list[LeftOut]]:
    """The files in a folder, or an archive as one, and those below it; and the folders that cannot be read.

    Raises:
        InputError: the archive cannot be read.
    """
    if packed := archive_of(str(folder)):
        members = (name_in_zip(packed[0], member) for member in members_of(packed[0]))
        return sorted(path for path in members if not path.name.startswith(".")), []
    left_out: list[LeftOut] = []

    def tell(error: OSError) -> None:
        system = Path(error.filename).name == "lost+found"  # on every disk, for its administrator alone
        reason = f"it cannot be read: {error.strerror or error}"
        left_out.append(LeftOut(str(error.filename), reason, unpaired=not system))

    found: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=tell):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in files if not name.startswith(".")]
    return sorted(path for path in found if path.is_file()), left_out


def rasters_among(files: Iterable[Path]) -> list[Path]:
    """Those of some files that may be rasters; a DIMAP file that names one image stands for it."""
    found = list(files)
    rasters = {path for path in found if path.suffix.lower() in _ENDINGS}
    for path in found:
        if (image := image_told_by(path)) in rasters:
            rasters -= {image}
            rasters |= {path}
    return sorted(rasters)


def image_told_by(path: Path) -> Path | None:
    """The one image of which a DIMAP file tells; None for any other file."""
    return single_image_of(path) if path.suffix.lower() in _DIMAP_ENDINGS else None
