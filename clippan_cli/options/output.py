"""The raster to write and what comes with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypedDict

from clippan_cli.options.flags import OUTPUT, OptionalPath, filled
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.writing.options import Driver, OutputOptions
from clippan_models.errors import UsageError


class BandsFlag(TypedDict, total=False):
    """Of `sharpen`."""

    bands: Annotated[
        list[str] | str | Sequence[int | str] | None,
        OUTPUT.flag(
            SharpenOptions.bands,
            "N|NAME,...",
            "MS bands to write, in this order, by number or name, e.g. red,green,blue; can be repeated.",
            "-b",
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


class QualityFlag(TypedDict, total=False):
    """Of commands that sharpen."""

    quality: Annotated[bool, OUTPUT.flag(SharpenOptions.assess, None, "Measure the result when it is done.")]


def encoding_options(given: Mapping[str, Any]) -> OutputOptions:
    """How the output is encoded.

    Raises:
        UsageError: an unknown format, or a creation option without a value.
    """
    options = filled(EncodingFlags, given)
    return OutputOptions(
        driver=options["of"],
        compress=options["compress"],
        creation_options=_creation_options(options["co"] or []),
        overwrite=options["overwrite"],
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
