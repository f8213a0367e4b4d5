"""Bands by name, and the colours that the names give to the bands of the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import rasterio
from rasterio.enums import ColorInterp

from tests.cli.conftest import Desk, RunMain

ORDER = ("Blue", "Green", "Red", "NIR")


def described(desk: Desk, names: tuple[str | None, ...], **profile: Any) -> str:
    path = desk.ms(bands=len(names), **profile)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = names
    return path


def bands_of(path: Path) -> tuple[tuple[str | None, ...], tuple[ColorInterp, ...]]:
    with rasterio.open(path) as dataset:
        return dataset.descriptions, dataset.colorinterp


@pytest.mark.parametrize("driver", ["gtiff", "cog"])
def test_names_give_colours(driver: str, desk: Desk, run_main: RunMain) -> None:
    assert run_main(desk.sharpen("--of", driver, ms=described(desk, ORDER))).code == 0
    colours = (ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.nir)
    assert bands_of(desk.out) == (ORDER, colours)


def test_the_names_of_the_sensor_give_colours(desk: Desk, run_main: RunMain) -> None:
    assert run_main(desk.sharpen("--sensor", "quickbird")).code == 0
    assert bands_of(desk.out)[1] == (ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.nir)


def test_what_the_file_says_stays(desk: Desk, run_main: RunMain) -> None:
    ms = described(desk, ("nir", "red", "green"), photometric="RGB")
    assert run_main(desk.sharpen(ms=ms)).code == 0
    assert bands_of(desk.out)[1] == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


def test_other_names_give_none(desk: Desk, run_main: RunMain) -> None:
    assert run_main(desk.sharpen(ms=described(desk, ("B1", "B2")))).code == 0
    assert set(bands_of(desk.out)[1]) <= {ColorInterp.gray, ColorInterp.undefined}


@pytest.mark.parametrize("argv", [["--bands", "red,green,4"], ["-b", "RED", "-b", "green", "-b", "nir"]])
def test_bands_by_name(argv: list[str], desk: Desk, run_main: RunMain) -> None:
    assert run_main(desk.sharpen(*argv, ms=described(desk, ORDER))).code == 0
    assert bands_of(desk.out)[0] == ("Red", "Green", "NIR")


def test_a_name_with_a_blank(desk: Desk, run_main: RunMain) -> None:
    ms = described(desk, ("blue", "near infrared"))
    assert run_main(desk.sharpen("--bands", "near infrared, blue", ms=ms)).code == 0
    assert bands_of(desk.out)[0] == ("near infrared", "blue")


@pytest.mark.parametrize(
    "names, wanted, words", [(ORDER, "swir", "1 (blue), 2 (green)"), (("a", "A"), "a", "several bands")]
)
def test_a_name_that_no_band_has_alone(
    names: tuple[str, ...], wanted: str, words: str, desk: Desk, run_main: RunMain
) -> None:
    outcome = run_main(desk.sharpen("--bands", wanted, ms=described(desk, names)))
    assert outcome.code == 2 and f"--bands {wanted}" in outcome.error_line and words in outcome.error_line
