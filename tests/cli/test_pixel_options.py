"""--dtype and --scale-to: the values of the file, and that it says how to get back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rasterio

from tests.cli.conftest import PAN_SIDE, RATIO, Desk, RunMain

SIDE = PAN_SIDE // RATIO


def fused(desk: Desk, run_main: RunMain, *argv: str, **scene: Any) -> Any:
    outcome = run_main(desk.sharpen("--overwrite", "-r", "nearest", *argv, **scene))
    assert outcome.code == 0, outcome.stderr
    with rasterio.open(desk.out) as dataset:
        return dataset.read(), dataset.profile, dataset.scales, dataset.offsets


def ramp(desk: Desk, bands: int = 1, **profile: Any) -> str:
    pixels = np.linspace(0, 2047, SIDE * SIDE).round().astype(np.uint16).reshape(1, SIDE, SIDE)
    return desk.ms(pixels=pixels.repeat(bands, axis=0), **profile)


def blocks(path: str) -> Any:
    with rasterio.open(path) as dataset:
        return np.kron(dataset.read(), np.ones((RATIO, RATIO)))


@pytest.mark.parametrize("argv", [["--dtype", "UInt8"], ["-ot", "Byte"], ["-t", "uint8"]])
def test_another_type_clips(argv: list[str], desk: Desk, run_main: RunMain) -> None:
    ms = ramp(desk)
    pixels, profile, scales, _ = fused(desk, run_main, *argv, ms=ms)
    assert profile["dtype"] == "uint8" and scales == (1,)
    np.testing.assert_array_equal(pixels, np.clip(blocks(ms), 0, 255))


def test_a_float_of_an_integer(desk: Desk, run_main: RunMain) -> None:
    ms = ramp(desk, nbits=11)
    pixels, profile, *_ = fused(desk, run_main, "--dtype", "Float32", ms=ms)
    assert profile["dtype"] == "float32"
    np.testing.assert_array_equal(pixels, blocks(ms))


@pytest.mark.parametrize("argv", [["-bitdepth", "10"], ["--co", "nbits=10"]])
def test_fewer_bits_clip(argv: list[str], desk: Desk, run_main: RunMain) -> None:
    ms = ramp(desk)
    pixels, *_ = fused(desk, run_main, *argv, ms=ms)
    np.testing.assert_array_equal(pixels, np.clip(blocks(ms), 0, 1023))
    with rasterio.open(desk.out) as dataset:
        assert dataset.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == "10"


@pytest.mark.parametrize(
    "argv, profile, low, high",
    [
        (["--scale-from", "0,2047"], {}, 0, 2047),
        (["--scale-from", "100 1100"], {}, 100, 1100),
        ([], {"nbits": 11}, 0, 2047),
        (["--sensor", "quickbird"], {}, 0, 2047),
    ],
    ids=["said", "a part", "bits of the file", "bits of the sensor"],
)
def test_scaled_to_bytes(
    argv: list[str], profile: dict[str, Any], low: float, high: float, desk: Desk, run_main: RunMain
) -> None:
    ms = ramp(desk, bands=4 if "quickbird" in argv else 1, **profile)
    pixels, written, scales, offsets = fused(desk, run_main, "--dtype", "uint8", "--scale-to", "1,255", *argv, ms=ms)
    wanted = np.clip(1 + (blocks(ms) - low) * 254 / (high - low), 1, 255)
    assert written["dtype"] == "uint8" and "nbits" not in written
    np.testing.assert_allclose(pixels, wanted, atol=0.5001)
    inside = (blocks(ms) >= low) & (blocks(ms) <= high)
    back = pixels * scales[0] + offsets[0]
    assert np.abs(back - blocks(ms))[inside].max() <= (high - low) / 254 / 2 + 1e-3


def test_the_scale_of_ms_is_kept(desk: Desk, run_main: RunMain) -> None:
    ms = ramp(desk)
    with rasterio.open(ms, "r+") as dataset:
        dataset.scales, dataset.offsets = (0.5,), (-10.0,)
    pixels, _, scales, offsets = fused(
        desk, run_main, "--dtype", "float32", "--scale-to", "0,1", "--scale-from", "0,2047", ms=ms
    )
    np.testing.assert_allclose(pixels * scales[0] + offsets[0], blocks(ms) * 0.5 - 10, atol=1e-3)


def test_a_valid_pixel_does_not_become_nodata(desk: Desk, run_main: RunMain) -> None:
    ms = desk.ms(bands=1, nodata=0, pixels=np.full((1, SIDE, SIDE), 5, np.uint16))
    pixels, profile, *_ = fused(
        desk, run_main, "--dtype", "uint8", "--scale-to", "0,255", "--scale-from", "5,100", ms=ms
    )
    assert profile["nodata"] == 0 and (pixels == 1).all()


def test_nodata_that_the_type_cannot_hold_becomes_a_mask(desk: Desk, run_main: RunMain) -> None:
    values = desk.pixels(1, SIDE, "int16")
    values[:, :2] = -9999
    fused(desk, run_main, "--dtype", "uint8", ms=desk.ms(pixels=values, nodata=-9999))
    with rasterio.open(desk.out) as dataset:
        assert dataset.nodata is None
        valid = dataset.read_masks(1) > 0
    assert not valid[: 2 * RATIO].any() and valid[2 * RATIO :].all()


@pytest.mark.parametrize(
    "argv, words",
    [
        (["--dtype", "uint32"], "uint8, uint16, int16, float32"),
        (["--scale-to", "1,255"], "--scale-from LOW,HIGH"),
        (["--scale-from", "1,255"], "needs --scale-to"),
        (["--scale-to", "255,1"], "less than HIGH"),
        (["--scale-to", "1"], "two numbers"),
        (["--scale-to", "0,1", "--scale-from", "0,9", "--report", "page.html"], "leave out --scale-to"),
    ],
)
def test_what_cannot_be(argv: list[str], words: str, desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(desk.sharpen(*argv))
    assert outcome.code == 2 and words in outcome.error_line and not desk.out.exists()


def test_the_quality_of_scaled_values_is_not_measured(desk: Desk, run_main: RunMain) -> None:
    argv = [one for one in desk.sharpen("--scale-to", "0,9999", "--scale-from", "0,255") if one != "--no-quality"]
    outcome = run_main(argv)
    assert outcome.code == 0 and any("--scale-to" in note for note in outcome.notes)
