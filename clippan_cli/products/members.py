"""Products of which a file was named that describes one image, or lists them: DIMAP, Maxar, and sidecars of a raster.

The pair is then looked for in the folder of the product, by the same rules as in any folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from clippan_cli.products.product import PairsOf
from clippan_cli.rasters.dimap import files_of_product
from clippan_cli.rasters.names import check_local_path
from clippan_cli.rasters.til import tiles_of
from clippan_cli.scene.files import PairTable
from clippan_cli.scene.names import says_its_role
from clippan_models.errors import InputError


class MemberReader:
    """Reads DIM_*.XML, VOL_*.XML and METADATA.DIM, .TIL and .IMD, and the .xml or .rpb beside a raster."""

    kind = "image and its sidecars"
    is_whole = False

    def recognises(self, path: Path) -> bool:
        """Whether a file is called like one that describes an image."""
        return path.suffix.lower() in (".xml", ".dim", ".til", ".imd", ".rpb")

    def read(self, path: Path, pairs_of: PairsOf) -> PairTable:
        """The scenes in the folder of the product that a file tells of.

        Raises:
            InputError: it tells of no image, or of one that is in no pair.
        """
        check_local_path(str(path))
        images = _images_of(path)
        if not images:
            raise InputError(f"{path} names no image, and none beside it has its name; name MS and PAN")
        folder = _folder_of(path)
        table = pairs_of(folder)
        wanted = {os.path.realpath(file) for file in (path, *images)}
        pairs = [pair for pair in table.pairs if wanted & set(map(os.path.realpath, pair.names))]
        if not pairs:
            reasons = [item.reason for item in table.left_out if os.path.realpath(item.path) in wanted]
            why = reasons[0] if reasons else f"{folder} holds none of its images as half of a pair"
            raise InputError(f"{path} tells of an image that is in no pair of MS and PAN: {why}")
        return PairTable(tuple(pairs))


def _folder_of(path: Path) -> Path:
    """The folder of a product: the one above where the folder of a file is that of MS or PAN alone."""
    folder = path.absolute().parent
    return folder.parent if says_its_role(folder.name) else folder


def _images_of(path: Path) -> list[Path]:
    """The rasters that a file tells of: those that it names, or those with its name beside it."""
    product = files_of_product(str(path))
    if named := (*product.documents, *product.images, *(tile.path for tile in tiles_of(str(path)))):
        return [Path(name) for name in named]
    beside = [other for other in _others(path) if other.stem.lower() == path.stem.lower()]
    tiles = [Path(tile.path) for other in beside for tile in tiles_of(str(other))]
    return [*beside, *tiles]


def _others(path: Path) -> Iterable[Path]:
    return (other for other in sorted(path.absolute().parent.iterdir()) if other.name != path.name and other.is_file())
