"""Which files make a scene, and how to read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict, get_args

from clippan_cli.options.compute import RamFlag
from clippan_cli.options.flags import COMPUTE, MESSAGES, REGION, SCENE, OptionalPath, filled
from clippan_cli.options.output import band_numbers
from clippan_cli.rasters.options import LARGEST_BLOCK, Extent, Nodata, PairOptions, QualityMask, Trust
from clippan_cli.running.options import ComputeOptions
from clippan_cli.scene.files import Coregister, ReadOptions
from clippan_models.errors import UsageError


class SeedFlag(TypedDict, total=False):
    """Of commands that draw at random."""

    seed: Annotated[int, COMPUTE.flag(ReadOptions.seed, "N", "Seed of all random choices.")]


class SensorFlag(TypedDict, total=False):
    """Of every command that reads a scene."""

    sensor: Annotated[
        str,
        SCENE.flag(
            ReadOptions.sensor,
            "auto|NAME|FILE.toml",
            "Sensor whose MTF is used where it cannot be estimated from the pair.",
        ),
    ]
    sensor_bands: Annotated[
        str | Sequence[str] | None,
        SCENE.flag(
            None, "NAME,NAME,...", "Which of the sensor's bands those of MS are, in their order, e.g. blue,green,red."
        ),
    ]


class CoregisterFlag(TypedDict, total=False):
    """Of commands that estimate how a scene was made."""

    coregister: Annotated[
        Coregister,
        SCENE.flag(
            ReadOptions.coregister,
            "auto|off",
            "Estimate and correct the shift of each MS band against PAN.",
            any_case=True,
        ),
    ]


class FileFlags(TypedDict, total=False):
    """Of every command that reads a scene."""

    pan_band: Annotated[
        int | None, SCENE.flag(PairOptions.pan_band, "N", "Band of the PAN file, where it has several.")
    ]
    assume_aligned: Annotated[
        bool,
        SCENE.flag(
            PairOptions.assume_aligned,
            None,
            "If no georeferencing relates MS and PAN, or only rounded corners do, assume that they begin at the same "
            "upper left corner.",
        ),
    ]
    allow_vrt: Annotated[bool, SCENE.flag(Trust.vrt, None, "Read VRT files; they can read any other file.")]
    allow_remote: Annotated[bool, SCENE.flag(Trust.remote, None, "Read https://, s3:// and /vsicurl/ paths.")]


class NodataFlags(TypedDict, total=False):
    """Of every command that reads the pixels of a pair."""

    nodata: Annotated[
        str | float | None,
        SCENE.flag(
            None,
            "VALUE|none",
            "Value of pixels without data in MS and PAN, whatever the files declare; none: no value.",
        ),
    ]
    ms_nodata: Annotated[str | float | None, SCENE.flag(None, "VALUE|none", "As --nodata, for MS alone.")]
    pan_nodata: Annotated[str | float | None, SCENE.flag(None, "VALUE|none", "As --nodata, for PAN alone.")]
    quality_mask: Annotated[
        QualityMask,
        SCENE.flag(
            PairOptions.quality_mask,
            "fill|saturation|none",
            "What the quality rasters of a product mask: fill; also saturated pixels; or nothing.",
        ),
    ]


class MsBandsFlag(TypedDict, total=False):
    """Of commands that compare images with MS."""

    ms_bands: Annotated[
        str | Sequence[int] | None,
        SCENE.flag(None, "N,N,...", "MS bands that the images hold, in their order; all if not given."),
    ]


class StrictFlag(TypedDict, total=False):
    """Of every command that warns of a scene."""

    strict: Annotated[
        bool, MESSAGES.flag(ReadOptions.strict, None, "Refuse, with exit code 4, what there is a warning about.")
    ]


class ReadFlags(SensorFlag, CoregisterFlag, FileFlags, NodataFlags, StrictFlag, total=False):
    """All about the files."""


class ExtentFlag(TypedDict, total=False):
    """Of commands that know the grid of the output."""

    extent: Annotated[
        Extent,
        REGION.flag(
            PairOptions.extent, "intersection|pan", "Output grid: the overlap with MS, or all of PAN.", any_case=True
        ),
    ]


class RegionFlags(ExtentFlag, total=False):
    """Of commands that take one scene."""

    bbox: Annotated[
        str | Sequence[float] | None,
        REGION.flag(ReadOptions.bbox, "L,B,R,T", "Only this box: left, bottom, right, top, with commas or spaces."),
    ]
    bbox_crs: Annotated[
        str | None, REGION.flag(ReadOptions.bbox_crs, "CRS", "CRS of --bbox, e.g. EPSG:4326; that of PAN if not given.")
    ]
    aoi: Annotated[
        OptionalPath,
        REGION.flag(
            ReadOptions.aoi, "FILE", "Only the polygons of this GeoJSON, Shapefile, GeoPackage or FlatGeobuf file."
        ),
    ]
    aoi_layer: Annotated[
        str | None, REGION.flag(ReadOptions.aoi_layer, "NAME", "Layer of --aoi, where the file has several.")
    ]
    aoi_where: Annotated[
        str | None,
        REGION.flag(ReadOptions.aoi_where, "SQL", 'Only the polygons of --aoi with these attributes, e.g. "id = 7".'),
    ]


class InfoFlags(ReadFlags, ExtentFlag, total=False):
    """The options of `info`."""


class _TrustFlags(FileFlags, RamFlag, total=False):
    """What `trust` takes."""


class _AllFlags(SeedFlag, ReadFlags, MsBandsFlag, RegionFlags, total=False):
    """What `read_options` takes."""


def read_options(given: Mapping[str, Any]) -> ReadOptions:
    """How to read a scene, or each of many.

    Raises:
        UsageError: the options contradict each other.
    """
    options = filled(_AllFlags, given)
    bbox, bbox_crs = options["bbox"], options["bbox_crs"]
    if bbox is not None and options["aoi"] is not None:
        raise UsageError("--bbox and --aoi both name a region; give one of them")
    if bbox_crs is not None and bbox is None:
        raise UsageError(f"--bbox-crs {bbox_crs} needs a --bbox")
    for name in ("aoi_layer", "aoi_where"):
        if options[name] is not None and options["aoi"] is None:
            raise UsageError(f"{options[name]}: needs an --aoi", name)
    one_of("extent", options["extent"], get_args(Extent))
    one_of("coregister", options["coregister"], get_args(Coregister))
    one_of("quality_mask", options["quality_mask"], get_args(QualityMask))
    return ReadOptions(
        pair=PairOptions(
            trust=trust(given),
            assume_aligned=options["assume_aligned"],
            pan_band=options["pan_band"],
            extent=options["extent"],
            ms_nodata=_nodata(options, "ms_nodata"),
            pan_nodata=_nodata(options, "pan_nodata"),
            ms_bands=band_numbers(options["ms_bands"], "ms_bands") or (),
            quality_mask=options["quality_mask"],
        ),
        bbox=_box(bbox) if bbox is not None else None,
        bbox_crs=bbox_crs,
        aoi=path_or_none(options["aoi"]),
        aoi_layer=options["aoi_layer"],
        aoi_where=options["aoi_where"],
        sensor=options["sensor"],
        sensor_bands=_names(options["sensor_bands"]),
        coregister=options["coregister"],
        seed=options["seed"],
        strict=options["strict"],
    )


def trust(given: Mapping[str, Any]) -> Trust:
    """What an input may be, and how large its blocks, by the memory that is given.

    Raises:
        UsageError: too little memory.
    """
    options = filled(_TrustFlags, given)
    fit = ComputeOptions(ram_mb=options["ram"]).block_bytes
    return Trust(options["allow_vrt"], options["allow_remote"], min(fit, LARGEST_BLOCK))


def one_of(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is not one of the choices.

    Raises:
        UsageError: it is not.
    """
    if value not in choices:
        raise UsageError(f"{value}: choose {' or '.join(choices)}", option)


def path_or_none(value: str | Path | None) -> Path | None:
    """A path that may be absent."""
    return None if value is None else Path(value)


def _nodata(options: Mapping[str, Any], option: str) -> Nodata:
    """What is said of one image, else of both."""
    option = option if options[option] is not None else "nodata"
    value = options[option]
    if value is None:
        return None
    if str(value).strip().lower() == "none":
        return "none"
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{value}: must be a number, nan, or none", option) from error


def _names(value: str | Sequence[str] | None) -> tuple[str, ...]:
    return tuple(value.replace(",", " ").split() if isinstance(value, str) else value or ())


def _box(value: str | Sequence[float]) -> tuple[float, float, float, float]:
    parts = value.replace(",", " ").split() if isinstance(value, str) else value
    try:
        left, bottom, right, top = (float(part) for part in parts)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{value}: must be four numbers: left,bottom,right,top", "bbox") from error
    return left, bottom, right, top
