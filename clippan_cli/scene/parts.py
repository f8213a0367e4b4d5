"""Images that come in several files: as tiles, such as R1C1, or with a file for each band, as some products do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from clippan_cli.scene.files import LeftOut
from clippan_cli.scene.names import name_without_role, tile_of, with_tile, without_tile
from clippan_models.errors import ClippanError, InputError, in_one_line


@dataclass(frozen=True)
class Image:
    """An image that can be half of a pair.

    Attributes:
        path: its file, or what this could be called if the image were in one.
        key: what the names of the images of one scene have in common.
        bands: how many.
        pixel: their size in metres.
        area: what it covers; empty without a CRS.
        time: when it was taken.
        files: its file, its tiles, or the files of its bands in order.
    """

    path: Path
    key: str
    bands: int
    pixel: float
    area: BaseGeometry
    time: datetime | None
    files: tuple[Path, ...]

    @property
    def in_tiles(self) -> bool:
        """Whether it is named as a tile, or consists of tiles."""
        return any(tile_of(file.name) is not None for file in self.files)

    def left_out(self, reason: str, *, unpaired: bool) -> list[LeftOut]:
        """Each of its files as one that is in no pair."""
        return [LeftOut(str(file), reason, unpaired) for file in self.files]


Look = Callable[[Sequence[Path]], Image]
"""Opens files as one image; raises a `ClippanError` where they are none."""


@dataclass
class Joined:
    """Images whose parts were joined, and the files that are part of none.

    Attributes:
        images: whole ones.
        left_out: files with the reason, among them parts that are missing.
    """

    images: list[Image] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


@dataclass(frozen=True)
class _Product:
    """How the files of a product with a file for each band are named.

    Attributes:
        name: of a file without its ending: the name of the product, and that of the band.
        ms: the bands that MS needs.
        all_ms: all that MS has where they are there, in order.
        pan: the band that is PAN.
        has_others: all files whose names begin with that of the product belong to it: further bands, and masks.
    """

    name: re.Pattern[str]
    ms: tuple[str, ...]
    all_ms: tuple[str, ...]
    pan: str
    has_others: bool


def _named(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def landsat_bands(number: int) -> tuple[str, ...]:
    """The bands of MS of Landsat 7, 8 or 9, as the names of files call them."""
    return tuple(f"B{band}" for band in ((1, 2, 3, 4, 5, 7) if number == 7 else range(1, 8)))


_PRODUCTS = (
    _Product(
        _named(r"(L[CO]0?[89]\w*?)(?:_SR)?_(B\d+)"), ("B2", "B3", "B4", "B5"), landsat_bands(8), "B8", True
    ),  # Landsat
    _Product(_named(r"(LE0?7\w*?)(?:_SR)?_(B\d+)"), ("B1", "B2", "B3", "B4"), landsat_bands(7), "B8", True),
    _Product(_named(r"(.+_)([BGRNP])"), ("B", "G", "R", "N"), ("B", "G", "R", "N"), "P", False),  # KOMPSAT
)


def join_parts(images: Iterable[Image], look: Look) -> Joined:
    """Join tiles and bands; those that make no image together stay as they are."""
    joined = Joined()
    _join_tiles(images, look, joined)
    _join_bands(look, joined)
    joined.images.sort(key=lambda image: image.files)
    return joined


def _join_tiles(images: Iterable[Image], look: Look, joined: Joined) -> None:
    groups: dict[tuple[Path, int], dict[tuple[int, int], list[Image]]] = {}
    for image in images:
        if (place := tile_of(image.path.name)) is None:
            joined.images.append(image)
        else:
            groups.setdefault((without_tile(image.path), image.bands), {}).setdefault(place, []).append(image)
    for (path, bands), tiles in groups.items():
        every = [image for _, images_there in sorted(tiles.items()) for image in images_there]
        files = tuple(image.path for image in every)
        key = name_without_role(str(path))
        if len(every) == 1:
            joined.images.append(replace(every[0], key=key))
        elif len(every) > len(tiles) or (whole := _as_one(files, bands, look)) is None:
            joined.images += every
        else:
            area = unary_union([image.area for image in every])
            joined.images.append(replace(whole, path=path, key=key, area=area))
            joined.left_out += _missing(path, files[0], set(tiles))


def _as_one(files: Sequence[Path], bands: int, look: Look) -> Image | None:
    """Tiles as one image, which may tell more than each of them; None where they are none."""
    try:
        whole = look(files)
    except ClippanError:
        return None
    return whole if whole.bands == bands else None


def _missing(path: Path, tile: Path, there: set[tuple[int, int]]) -> list[LeftOut]:
    """The tiles that are not there, up to the last row and the last column of those that are."""
    rows, cols = (max(numbers) for numbers in zip(*there, strict=True))
    places = ((row, col) for row in range(1, rows + 1) for col in range(1, cols + 1))
    absent = [with_tile(tile, *place) for place in places if place not in there]
    reason = f"this tile is missing: only a part of {path.name} is there"
    return [LeftOut(str(file), reason, unpaired=True) for file in absent if not file.exists()]


def _join_bands(look: Look, joined: Joined) -> None:
    used: set[Path] = set()
    by_folder: dict[Path, list[Image]] = {}
    for image in joined.images:
        by_folder.setdefault(image.path.parent, []).append(image)
    for folder, images in by_folder.items():
        for (name, product), bands in _products_of(images).items():
            ms = [bands[band] for band in product.all_ms if band in bands]
            absent = [band for band in product.ms if band not in bands]
            if not ms or (absent and product.pan not in bands):
                continue
            used.update(image.path for image in ms)
            try:
                if absent:
                    raise InputError(f"there is no band {' and no band '.join(absent)} of {name}")
                whole = look([image.path for image in ms])
            except ClippanError as error:
                joined.left_out += [LeftOut(str(image.path), in_one_line(error), unpaired=True) for image in ms]
                continue
            path = folder / (name.rstrip("_-") + ms[0].path.suffix)
            joined.images.append(replace(whole, path=path, key=name_without_role(str(path))))
            if product.has_others:
                pan, start = bands.get(product.pan), f"{name}_"
                others = [i for i in images if i.path.stem.startswith(start) and i is not pan and i.path not in used]
                used.update(image.path for image in others)
                reason = f"it is neither PAN nor one of the bands that are taken as MS of {name}"
                joined.left_out += [item for image in others for item in image.left_out(reason, unpaired=False)]
    joined.images = [image for image in joined.images if image.path not in used]


def _products_of(images: Iterable[Image]) -> dict[tuple[str, _Product], dict[str, Image]]:
    """The images that are bands, by the name of their product, and then that of the band."""
    found: dict[tuple[str, _Product], dict[str, Image]] = {}
    for image in images:
        for product in _PRODUCTS:
            if image.bands == 1 and (match := product.name.fullmatch(image.path.stem)):
                found.setdefault((match[1], product), {})[match[2].upper()] = image
                break
    return found
