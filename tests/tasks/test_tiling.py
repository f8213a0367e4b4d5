"""Is a scene sharpened in tiles the scene sharpened in one piece?"""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine

from clippan_cli.scene.synthetic import DemoScene, make_demo_scene
from clippan_models.methods.classical import CLASSICAL
from clippan_models.methods.registry import METHODS
from tests.conftest import PAN_PIXEL, Array, Bench, Grid, Output

SIDE = 200
SLOW = ("sr-d", "network", "clippan")
ALL = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in METHODS]
LOCAL = [method.name for method in CLASSICAL if not method.gathers]
TILES = [64, 77]


@pytest.fixture(scope="module")
def city() -> DemoScene:
    return make_demo_scene(SIDE, shift=(0.0, 0.0))


def write(bench: Bench, scene: DemoScene, ms_grid: Grid | None = None, *, holes: bool = False) -> tuple[str, str]:
    """A float pair, so that not even a rounding hides a difference."""
    pan_grid = Grid(PAN_PIXEL, SIDE, SIDE)
    grid = ms_grid or Grid(PAN_PIXEL @ Affine.scale(4), SIDE // 4, SIDE // 4)
    ms, pan = scene.ms.astype("float32"), scene.pan.astype("float32")
    if holes:
        ms[:, 13:19, 11:33], ms[2, 40, 40], pan[:, 60:70, 120:131] = np.nan, np.nan, np.nan
    return bench.write("ms.tif", ms, grid), bench.write("pan.tif", pan, pan_grid)


def difference(one: Output, other: Output) -> Array:
    """Absolute difference of all valid pixels; the same pixels must be valid."""
    np.testing.assert_array_equal(one.valid, other.valid)
    return np.abs(one.pixels - other.pixels)[one.valid]


GRIDS = {
    "ratio 4": None,
    "a fraction of a pixel off": Grid(PAN_PIXEL @ Affine.translation(-0.3, 1.7) @ Affine.scale(4), 50, 50),
    "ratio 3.83 across, 4.11 down": Grid(PAN_PIXEL @ Affine.scale(3.83, 4.11), 50, 50),
    "rotated": Grid(PAN_PIXEL @ Affine.translation(20, -20) @ Affine.scale(4) @ Affine.rotation(12), 50, 50),
    "another CRS": Grid(Affine(2.2e-5, 0, 3.0, 0, -1.8e-5, 36.1442), 50, 50, "EPSG:4326"),
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("method", LOCAL)
def test_a_local_method_gives_the_same_bits_in_every_tile(
    bench: Bench, city: DemoScene, method: str, grid: str
) -> None:
    files = write(bench, city, GRIDS[grid], holes=grid != "ratio 4")
    whole = bench.sharpen(*files, method=method)
    for tile in TILES:
        assert difference(bench.sharpen(*files, method=method, tile=tile), whole).max() == 0


@pytest.mark.parametrize("method", ALL)
def test_tiles_of_any_size_give_the_same_image(bench: Bench, city: DemoScene, method: str) -> None:
    """Sums over the scene are taken in another order: no more than their rounding may show."""
    files = write(bench, city, GRIDS["a fraction of a pixel off"], holes=True)
    whole = bench.sharpen(*files, method=method)
    for tile in TILES:
        assert difference(bench.sharpen(*files, method=method, tile=tile), whole).max() < 0.01


@pytest.mark.parametrize("method", ["brovey", "gsa", "mtf-glp-hpm-r"])
def test_the_number_of_threads_changes_no_bit(bench: Bench, method: str) -> None:
    """A scene of several cells of statistics, which threads gather and fuse in any order."""
    side = 600
    scene = make_demo_scene(side)
    files = (
        bench.write("ms.tif", scene.ms.astype("float32"), Grid(PAN_PIXEL @ Affine.scale(4), side // 4, side // 4)),
        bench.write("pan.tif", scene.pan.astype("float32"), Grid(PAN_PIXEL, side, side)),
    )
    alone, together = (bench.sharpen(*files, method=method, tile=128, threads=threads) for threads in (1, 3))
    assert difference(alone, together).max() == 0
