"""The index beside the tiles of an image: a DIMAP XML or a .TIL that lists them, and describes the image as a whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from affine import Affine
from rasterio.enums import ColorInterp

from clippan_cli.rasters.dimap import files_of_product
from clippan_cli.rasters.grids import GRID_TOLERANCE, corners_apart, same_crs
from clippan_cli.rasters.mosaic import has_mask_band
from clippan_cli.rasters.names import is_remote
from clippan_cli.rasters.places import is_file, names_in
from clippan_cli.rasters.til import tiles_of
from clippan_cli.rasters.zipped import archive_of
from clippan_models.errors import InputError, in_one_line

_ENDINGS_IN_ZIP = (".xml", ".dim")
_ENDINGS = (".til", *_ENDINGS_IN_ZIP)


def read_by_index(
    names: Sequence[str], tiles: Sequence[Any], mosaic: Any, open_raster: Callable[[str], Any], stack: ExitStack
) -> tuple[Any, str]:
    """Some tiles as the index beside them describes them, if that is what they show when joined, and a note.

    Args:
        names: of the tiles.
        tiles: the open tiles.
        mosaic: the tiles joined.
        open_raster: opens a file that the user may read; raises `InputError`.
        stack: closes what is opened.

    Returns:
        The image, None where no index can stand for the tiles, and a note, empty where there is no index.
    """
    for path in _files_beside(names):
        try:
            listed = _listed(path)
            if listed.isdisjoint(map(os.path.realpath, names)):
                continue
            dataset = stack.enter_context(open_raster(path))
            reason = _wrong_list(listed, names) or _what_differs(dataset, mosaic, tiles)
        except InputError as error:
            reason = f"cannot be read: {in_one_line(error)}"
        if reason:
            return None, f"the index {path} is passed over, as it {reason}"
        return dataset, f"{names[0]} and {len(names) - 1} more are tiles, read as one image by their index {path}"
    return None, ""


def _files_beside(names: Sequence[str]) -> Iterator[str]:
    """The files in the folder of some tiles that are called like an index."""
    folder = os.path.dirname(names[0])
    if is_remote(names[0]):
        return
    endings = _ENDINGS_IN_ZIP if archive_of(folder) else _ENDINGS
    for name in sorted(names_in(folder)):
        path = os.path.join(folder, name)
        if Path(name).suffix.lower() in endings and is_file(path):
            yield path


def _listed(path: str) -> frozenset[str]:
    """The real paths of the images that an index names itself; none where it is no index, or one of other indexes."""
    product = files_of_product(path)
    images = () if product.documents else product.images
    return frozenset(map(os.path.realpath, (*images, *(tile.path for tile in tiles_of(path)))))


def _wrong_list(listed: frozenset[str], names: Sequence[str]) -> str:
    """Which tiles an index does not list, or lists beside these; empty where it lists them all and no others."""
    named = set(map(os.path.realpath, names))
    for wrong, how in ((named - listed, "does not list"), (listed - named, "lists, besides them,")):
        if wrong:
            return f"{how} {', '.join(sorted(Path(name).name for name in wrong))}"
    return ""


def _what_differs(dataset: Any, mosaic: Any, tiles: Sequence[Any]) -> str:
    """Why the image of an index is not that of its tiles; empty where it is."""
    shape, joined = ((d.width, d.height, d.count, d.dtypes[0]) for d in (dataset, mosaic))
    if shape != joined:
        return "describes {}x{} pixels in {} bands of {}, but the tiles are {}x{} in {} of {}".format(*shape, *joined)
    apart = corners_apart(~mosaic.transform @ dataset.transform, Affine.identity(), mosaic.width, mosaic.height)
    if not same_crs(dataset.crs, mosaic.crs) or apart > GRID_TOLERANCE:
        return "puts the image elsewhere than the tiles lie"
    hides_other = mosaic.nodatavals[0] is not None and repr(mosaic.nodatavals) != repr(dataset.nodatavals)
    gaps = sum(tile.width * tile.height for tile in tiles) < mosaic.width * mosaic.height
    hides_less = (any(map(has_mask_band, tiles)) and not has_mask_band(dataset)) or _alphas(mosaic) != _alphas(dataset)
    if hides_other or hides_less or (gaps and dataset.nodatavals[0] is None):
        return "does not tell where the tiles hold no data"
    return ""


def _alphas(dataset: Any) -> list[bool]:
    return [colour == ColorInterp.alpha for colour in dataset.colorinterp]
