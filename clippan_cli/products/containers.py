"""Products that come as a list of their files, or packed into one: STAC items, and zip archives."""

from __future__ import annotations

from pathlib import Path

from clippan_cli.products.product import PairsOf
from clippan_cli.rasters.zipped import archive_of, name_in_zip
from clippan_cli.scene.files import PairTable
from clippan_cli.scene.stac import ENDINGS, pairs_of_stac


class StacReader:
    """Reads STAC items, item collections, catalogues and collections."""

    kind = "STAC"
    is_whole = False

    def recognises(self, path: Path) -> bool:
        """Whether a file is called like one of JSON."""
        return path.suffix.lower() in ENDINGS

    def read(self, path: Path, pairs_of: PairsOf) -> PairTable:
        """The scenes of all items.

        Raises:
            InputError: it cannot be read, or is not STAC.
        """
        return pairs_of_stac(path)


class ZipReader:
    """Reads zip archives as folders, without unpacking them."""

    kind = "zip"
    is_whole = True

    def recognises(self, path: Path) -> bool:
        """Whether a file is called like a zip archive."""
        return path.suffix.lower() == ".zip" and archive_of(str(path)) is None

    def read(self, path: Path, pairs_of: PairsOf) -> PairTable:
        """The scenes in an archive.

        Raises:
            InputError: it cannot be read.
        """
        return pairs_of(name_in_zip(path))
