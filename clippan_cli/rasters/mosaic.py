"""Tiles of one image, read as one raster: a VRT of our own in memory, of files that were checked as if named."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from affine import Affine
from rasterio.enums import MaskFlags
from rasterio.io import MemoryFile

from clippan_cli.rasters.grids import GRID_TOLERANCE, corners_apart
from clippan_cli.rasters.metadata import named_domains
from clippan_models.errors import IncompatiblePairError

_APART = 0.5  # share of the smaller tile that two tiles may have in common; bands of one image share all of it
_GDAL_TYPES = {"uint8": "Byte", "uint16": "UInt16", "int16": "Int16", "float32": "Float32", "float64": "Float64"}
_DOMAINS_OF_TILES = ("RPC", "GEOLOCATION", "IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "OVERVIEWS", "TILING_SCHEME")


@dataclass(frozen=True)
class _Tile:
    """A tile, and where its upper left pixel lies on the mosaic."""

    dataset: Any
    col: int
    row: int

    @property
    def has_mask(self) -> bool:
        """Whether a mask, which is not alpha, says where there is image."""
        return has_mask_band(self.dataset)


def has_mask_band(dataset: Any) -> bool:
    """Whether a raster has a mask besides alpha and nodata."""
    flags = dataset.mask_flag_enums[0]
    return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags


def are_tiles(datasets: Sequence[Any]) -> bool:
    """Whether several rasters lie side by side, rather than one over the other as the bands of an image do."""
    if len(datasets) < 2 or any(dataset.transform.is_identity for dataset in datasets):
        return False
    boxes = [dataset.bounds for dataset in datasets]
    return all(_common_share(one, other) < _APART for one, other in itertools.combinations(boxes, 2))


def joined_tiles(names: Sequence[str], datasets: Sequence[Any], stack: ExitStack) -> tuple[Any, str]:
    """The tiles of one image as a raster, and a note on it; what lies between the tiles is invalid.

    Args:
        names: of the tiles, for messages.
        datasets: the open tiles.
        stack: closes the raster.

    Raises:
        IncompatiblePairError: the tiles are not those of one image.
    """
    first = datasets[0]
    for name, dataset in zip(names, datasets, strict=True):
        _check_same_kind(names[0], first, name, dataset)
    places = [_place_on(first, names[0], dataset, name) for name, dataset in zip(names, datasets, strict=True)]
    left, top = min(col for col, _ in places), min(row for _, row in places)
    tiles = [_Tile(d, col - left, row - top) for d, (col, row) in zip(datasets, places, strict=True)]
    width = max(tile.col + tile.dataset.width for tile in tiles)
    height = max(tile.row + tile.dataset.height for tile in tiles)
    document = _document(tiles, width, height, first.transform @ Affine.translation(left, top))
    memory = stack.enter_context(MemoryFile(tostring(document), ext=".vrt"))
    return (
        stack.enter_context(memory.open(driver="VRT")),
        f"{names[0]} and {len(names) - 1} more are tiles of one image of {width}x{height} pixels",
    )


def _common_share(one: Any, other: Any) -> float:
    """What two boxes share, of the smaller one."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.top, other.top) - max(one.bottom, other.bottom)
    smaller = min((box.right - box.left) * (box.top - box.bottom) for box in (one, other))
    return float(max(0.0, width) * max(0.0, height) / smaller)


def _check_same_kind(first_name: str, first: Any, name: str, dataset: Any) -> None:
    def kind(of: Any) -> dict[str, Any]:
        return {
            "CRS": of.crs,
            "type": of.dtypes[0],
            "number of bands": of.count,
            "nodata": of.nodatavals,
            "colours": [colour.name for colour in of.colorinterp],
        }

    for what, value in kind(dataset).items():
        usual = kind(first)[what]
        if repr(value) != repr(usual):  # NaN, as nodata, does not equal itself
            raise IncompatiblePairError(
                f"{name} and {first_name} lie side by side but are no tiles of one image: their {what} differs, "
                f"{value} and {usual}"
            )


def _place_on(first: Any, first_name: str, dataset: Any, name: str) -> tuple[int, int]:
    """Column and row of a tile in the pixels of the first one.

    Raises:
        IncompatiblePairError: its pixels are not those of the same grid.
    """
    to_first = ~first.transform @ dataset.transform
    left, top = (round(value) for value in to_first @ (0, 0))
    off = corners_apart(to_first, Affine.translation(left, top), dataset.width, dataset.height)
    if off > GRID_TOLERANCE:
        raise IncompatiblePairError(
            f"{name} lies on another grid than {first_name}, by up to {off:.3g} pixels: they cannot be joined as tiles "
            "of one image; resample them to one grid with gdalwarp"
        )
    return left, top


def _document(tiles: Sequence[_Tile], width: int, height: int, transform: Affine) -> Element:
    """The VRT, with what all tiles say of themselves."""
    datasets = [tile.dataset for tile in tiles]
    first = datasets[0]
    root = Element("VRTDataset", rasterXSize=str(width), rasterYSize=str(height))
    if first.crs is not None:
        SubElement(root, "SRS").text = first.crs.to_wkt()
    SubElement(root, "GeoTransform").text = ", ".join(repr(float(value)) for value in transform.to_gdal())
    _add_tags(root, datasets, 0)
    for band in first.indexes:
        _add_band(root, tiles, band)
    if first.nodatavals[0] is None or any(tile.has_mask for tile in tiles):
        mask = SubElement(SubElement(root, "MaskBand"), "VRTRasterBand", dataType="Byte")
        for tile in tiles:
            _add_mask(mask, tile)
    return root


def _add_band(root: Element, tiles: Sequence[_Tile], band: int) -> None:
    first = tiles[0].dataset
    element = SubElement(root, "VRTRasterBand", dataType=_GDAL_TYPES[first.dtypes[band - 1]], band=str(band))
    _add_tags(element, [tile.dataset for tile in tiles], band)
    nodata = first.nodatavals[band - 1]
    described = {
        "Description": first.descriptions[band - 1],
        "UnitType": first.units[band - 1],
        "Offset": repr(float(first.offsets[band - 1])),
        "Scale": repr(float(first.scales[band - 1])),
        "ColorInterp": first.colorinterp[band - 1].name.capitalize(),
        "NoDataValue": None if nodata is None else repr(float(nodata)),
    }
    for name, text in described.items():
        if text:
            SubElement(element, name).text = text
    for tile in tiles:
        _add_source(element, tile, str(band), {} if nodata is None else {"NODATA": repr(float(nodata))})


def _add_mask(element: Element, tile: _Tile) -> None:
    """255 where the tile lies, or where its own mask says that there is image."""
    if tile.has_mask:
        _add_source(element, tile, "mask,1", {"NODATA": "0"})
    else:
        _add_source(element, tile, "1", {"ScaleOffset": "255", "ScaleRatio": "0"})


def _add_source(element: Element, tile: _Tile, band: str, how: dict[str, str]) -> None:
    """A tile as a source that leaves alone, in an overlap, what another has put where this one is invalid."""
    source = SubElement(element, "ComplexSource")
    SubElement(source, "SourceFilename", relativeToVRT="0").text = _place_of(tile.dataset)
    SubElement(source, "SourceBand").text = band
    size = {"xSize": str(tile.dataset.width), "ySize": str(tile.dataset.height)}
    SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0", **size})
    SubElement(source, "DstRect", {"xOff": str(tile.col), "yOff": str(tile.row), **size})
    for name, text in how.items():
        SubElement(source, name).text = text


def _place_of(dataset: Any) -> str:
    """Where GDAL finds a file, whatever the working folder."""
    return os.path.abspath(dataset.name) if os.path.exists(dataset.name) else str(dataset.files[0])


def _add_tags(element: Element, datasets: Sequence[Any], band: int) -> None:
    """The tags that all tiles have alike, of the images or of a band of them."""
    first = datasets[0]
    for domain in ["", *named_domains(first, band)]:
        if domain in _DOMAINS_OF_TILES:
            continue
        others = [dataset.tags(band, ns=domain or None) for dataset in datasets]
        common = {key: text for key, text in others[0].items() if all(tags.get(key) == text for tags in others)}
        if common:
            group = SubElement(element, "Metadata", {"domain": domain} if domain else {})
            for key, text in common.items():
                SubElement(group, "MDI", key=key).text = text
