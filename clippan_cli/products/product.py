"""What a product is, and the protocol of those who read one kind of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clippan_cli.rasters.options import Declared
from clippan_cli.scene.files import LeftOut, PairTable, SceneFiles
from clippan_cli.scene.names import safe_name
from clippan_models.errors import InputError

PairsOf = Callable[[Path], PairTable]
"""Pairs the rasters of a folder by place, pixel size, time and name."""


@dataclass(frozen=True)
class Product:
    """A delivery of a provider.

    Attributes:
        kind: the name of its reader.
        path: where it was found.
        ms: one multispectral raster, several on one grid in band order, or the tiles of one image.
        pan: the panchromatic raster, or its tiles.
        id: names the output of `batch`.
        sensor: a name that `--sensor` takes; None: as files and names tell.
        ms_declared: band names, scales, nodata and quality rasters of MS.
        pan_declared: those of PAN.
        others: further rasters of the product, which are not sharpened.
    """

    kind: str
    path: Path
    ms: tuple[Path, ...]
    pan: tuple[Path, ...]
    id: str
    sensor: str | None = None
    ms_declared: Declared = Declared()
    pan_declared: Declared = Declared()
    others: tuple[Path, ...] = ()

    @property
    def table(self) -> PairTable:
        """Its scene, and the rasters that are left out."""
        first, *more = map(str, self.pan)
        scene = SceneFiles(
            tuple(map(str, self.ms)),
            first,
            id=safe_name(self.id),
            reason=f"{self.kind} product, {self.path.name}",
            sensor=self.sensor,
            pan_tiles=tuple(more),
            ms_declared=self.ms_declared,
            pan_declared=self.pan_declared,
        )
        reason = f"it is neither PAN nor one of the bands that are taken as MS of {self.id}"
        return PairTable((scene,), tuple(LeftOut(str(other), reason) for other in self.others))


class ProductReader(Protocol):
    """Reads the products of one kind. A package can bring its own, see docs/products.md.

    Attributes:
        kind: a short name, for messages.
        is_whole: a file of this kind names all of its product, so that folders are searched for such files.
    """

    kind: str
    is_whole: bool

    def recognises(self, path: Path) -> bool:
        """Whether a file is one of this kind, by its name alone."""
        ...

    def read(self, path: Path, pairs_of: PairsOf) -> PairTable:
        """The scenes of a product, of which most have one: `Product(...).table`.

        Args:
            path: the file.
            pairs_of: finds pairs in a folder, where the product does not say them.

        Raises:
            InputError: it is incomplete, or cannot be read.
        """
        ...


def check_inside(path: Path, folder: Path, named_by: Path) -> Path:
    """Refuse a file that a product names outside of its folder.

    Raises:
        InputError: it lies elsewhere, or leads there as a link.
    """
    if ".." in path.parts or not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{named_by} names {path}, which lies outside its folder; copy it there, or name its files")
    return path
