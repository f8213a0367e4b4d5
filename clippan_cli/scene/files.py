"""Which files make a scene, and how they are to be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from clippan_cli.rasters.options import Declared, PairOptions
from clippan_cli.rasters.places import holder_of
from clippan_cli.writing.cells import table_text
from clippan_models.errors import InputError
from clippan_models.plain import plain

Coregister = Literal["auto", "off"]


@dataclass(frozen=True)
class SceneFiles:
    """The files of one scene.

    Attributes:
        ms: one multispectral raster, several on one grid in band order, or the tiles of one image.
        pan: the panchromatic raster, or the first of its tiles.
        id: unique among several scenes; names the output. Empty for a scene that stands alone.
        reason: why these files belong together; empty where the user has named them.
        fused: images made of the pair, for `assess`.
        reference: the truth on the PAN grid, where it is known.
        sensor: the sensor of this scene, where a table names it; None: that of `ReadOptions`.
        pan_tiles: the other tiles of PAN.
        ms_declared: what the product says of MS in other files.
        pan_declared: what it says of PAN.
        notes: what the user should know of how they were found.
    """

    ms: tuple[str, ...]
    pan: str
    id: str = ""
    reason: str = ""
    fused: tuple[str, ...] = ()
    reference: str | None = None
    sensor: str | None = None
    pan_tiles: tuple[str, ...] = ()
    ms_declared: Declared = Declared()
    pan_declared: Declared = Declared()
    notes: tuple[str, ...] = ()

    @property
    def pans(self) -> tuple[str, ...]:
        """All files of PAN."""
        return (self.pan, *self.pan_tiles)

    @property
    def names(self) -> tuple[str, ...]:
        """MS and PAN as they were named."""
        return (*self.ms, *self.pans)

    @property
    def quality(self) -> tuple[str, ...]:
        """The quality rasters of the product."""
        declared = (self.ms_declared, self.pan_declared)
        return tuple(dict.fromkeys(each.file for said in declared for each in said.quality))

    def as_json(self) -> dict[str, Any]:
        """MS and PAN as plain data."""
        return {"ms": list(self.ms), "pan": self.pan, "pan_tiles": list(self.pan_tiles)}

    @property
    def paths(self) -> list[Path]:
        """The local files of the pair that exist, or those that hold them."""
        places = map(holder_of, (*self.names, *self.quality))
        return [path for path in dict.fromkeys(places) if path.exists()]


@dataclass(frozen=True)
class ReadOptions:
    """How to read a scene.

    Attributes:
        pair: how to relate MS and PAN.
        bbox: read only this box (left, bottom, right, top).
        bbox_crs: its CRS; None: that of PAN.
        aoi: read only the polygons of this file.
        aoi_layer: which of its layers; None: the only one.
        aoi_where: which of its features, as SQL has it after WHERE; None: all.
        sensor: "auto", a known name, or the path of a TOML file.
        sensor_bands: which of the sensor's bands those of MS are, by name; empty: as the files tell.
        coregister: estimate and compensate the shift of each band, or trust the geotransforms.
        seed: of the choice of sample windows.
        strict: a warning about the scene is an error.
    """

    pair: PairOptions = PairOptions()
    bbox: tuple[float, float, float, float] | None = None
    bbox_crs: str | None = None
    aoi: Path | None = None
    aoi_layer: str | None = None
    aoi_where: str | None = None
    sensor: str = "auto"
    sensor_bands: tuple[str, ...] = ()
    coregister: Coregister = "auto"
    seed: int = 0
    strict: bool = False


@dataclass(frozen=True)
class LeftOut:
    """A file that is in no pair, and why.

    Attributes:
        path: the file.
        reason: why.
        unpaired: it looks like the MS or the PAN of a scene that is missing now.
    """

    path: str
    reason: str
    unpaired: bool = False


@dataclass(frozen=True)
class PairTable:
    """The scenes of an archive.

    Attributes:
        pairs: by id.
        left_out: every other raster.
    """

    pairs: tuple[SceneFiles, ...]
    left_out: tuple[LeftOut, ...] = ()

    def checked(self, path: Path) -> PairTable:
        """The table, if it has a pair.

        Raises:
            InputError: it has none.
        """
        if not self.pairs:
            first = "".join(f"; {item.path}: {item.reason}" for item in (self.unpaired or self.left_out)[:2])
            raise InputError(f"{path} holds no pair of MS and PAN{first}")
        return self

    @property
    def unpaired(self) -> tuple[LeftOut, ...]:
        """The files that look like half a pair."""
        return tuple(item for item in self.left_out if item.unpaired)

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        pairs = [{"id": p.id, **p.as_json(), "reason": p.reason} for p in self.pairs]
        return {"pairs": pairs, "left_out": plain(self.left_out)}

    def as_csv(self) -> str:
        """A table that `find_pairs` reads; paths are absolute, so that it can lie anywhere."""
        rows = ([*(";".join(map(_absolute, names)) for names in (pair.ms, pair.pans)), pair.id] for pair in self.pairs)
        return table_text([["ms", "pan", "id"], *rows])


def _absolute(name: str) -> str:
    return name if is_address(name) else str(Path(name).absolute())


def is_address(name: str) -> bool:
    """Whether a name is an address on the network or a place in an archive, which is relative to nothing."""
    return "://" in name or name.startswith("/vsi")
