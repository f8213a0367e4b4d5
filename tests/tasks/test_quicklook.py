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


def test_ms_and_result_have_one_stretch_and_a_caption_each(bench: Bench, town: DemoScene) -> None:
    ms = bench.write("ms.tif", np.rint(town.ms).astype("uint16"), STRAIGHT)
    pan = bench.write("pan.tif", np.rint(town.pan).astype("uint16"), Grid(PAN_PIXEL, 128, 128))
    path = bench.folder / "look.png"
    bench.sharpen(ms, pan, method="exp", quicklook=path)
    picture = np.asarray(Image.open(path), np.float64)
    panels = [slice(k * (PANEL + GAP), k * (PANEL + GAP) + PANEL) for k in range(3)]
    shown = [picture[CAPTION : CAPTION + PANEL, panel].mean((0, 1)) for panel in panels]
    np.testing.assert_allclose(shown[2], shown[1], atol=4)  # interpolated MS has the colours of MS
    for top in (0, CAPTION + PANEL + GAP):
        assert all((picture[top : top + CAPTION, panel] < 128).any() for panel in panels)


def test_nodata_is_black(bench: Bench, town: DemoScene) -> None:
    values = np.rint(town.ms).astype("uint16")
    values[:, 8:, :16] = 0
    ms = bench.write("ms.tif", values, STRAIGHT, nodata=0)
    pan = bench.write("pan.tif", np.rint(town.pan).astype("uint16"), Grid(PAN_PIXEL, 128, 128))
    path = bench.folder / "look.png"
    bench.sharpen(ms, pan, method="exp", quicklook=path)
    picture = np.asarray(Image.open(path))[CAPTION : CAPTION + PANEL]
    for panel in (1, 2):
        left = panel * (PANEL + GAP)
        assert (picture[PANEL // 2 :, left : left + PANEL // 2] == 0).all()
        assert (picture[:, left + PANEL // 2 : left + PANEL] > 0).any()
