"""Files lie on one grid if their pixels meet, whatever the unit of the CRS and however far away its origin is."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
from affine import Affine

from clippan_cli.quality.planes import place_of
from clippan_cli.rasters.options import Trust
from clippan_cli.rasters.source import open_source
from clippan_cli.running.control import Control
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.scene import open_scene
from clippan_models.errors import IncompatiblePairError
from tests.conftest import PAN_PIXEL, Bench, Grid

METRES = Grid(Affine(2, 0, 500_000, 0, -2, 5_400_000), 40, 30, "EPSG:32633")
DEGREES = Grid(Affine(5e-7, 0, 15, 0, -5e-7, 48), 40, 30, "EPSG:4326")


def two_bands(bench: Bench, grid: Grid, moved: Affine) -> str:
    """The name of an image of two files, the second moved by a map of pixels."""
    ones = np.ones((1, grid.height, grid.width), np.uint16)
    other = replace(grid, transform=grid.transform @ moved)
    names = [bench.write("b0.tif", ones, grid), bench.write("b1.tif", ones, other)]
    with ExitStack() as stack:
        return open_source(names, "MS", Trust(), stack).name


@pytest.mark.parametrize("grid", [METRES, DEGREES], ids=["metres", "degrees"])
@pytest.mark.parametrize("moved", [Affine.translation(5e-6, 0), Affine.translation(0, -0.02), Affine.scale(1.0005)])
def test_noise_in_geotransforms_leaves_one_grid(bench: Bench, grid: Grid, moved: Affine) -> None:
    assert "b1.tif" in two_bands(bench, grid, moved)


@pytest.mark.parametrize("grid", [METRES, DEGREES], ids=["metres", "degrees"])
@pytest.mark.parametrize(
    ("moved", "apart"),
    [(Affine.translation(1, 0), "1"), (Affine.scale(1.02), "0.8"), (Affine(1, 0.01, 0, 0, 1, 0), "0.3")],
)
def test_pixels_that_do_not_meet_are_refused(bench: Bench, grid: Grid, moved: Affine, apart: str) -> None:
    with pytest.raises(
        IncompatiblePairError, match=rf"b1\.tif lies on another grid .* corners up to {apart} pixels off"
    ):
        two_bands(bench, grid, moved)


@pytest.mark.parametrize(
    ("moved", "fits"),
    [(Affine.translation(1e-5, 0), True), (Affine.rotation(1e-5), True), (Affine.rotation(0.5), False)],
)
def test_a_fused_image_lies_on_the_grid_of_pan_at_all_its_corners(bench: Bench, moved: Affine, fits: bool) -> None:
    pan, ms = Grid(PAN_PIXEL, 80, 80), Grid(PAN_PIXEL @ Affine.scale(4), 20, 20)
    names = [
        bench.write(name, np.ones((1, grid.height, grid.width), np.uint16), grid)
        for name, grid in (("ms.tif", ms), ("pan.tif", pan), ("f.tif", replace(pan, transform=pan.transform @ moved)))
    ]
    with ExitStack() as stack:
        scene = open_scene(SceneFiles((names[0],), names[1]), ReadOptions(), Control(), stack)
        fused = open_source(names[2:], "fused", Trust(), stack)
        if fits:
            assert place_of(fused, scene) == scene.window
        else:
            with pytest.raises(IncompatiblePairError, match="does not lie on the grid"):
                place_of(fused, scene)
