"""What a raster says beside its pixels, and how MS and PAN share it in the output.

Copying a rasterio profile loses all of this, so every item is copied by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from clippan_cli.rasters.options import Declared
from clippan_models.outside import parse_json

Tags = Mapping[str, str]

DEFAULT_DOMAIN = ""
PROVENANCE_DOMAIN = "CLIPPAN"

# GDAL derives these from the file itself, or they describe the pixel grid of the file they are in. IMD is left out
# because GDAL cannot store it inside a GeoTIFF: it would leave an .IMD file beside the output. The provenance of an
# input that clippan made is not that of the output.
_DOMAINS_LEFT_BEHIND = frozenset(
    {
        "IMAGE_STRUCTURE",
        "DERIVED_SUBDATASETS",
        "SUBDATASETS",
        "RPC",
        "GEOLOCATION",
        "TILING_SCHEME",
        "COLOR_PROFILE",
        "EXIF",
        "IMD",
        PROVENANCE_DOMAIN,
    }
)
# True of the old file only. NODATA_VALUES would even make GDAL mask pixels of the output.
_TAGS_OF_OLD_FILE = (
    "STATISTICS_",
    "TIFFTAG_MINSAMPLEVALUE",
    "TIFFTAG_MAXSAMPLEVALUE",
    "TIFFTAG_SOFTWARE",
    "NODATA_VALUES",
    "OVR_",
)
_TAGS_OF_THE_GRID = ("TIFFTAG_XRESOLUTION", "TIFFTAG_YRESOLUTION", "TIFFTAG_RESOLUTIONUNIT")
_AREA_OR_POINT = "AREA_OR_POINT"
_PRIMARIES = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
_NO_SPECTRAL_MEANING = frozenset({ColorInterp.alpha, ColorInterp.palette})


@dataclass(frozen=True)
class RasterMetadata:
    """Everything of a raster that has to survive beside its pixels; per-band items have one entry per band.

    Attributes:
        descriptions: name of each band, None where it has none.
        colors: colour interpretation of each band, never alpha.
        scales: physical value = DN * scale + offset.
        offsets: see `scales`.
        units: unit of the physical value of each band, None where unknown.
        band_tags: for each band, metadata domain -> tags; the default domain is `""`.
        dataset_tags: metadata domain -> tags of the whole raster.
        area_or_point: "Area" or "Point" as the file says, None if it does not. It never moves a pixel: GDAL has
            already taken it into account in the geotransform.
        rpcs: rational polynomial coefficients in the pixel coordinates of this raster.
        gcps: ground control points in the pixel coordinates of this raster.
        gcps_crs: CRS of the ground control points.
        nbits: bits in use per sample when fewer than the data type has, e.g. 11 of 16.
        nodata: value of invalid pixels; None when there is none or the bands disagree.
    """

    descriptions: tuple[str | None, ...]
    colors: tuple[ColorInterp, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    units: tuple[str | None, ...]
    band_tags: tuple[Mapping[str, Tags], ...]
    dataset_tags: Mapping[str, Tags]
    area_or_point: str | None = None
    rpcs: RPC | None = None
    gcps: tuple[GroundControlPoint, ...] = ()
    gcps_crs: CRS | None = None
    nbits: int | None = None
    nodata: float | None = None

    @property
    def bands(self) -> int:
        """Number of bands."""
        return len(self.descriptions)


def named_domains(dataset: Any, band: int = 0) -> list[str]:
    """The domains of tags of a band, or of the dataset for band 0, without the default one.

    A domain called xml:something holds one document instead of tags.
    """
    return [domain for domain in dataset.tag_namespaces(band) if not domain.startswith("xml:")]


def read_metadata(dataset: Any, bands: Sequence[int]) -> RasterMetadata:
    """Read the metadata of some bands, counted from 1, of an open rasterio dataset.

    A band that the file calls alpha but the caller lists as image becomes a band of undefined colour: writers that
    know only RGBA label the near infrared so.
    """
    gcps, gcps_crs = dataset.gcps
    return RasterMetadata(
        descriptions=tuple(dataset.descriptions[band - 1] or None for band in bands),
        colors=tuple(_spectral_color(dataset.colorinterp[band - 1]) for band in bands),
        scales=tuple(float(dataset.scales[band - 1]) for band in bands),
        offsets=tuple(float(dataset.offsets[band - 1]) for band in bands),
        units=tuple(dataset.units[band - 1] or None for band in bands),
        band_tags=tuple(_read_domains(dataset, band) for band in bands),
        dataset_tags=_read_domains(dataset, 0),
        area_or_point=dataset.tags().get(_AREA_OR_POINT),
        rpcs=dataset.rpcs,
        gcps=tuple(gcps),
        gcps_crs=gcps_crs,
        nbits=_common_nbits(dataset, bands),
        nodata=_common_nodata(dataset, bands),
    )


def origin_of(tags: Tags) -> frozenset[str]:
    """The names of the files that an image was made of, by its tags of provenance, as far as they are names.

    Args:
        tags: of `PROVENANCE_DOMAIN`.
    """
    names: list[Any] = [tags.get("PAN")]
    for key in ("MS", "PAN_TILES"):
        with suppress(ValueError):
            listed = parse_json(tags.get(key, "[]"))
            names += listed if isinstance(listed, list) else []
    return frozenset(name for name in names if isinstance(name, str))


def join(parts: Sequence[RasterMetadata]) -> RasterMetadata:
    """The metadata of an image whose bands lie in several rasters on one grid, in the order given.

    What all rasters say alike of themselves is true of the image; what only some say becomes a tag of their bands.
    """
    first = parts[0]
    common = {
        domain: {k: v for k, v in tags.items() if all(p.dataset_tags.get(domain, {}).get(k) == v for p in parts)}
        for domain, tags in first.dataset_tags.items()
    }
    return replace(
        first,
        descriptions=tuple(text for part in parts for text in part.descriptions),
        colors=each_once([color for part in parts for color in part.colors]),
        scales=tuple(scale for part in parts for scale in part.scales),
        offsets=tuple(offset for part in parts for offset in part.offsets),
        units=tuple(unit for part in parts for unit in part.units),
        band_tags=tuple(tags for part in parts for tags in _with_own_tags(part, common)),
        dataset_tags={domain: tags for domain, tags in common.items() if tags},
        nbits=first.nbits if len({part.nbits for part in parts}) == 1 else None,
    )


def as_product_says(of_bands: RasterMetadata, declared: Declared) -> RasterMetadata:
    """The metadata of bands with the names and scales that their product declares, where it does."""
    return replace(
        of_bands,
        descriptions=declared.names or of_bands.descriptions,
        scales=declared.scales or of_bands.scales,
        offsets=declared.offsets or of_bands.offsets,
    )


def combine(ms: RasterMetadata, pan: RasterMetadata, pan_origin: tuple[int, int]) -> RasterMetadata:
    """The metadata of an image with the bands of MS on a part of the grid of PAN.

    Bands and tags come from MS, since the output holds its spectral bands in its DN. What speaks of the pixel grid
    comes from PAN, or is dropped where PAN is silent: the RPCs, GCPs and resolution tags of MS would be lies here.

    Args:
        ms: metadata of the MS bands in the order of the output.
        pan: metadata of PAN.
        pan_origin: row and column of PAN that become the upper left pixel of the output.
    """
    row, col = pan_origin
    return replace(
        ms,
        dataset_tags=_combine_dataset_tags(ms.dataset_tags, pan.dataset_tags),
        area_or_point=pan.area_or_point,
        rpcs=None if pan.rpcs is None else _shift_rpcs(pan.rpcs, row, col),
        gcps=tuple(_shift_gcp(gcp, row, col) for gcp in pan.gcps),
        gcps_crs=pan.gcps_crs,
    )


def write_metadata(dataset: Any, metadata: RasterMetadata) -> None:
    """Write metadata into a GeoTIFF open for writing, before its first pixel.

    NBITS and nodata are choices of the moment of creation and are not written here. GCPs are written only to a
    dataset without geotransform, because a GeoTIFF holds one or the other. GeoTIFF renumbers GCPs and drops their
    notes.
    """
    # Colours first: they decide the photometric tag, which is fixed with the first write.
    dataset.colorinterp = metadata.colors
    if any(scale != 1.0 for scale in metadata.scales) or any(metadata.offsets):
        dataset.scales, dataset.offsets = metadata.scales, metadata.offsets
    per_band = zip(dataset.indexes, metadata.descriptions, metadata.units, metadata.band_tags, strict=True)
    for band, description, unit, tags in per_band:
        if description is not None:
            dataset.set_band_description(band, description)
        if unit is not None:
            dataset.set_band_unit(band, unit)
        _write_domains(dataset, band, tags)
    _write_domains(dataset, 0, metadata.dataset_tags)
    _write_georeferencing(dataset, metadata)


def _write_georeferencing(dataset: Any, metadata: RasterMetadata) -> None:
    writes_gcps = bool(metadata.gcps) and dataset.transform.is_identity
    if metadata.rpcs is not None:
        dataset.rpcs = metadata.rpcs
    if writes_gcps:
        dataset.gcps = (list(metadata.gcps), metadata.gcps_crs)
    if metadata.area_or_point is not None:
        # GDAL moves GCPs by a pixel when it writes and reads back a GeoTIFF marked Point (seen with 3.10). The GCPs
        # here are already in GDAL's own convention, which is that of Area.
        dataset.update_tags(**{_AREA_OR_POINT: "Area" if writes_gcps else metadata.area_or_point})


def _with_own_tags(part: RasterMetadata, common: Mapping[str, Tags]) -> tuple[dict[str, Tags], ...]:
    """The tags of the bands of a raster, and what it alone says of itself where a band does not speak."""
    own = {
        domain: {k: v for k, v in tags.items() if k not in common.get(domain, {})}
        for domain, tags in part.dataset_tags.items()
    }
    return tuple(
        {
            domain: {**own.get(domain, {}), **tags.get(domain, {})}
            for domain in (*tags, *own)
            if own.get(domain) or tags.get(domain)
        }
        for tags in part.band_tags
    )


def each_once(colors: Sequence[ColorInterp]) -> tuple[ColorInterp, ...]:
    """Colours of bands; red, green and blue are undefined where two bands have them, as then they say nothing."""
    twice = {color for color in _PRIMARIES if list(colors).count(color) > 1}
    return tuple(ColorInterp.undefined if color in twice else color for color in colors)


def _spectral_color(color: ColorInterp) -> ColorInterp:
    return ColorInterp.undefined if color in _NO_SPECTRAL_MEANING else color


def _read_domains(dataset: Any, band: int) -> dict[str, dict[str, str]]:
    """All tags worth keeping of a band, or of the dataset for band 0; domains without any are left out."""
    domains = sorted({DEFAULT_DOMAIN, *named_domains(dataset, band)} - _DOMAINS_LEFT_BEHIND)
    tags = {name: _lasting(dataset.tags(band, ns=name or None)) for name in domains}
    return {name: found for name, found in tags.items() if found}


def _lasting(tags: Tags) -> dict[str, str]:
    """The tags that stay true when the pixels change; AREA_OR_POINT is kept apart."""
    return {
        key: value for key, value in tags.items() if key != _AREA_OR_POINT and not key.startswith(_TAGS_OF_OLD_FILE)
    }


def _write_domains(dataset: Any, band: int, domains: Mapping[str, Tags]) -> None:
    for domain, tags in domains.items():
        # rasterio takes tags as keyword arguments, where these two names are taken.
        writable = {key: value for key, value in tags.items() if key not in ("bidx", "ns")}
        dataset.update_tags(band, ns=domain or None, **writable)


def _common_nbits(dataset: Any, bands: Sequence[int]) -> int | None:
    found = {dataset.tags(band, ns="IMAGE_STRUCTURE").get("NBITS") for band in bands}
    nbits = found.pop() if len(found) == 1 else None
    return None if nbits is None else int(nbits)


def _common_nodata(dataset: Any, bands: Sequence[int]) -> float | None:
    values = [dataset.nodatavals[band - 1] for band in bands]
    agree = len({repr(value) for value in values}) == 1  # by repr, since NaN equals no NaN
    return float(values[0]) if agree and values[0] is not None else None


def _combine_dataset_tags(ms: Mapping[str, Tags], pan: Mapping[str, Tags]) -> dict[str, Tags]:
    of_ms = {key: value for key, value in ms.get(DEFAULT_DOMAIN, {}).items() if key not in _TAGS_OF_THE_GRID}
    of_pan = {key: value for key, value in pan.get(DEFAULT_DOMAIN, {}).items() if key in _TAGS_OF_THE_GRID}
    # The acquisition (satellite, time, clouds) is the same for both images, so PAN may speak where MS does not.
    acquisition = {domain: tags for domain, tags in pan.items() if domain == "IMAGERY"}
    combined: dict[str, Tags] = {**acquisition, **ms, DEFAULT_DOMAIN: of_ms | of_pan}
    return {domain: tags for domain, tags in combined.items() if tags}


def _shift_rpcs(rpcs: RPC, row: int, col: int) -> RPC:
    shifted = {**rpcs.to_dict(), "line_off": rpcs.line_off - row, "samp_off": rpcs.samp_off - col}
    return RPC(**shifted)


def _shift_gcp(gcp: GroundControlPoint, row: int, col: int) -> GroundControlPoint:
    return GroundControlPoint(gcp.row - row, gcp.col - col, gcp.x, gcp.y, gcp.z, gcp.id, gcp.info)
