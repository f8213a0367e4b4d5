"""The raster to write and what comes with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypedDict

from clippan_cli.options.flags import OUTPUT, OptionalPath, filled
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.writing.options import DataType, Driver, OutputOptions
from clippan_models.errors import UsageError


class PixelFlags(TypedDict, total=False):
    """What is written of a result: which bands, and in which values."""

    bands: Annotated[
        list[str] | str | Sequence[int | str] | None,
        OUTPUT.flag(
            SharpenOptions.bands,
            "N|NAME,...",
            "MS bands to write, in this order, by number or name, e.g. red,green,blue; can be repeated.",
            "-b",
        ),
    ]
    dtype: Annotated[
        DataType | None,
        OUTPUT.flag(
            OutputOptions.dtype,
            "TYPE",
            "Type of the pixels, which clips their values: uint8, uint16, int16 or float32; that of MS if not given.",
            any_case=True,
        ),
    ]
    scale_to: Annotated[
        str | Sequence[float] | None,
        OUTPUT.flag(OutputOptions.scale_to, "LOW,HIGH", "Scale the values linearly to this range, e.g. 1,255."),
    ]
    scale_from: Annotated[
        str | Sequence[float] | None,
        OUTPUT.flag(
            OutputOptions.scale_from,
            "LOW,HIGH",
            "The values that become those of --scale-to; if not given, 0 and the largest value that the bits of MS or "
            "its sensor allow.",
        ),
    ]


class OverwriteFlag(TypedDict, total=False):
    """Of commands that write."""

    overwrite: Annotated[bool, OUTPUT.flag(OutputOptions.overwrite, None, "Replace an existing output.")]


class _EncodingFlags(TypedDict, total=False):
    of: Annotated[Driver, OUTPUT.flag(OutputOptions.driver, "cog|gtiff", "Output format.", any_case=True)]
    compress: Annotated[str, OUTPUT.flag(OutputOptions.compress, "NAME", "deflate, zstd, lzw, none ...", any_case=True)]
    co: Annotated[
        list[str] | Mapping[str, Any] | None, OUTPUT.flag(None, "KEY=VALUE", "GDAL creation option; can be repeated.")
    ]


class EncodingFlags(_EncodingFlags, OverwriteFlag, total=False):
    """Of commands that write rasters."""


class QuicklookFlag(TypedDict, total=False):
    """Of `sharpen`."""

    quicklook: Annotated[OptionalPath, OUTPUT.flag(SharpenOptions.quicklook, "FILE.png", "Draw PAN, MS and result.")]


class StacFlag(TypedDict, total=False):
    """Of commands that sharpen."""

    stac: Annotated[bool, OUTPUT.flag(False, None, "Write a STAC item beside the result, named like it.")]


class QualityFlag(TypedDict, total=False):
    """Of commands that sharpen."""

    quality: Annotated[bool, OUTPUT.flag(SharpenOptions.assess, None, "Measure the result when it is done.")]


def encoding_options(given: Mapping[str, Any]) -> OutputOptions:
    """How the output is encoded.

    Raises:
        UsageError: an unknown format, or a creation option without a value.
    """
    options, pixels = filled(EncodingFlags, given), filled(PixelFlags, given)
    return OutputOptions(
        driver=options["of"],
        compress=options["compress"],
        creation_options=_creation_options(options["co"] or []),
        overwrite=options["overwrite"],
        dtype=pixels["dtype"],
        scale_to=_range(pixels, "scale_to"),
        scale_from=_range(pixels, "scale_from"),
    )


def band_numbers(bands: str | Sequence[int] | None, option: str = "bands") -> tuple[int, ...] | None:
    """The numbers in "3,2,1", or in a sequence of them.

    Raises:
        UsageError: something is not a number.
    """
    if bands is None:
        return None
    try:
        return tuple(int(part) for part in (bands.replace(",", " ").split() if isinstance(bands, str) else bands))
    except ValueError as error:
        raise UsageError(f"{bands}: must be band numbers separated by commas, e.g. 3,2,1", option) from error


def band_choices(bands: str | Sequence[int | str] | None) -> tuple[int | str, ...] | None:
    """The numbers and names in "3,2,1" or "red,green", or in a sequence of such texts and of numbers."""
    if bands is None:
        return None
    listed = [bands] if isinstance(bands, str) else bands
    texts = [part.strip() for each in listed for part in str(each).split(",")]
    choices: list[int | str] = []
    for text in filter(None, texts):
        numbers = text.split()
        choices += map(int, numbers) if all(map(_is_whole, numbers)) else [text]
    return tuple(choices)


def _is_whole(text: str) -> bool:
    return text.lstrip("+-").isdecimal() and text.isascii()


def _range(options: Mapping[str, Any], option: str) -> tuple[float, float] | None:
    value = options[option]
    if value is None:
        return None
    parts = value.replace(",", " ").split() if isinstance(value, str) else value
    try:
        low, high = map(float, parts)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{value}: must be two numbers: LOW,HIGH", option) from error
    if not -math.inf < low < high < math.inf:
        raise UsageError(f"{value}: LOW must be less than HIGH", option)
    return low, high


def _creation_options(given: Sequence[str] | Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Keys and values, of a mapping or of texts KEY=VALUE."""
    if isinstance(given, Mapping):
        return tuple((key, str(value)) for key, value in given.items())
    parsed = []
    for pair in given:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"{pair}: must be KEY=VALUE", "co")
        parsed.append((key, value))
    return tuple(parsed)
