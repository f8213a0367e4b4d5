"""Are bands that lie off found, moved, and left alone where there is nothing to find?"""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from scipy.ndimage import gaussian_filter, map_coordinates

from clippan_cli.scene.synthetic import RATIO, DemoScene, make_demo_scene
from tests.conftest import PAN_PIXEL, Array, Bench, Grid, Output

SIDE = 320
ACCURACY = 0.1  # PAN pixels
PAN_GRID = Grid(PAN_PIXEL, SIDE, SIDE)
MS_GRID = Grid(PAN_PIXEL @ Affine.scale(RATIO), SIDE // RATIO, SIDE // RATIO)


@pytest.fixture(scope="module")
def city() -> DemoScene:
    return make_demo_scene(SIDE, shift=(0.0, 0.0))


def seen_off(truth: Array, shifts: list[tuple[float, float]]) -> Array:
    """The sharp image as an MS sees it whose band b lies `shifts[b]` PAN pixels (down, right) off."""
    sigma = RATIO * math.sqrt(-2 * math.log(0.3)) / math.pi
    grid = np.mgrid[0 : SIDE // RATIO, 0 : SIDE // RATIO] * RATIO + (RATIO - 1) / 2
    bands = zip(truth, shifts, strict=True)
    return np.stack(
        [map_coordinates(gaussian_filter(b, sigma), (grid[0] + y, grid[1] + x), mode="nearest") for b, (y, x) in bands]
    )


def sharpen(bench: Bench, ms: Array, pan: Array, method: str = "exp", coregister: str = "auto") -> Output:
    names = (
        bench.write("ms.tif", np.rint(ms).astype("uint16"), MS_GRID),
        bench.write("pan.tif", np.rint(pan).astype("uint16"), PAN_GRID),
    )
    return bench.sharpen(*names, method=method, coregister=coregister)


@pytest.mark.parametrize("shift", [(0.0, 0.0), pytest.param((1.4, -2.2), marks=pytest.mark.slow)])
def test_a_common_shift_is_found_and_undone(bench: Bench, city: DemoScene, shift: tuple[float, float]) -> None:
    truth, pan = city.truth.astype(np.float64), city.pan.astype(np.float64)
    ms = seen_off(truth, [shift] * 4)
    output = sharpen(bench, ms, pan)
    np.testing.assert_allclose(output.result.shifts, [shift] * 4, atol=ACCURACY)
    straight = sharpen(bench, seen_off(truth, [(0, 0)] * 4), pan, coregister="off")
    inner = (slice(None), slice(12, -12), slice(12, -12))
    level = truth[inner].std()
    assert np.sqrt(((output.pixels - straight.pixels)[inner] ** 2).mean()) < 0.08 * level


@pytest.mark.slow
def test_each_band_is_found_where_it_lies(bench: Bench, city: DemoScene) -> None:
    shifts = [(0.8, -0.5), (0.0, 0.0), (-1.2, 0.9), (2.0, 1.6)]
    output = sharpen(bench, seen_off(city.truth.astype(np.float64), shifts), city.pan.astype(np.float64))
    np.testing.assert_allclose(output.result.shifts, shifts, atol=ACCURACY)


@pytest.mark.parametrize(
    ("place", "turn"),
    [((8, -3), Affine.identity()), ((-16, 14), Affine.identity()), ((5, 9), Affine(1, 0, 0, 0, -1, SIDE // RATIO))],
)
def test_ms_that_lies_far_off_is_sharpened_as_one_that_lies_right(
    place: tuple[int, int], turn: Affine, bench: Bench, city: DemoScene
) -> None:
    ms, pan = np.rint(city.ms).astype("uint16"), bench.write("pan.tif", np.rint(city.pan).astype("uint16"), PAN_GRID)
    ms[:, 30:40, 50:55] = 0
    if not turn.is_identity:
        ms = ms[:, ::-1]
    grid = replace(MS_GRID, transform=MS_GRID.transform @ turn)
    off = replace(grid, transform=MS_GRID.transform @ Affine.translation(-place[1], -place[0]) @ turn)
    pair = bench.write("far.tif", ms, off, nodata=0), bench.write("near.tif", ms, grid, nodata=0)
    far, near = (bench.sharpen(each, pan, method="gsa", coregister="auto", sensor="generic") for each in pair)
    np.testing.assert_allclose(far.result.shifts, [(RATIO * place[0], RATIO * place[1])] * 4, atol=ACCURACY)
    assert json.loads(far.tags["SHIFTS_PAN_PX_DOWN_RIGHT"])[0] == pytest.approx(far.result.shifts[0], abs=1e-3)
    assert [[warning.code for warning in one.result.warnings] for one in (far, near)] == [["large-shift"], []]
    assert far.grid == near.grid
    np.testing.assert_array_equal(far.valid, near.valid)
    np.testing.assert_allclose(far.pixels, near.pixels, atol=1)


@pytest.mark.parametrize("what", ["noise", "constant PAN", "constant MS", "constant both"])
def test_nothing_is_moved_where_there_is_nothing_to_compare(bench: Bench, city: DemoScene, what: str) -> None:
    rng = np.random.default_rng(5)
    ms, pan = city.ms.astype(np.float64), city.pan.astype(np.float64)
    if what == "noise":
        pan = rng.uniform(100, 2000, pan.shape)
    if what in ("constant PAN", "constant both"):
        pan = np.full(pan.shape, 700.0)
    if what in ("constant MS", "constant both"):
        ms = np.full(ms.shape, 500.0)
    output = sharpen(bench, ms, pan, method="gsa")
    assert output.result.shifts == ((0.0, 0.0),) * 4
    assert output.valid.all() and np.isfinite(output.pixels).all()
    if what == "constant MS":
        np.testing.assert_array_equal(output.pixels, 500)
