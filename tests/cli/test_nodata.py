"""`--nodata`, `--ms-nodata` and `--pan-nodata`: on every command that opens pairs, and in Python."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

import clippan
from clippan_cli.options.scene import read_options
from clippan_cli.rasters.options import Nodata, PairOptions
from clippan_models.errors import InputError
from tests.cli.conftest import PAN_SIDE, RATIO, Desk, RunMain

SIDE = 3 * PAN_SIDE
SMALLEST = float(np.finfo(np.float32).min)
FAST = ["--method", "exp", "--sensor", "generic", "--coregister", "off", "--no-quality", "--of", "gtiff", "-j", "1"]


def half_filled(pixels: NDArray[Any], fill: float) -> NDArray[Any]:
    pixels[:, :, : pixels.shape[2] // 2] = fill
    return pixels


@pytest.fixture
def collar(desk: Desk) -> tuple[str, str]:
    """MS and PAN of whose left half no file says that it is fill."""
    ms, pan = desk.pixels(4, SIDE // RATIO), desk.pixels(1, SIDE)
    return desk.ms("a_ms.tif", pixels=half_filled(ms, 0)), desk.pan("a_pan.tif", pixels=half_filled(pan, 0))


@pytest.fixture
def floats(desk: Desk) -> tuple[str, str]:
    """The same in MS alone, with a value that nothing measures."""
    ms = half_filled(desk.pixels(4, SIDE // RATIO, "float32"), SMALLEST)
    return desk.ms("a_ms.tif", pixels=ms), desk.pan("a_pan.tif", side=SIDE)


def assert_half(path: Path) -> None:
    with rasterio.open(path) as dataset:
        valid = dataset.read_masks() > 0
    assert not valid[:, :, : SIDE // 2].any() and valid[:, :, SIDE // 2 :].all()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--nodata", "0"], False),
        (["--ms-nodata", "0", "--pan-nodata", "0"], False),
        (["--ms-nodata", "0"], True),
    ],
)
def test_sharpen(words: list[str], told: bool, collar: tuple[str, str], desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(desk.sharpen(*words, ms=collar[0], pan=collar[1]))
    assert outcome.code == 0 and ("undeclared-fill" in outcome.codes) == told
    assert_half(desk.out)
    with rasterio.open(desk.out) as dataset:
        assert dataset.nodata == 0


def test_python_takes_numbers_and_writes_the_same(collar: tuple[str, str], desk: Desk, run_main: RunMain) -> None:
    assert run_main(desk.sharpen("--nodata", "0", ms=collar[0], pan=collar[1])).code == 0
    ours = desk.folder / "python.tif"
    fast: dict[str, Any] = {"method": "exp", "coregister": "off", "quality": False, "of": "gtiff", "threads": 1}
    clippan.sharpen(*collar, ours, nodata=0, sensor="generic", **fast)
    with rasterio.open(ours) as one, rasterio.open(desk.out) as other:
        np.testing.assert_array_equal(one.read(), other.read())
        assert one.nodata == other.nodata == 0


def test_info_shows_it(collar: tuple[str, str], run_main: RunMain) -> None:
    outcome = run_main(["info", *collar, "--nodata", "0", "--sensor", "generic", "--json"])
    found = json.loads(outcome.stdout)
    assert found["ms"]["nodata"] == [0] * 4 and found["pan"]["nodata"] == [0]
    assert "undeclared-fill" not in outcome.codes


def test_assess(collar: tuple[str, str], desk: Desk, run_main: RunMain) -> None:
    whole = desk.ms("b_ms.tif", side=SIDE // RATIO), desk.pan("b_pan.tif", side=SIDE)
    assert run_main(desk.sharpen(ms=whole[0], pan=whole[1])).code == 0
    command = ["assess", str(desk.out), "--ms", collar[0], "--pan", collar[1], "--no-baselines", "--json", "-j", "1"]
    shares = [
        json.loads(run_main([*command, *words]).stdout)["images"][0]["valid_share"] for words in ([], ["--nodata", "0"])
    ]
    assert shares[0] == 1 and 0.4 < shares[1] < 0.55


def test_batch(collar: tuple[str, str], desk: Desk, run_main: RunMain) -> None:
    assert run_main(["batch", str(desk.folder), "-o", str(desk.out.parent), "--nodata", "0", *FAST]).code == 0
    assert_half(desk.out.parent / "a.tif")


def test_adapt(floats: tuple[str, str], desk: Desk, run_main: RunMain) -> None:
    for name in floats:
        Path(name.replace("a_", "b_")).write_bytes(Path(name).read_bytes())
    quick = [
        "--steps",
        "1",
        "--backbone",
        "apnn",
        "--clip",
        "none",
        "--no-validation",
        "--sensor",
        "generic",
        "-j",
        "1",
    ]
    command = ["adapt", str(desk.folder), "-o", str(desk.folder / "out.safetensors"), *quick]
    refused = run_main(command)
    assert refused.code == 3 and "a_ms.tif holds -3.4" in refused.error_line and "--ms-nodata" in refused.error_line
    assert run_main([*command, "--ms-nodata", "-3.40282e+38"]).code == 0


def test_python_names_its_own_option(floats: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a_ms\.tif holds .* say so with ms_nodata -3\.40282347e\+38"):
        clippan.info(*floats)
    assert clippan.info(*floats, ms_nodata="-3.40282347e+38").ms.nodata == (-3.40282347e38,) * 4


@pytest.mark.parametrize(
    ("given", "ms", "pan"),
    [
        ({}, None, None),
        ({"nodata": "0"}, 0.0, 0.0),
        ({"nodata": -9999}, -9999.0, -9999.0),
        ({"nodata": "None", "pan_nodata": 7}, "none", 7.0),
        ({"ms_nodata": "none"}, "none", None),
    ],
)
def test_what_is_said_of_one_image_goes_before_what_is_said_of_both(
    given: dict[str, Any], ms: Nodata, pan: Nodata
) -> None:
    assert read_options(given).pair == PairOptions(ms_nodata=ms, pan_nodata=pan)


@pytest.mark.parametrize("word", ["nan", "NaN", float("nan")])
def test_nan_is_a_value(word: str | float) -> None:
    said = read_options({"pan_nodata": word}).pair.pan_nodata
    assert isinstance(said, float) and math.isnan(said)


@pytest.mark.parametrize("option", ["--nodata", "--ms-nodata", "--pan-nodata"])
def test_a_word_that_is_no_value_is_refused(option: str, desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(desk.sharpen(option, "black"))
    assert outcome.code == 2 and f"{option} black: must be a number, nan, or none" in outcome.error_line
