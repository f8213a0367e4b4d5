"""Does the quicklook show MS where it lies when its file is turned against PAN?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray
from PIL import Image

from clippan_cli.report.sheet import CAPTION
from clippan_cli.scene.synthetic import DemoScene
from tests.conftest import PAN_PIXEL, Array, Bench, Grid

PANEL, GAP = 512, 8
STRAIGHT = Grid(PAN_PIXEL @ Affine.scale(4), 32, 32)


def overview_of_ms(bench: Bench, town: DemoScene, values: NDArray[np.float32], grid: Grid) -> Array:
    """The panel of the quicklook that shows all of MS, as gray."""
    ms = bench.write("ms.tif", np.rint(values).astype("uint16"), grid)
    pan = bench.write("pan.tif", np.rint(town.pan).astype("uint16"), Grid(PAN_PIXEL, 128, 128))
    path = Path(bench.folder / "look.png")
    path.unlink(missing_ok=True)
    bench.sharpen(ms, pan, quicklook=path)
    picture = np.asarray(Image.open(path), np.float64).mean(2)
    return np.asarray(picture[CAPTION : CAPTION + PANEL, PANEL + GAP : 2 * PANEL + GAP])


@pytest.mark.parametrize("how", ["south-up", "quarter turned"])
def test_a_file_turned_over_looks_the_same(bench: Bench, town: DemoScene, how: str) -> None:
    straight = overview_of_ms(bench, town, town.ms, STRAIGHT)
    if how == "south-up":
        turned, values = STRAIGHT.transform @ Affine.translation(0, 32) @ Affine.scale(1, -1), town.ms[:, ::-1]
    else:
        turned = STRAIGHT.transform @ Affine.translation(32, 0) @ Affine.rotation(90)
        values = np.rot90(town.ms, 1, (1, 2))
    np.testing.assert_array_equal(overview_of_ms(bench, town, values, Grid(turned, 32, 32)), straight)
