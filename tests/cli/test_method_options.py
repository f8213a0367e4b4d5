"""--resampling and --weights-pan: what they change, by numbers worked out without clippan; where they do not apply."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from tests.cli.conftest import PAN_SIDE, RATIO, Desk, RunMain

INSIDE = slice(16, 48)  # beyond the reach of every kernel from the edges


def fused(desk: Desk, run_main: RunMain, *argv: str, **scene: Any) -> NDArray[np.float64]:
    outcome = run_main(desk.sharpen("--overwrite", *argv, **scene))
    assert outcome.code == 0, outcome.stderr
    with rasterio.open(desk.out) as dataset:
        return np.asarray(dataset.read(), np.float64)


def keys(x: Any) -> Any:
    x = np.abs(x)
    outer = np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0)
    return np.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, outer)


KERNELS: dict[str, Callable[[Any], Any]] = {
    "nearest": lambda x: ((x >= -0.5) & (x < 0.5)).astype(float),
    "bilinear": lambda x: np.clip(1 - np.abs(x), 0, None),
    "cubic": keys,
    "lanczos": lambda x: np.sinc(x) * np.sinc(x / 3) * (np.abs(x) < 3),
}


@pytest.mark.parametrize("name", KERNELS)
def test_how_ms_is_interpolated(name: str, desk: Desk, run_main: RunMain) -> None:
    samples = desk.rng.uniform(100, 200, (1, PAN_SIDE // RATIO, PAN_SIDE // RATIO)).astype(np.float32)
    at = (np.arange(PAN_SIDE)[:, None] - (RATIO - 1) / 2) / RATIO - np.arange(PAN_SIDE // RATIO)
    weights = KERNELS[name](at)
    weights /= weights.sum(1, keepdims=True)
    wanted = weights @ samples[0] @ weights.T
    found = fused(desk, run_main, "--resampling", name.upper(), ms=desk.ms(pixels=samples))
    np.testing.assert_allclose(found[0, INSIDE, INSIDE], wanted[INSIDE, INSIDE], rtol=1e-4)


@pytest.mark.parametrize("argv", [["-r", "near"], ["-interpolator", "nn"], ["--resampling=nearest"]])
def test_the_names_of_other_programs(argv: list[str], desk: Desk, run_main: RunMain) -> None:
    ms = desk.ms()
    with rasterio.open(ms) as dataset:
        blocks = np.kron(dataset.read(), np.ones((RATIO, RATIO)))
    np.testing.assert_array_equal(fused(desk, run_main, *argv, ms=ms), blocks)


@pytest.mark.parametrize("argv", [["--weights-pan", "0.7,0.3"], ["-w", "0.7", "-w", "0.3"]])
def test_brovey_with_weights(argv: list[str], desk: Desk, run_main: RunMain) -> None:
    ms, pan = desk.ms(bands=2, dtype="float32"), desk.pan(dtype="float32")
    up = fused(desk, run_main, ms=ms, pan=pan)
    with rasterio.open(pan) as dataset:
        sharp = dataset.read(1).astype(np.float64)
    intensity = 0.7 * up[0] + 0.3 * up[1]
    matched = (sharp - sharp.mean()) * intensity.std() / sharp.std() + intensity.mean()
    found = fused(desk, run_main, "--method", "brovey", *argv, ms=ms, pan=pan)
    np.testing.assert_allclose(found, up * matched / intensity, rtol=1e-4)
    equal = fused(desk, run_main, "--method", "brovey", ms=ms, pan=pan)
    assert np.abs(found - equal).max() > 0.1


def test_gsa_with_weights(desk: Desk, run_main: RunMain) -> None:
    ms, pan = desk.ms(bands=2, dtype="float32"), desk.pan(dtype="float32")
    up = fused(desk, run_main, ms=ms, pan=pan)
    with rasterio.open(pan) as dataset:
        sharp = dataset.read(1).astype(np.float64)
    intensity = 0.7 * up[0] + 0.3 * up[1]
    gains = [np.cov(intensity.ravel(), band.ravel())[0, 1] / intensity.var(ddof=1) for band in up]
    detail = (sharp - sharp.mean()) - (intensity - intensity.mean())
    found = fused(desk, run_main, "--method", "gsa", "--weights-pan", "0.7 0.3", ms=ms, pan=pan)
    np.testing.assert_allclose(found, up + np.multiply.outer(gains, detail), rtol=1e-3)


def test_the_file_says_so(desk: Desk, run_main: RunMain) -> None:
    fused(desk, run_main, "--method", "gsa", "--weights-pan", "1,2,3,4", "--resampling", "cubic")
    with rasterio.open(desk.out) as dataset:
        tags = dataset.tags(ns="CLIPPAN")
    assert tags["RESAMPLING"] == "cubic" and json.loads(tags["PAN_WEIGHTS"]) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "argv, words",
    [
        (["--method", "network", "--resampling", "cubic"], "classical"),
        (["--resampling", "average"], "lanczos or cubic or bilinear or nearest"),
        (["--weights-pan", "1,1,1,1"], "--method brovey or --method gsa"),
        (["--method", "gsa", "--weights-pan", "1,1"], "each of the 4 bands"),
        (["--method", "gsa", "--weights-pan", "1,x"], "must be numbers"),
        (["--method", "gsa", "--weights-pan", "0,0,0,0"], "more than 0"),
    ],
)
def test_where_they_do_not_apply(argv: list[str], words: str, desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(desk.sharpen(*argv))
    assert outcome.code == 2 and words in outcome.error_line and not Path(desk.out).exists()
