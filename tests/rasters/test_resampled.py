"""Is MS that was resampled by nearest neighbour sharpened as what it was before?"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clippan_cli.rasters.resampled import SampleSource, samples_of
from clippan_cli.rasters.source import Mask, RasterSource, Values
from clippan_cli.scene.synthetic import DemoScene, make_demo_scene
from clippan_models.contracts import Window
from tests.conftest import PAN_PIXEL, Bench, Grid

SIDE = 200
GRIDS = {
    "parallel": PAN_PIXEL @ Affine.scale(4),
    "a fraction of a pixel off": PAN_PIXEL @ Affine.translation(-0.3, 1.7) @ Affine.scale(4),
    "rotated": PAN_PIXEL @ Affine.translation(20, -20) @ Affine.scale(4) @ Affine.rotation(12),
}


@pytest.fixture(scope="module")
def city() -> DemoScene:
    return make_demo_scene(SIDE, shift=(0.0, 0.0))


def resampled(ms: NDArray[Any], rows: int, cols: int) -> NDArray[Any]:
    return ms.repeat(rows, 1).repeat(cols, 2)


@pytest.mark.parametrize("method", ["exp", "mtf-glp-fs"])
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("rows", "cols", "cut"), [(2, 2, 0), (4, 4, 0), (3, 2, 1)], ids=["twice", "onto PAN", "cut"])
def test_it_gives_the_image_of_its_samples(
    bench: Bench, city: DemoScene, rows: int, cols: int, cut: int, grid: str, method: str
) -> None:
    place = GRIDS[grid]
    ms = city.ms.astype("float32")
    ms[:, 13:19, 11:33], ms[2, 40, 40] = np.nan, np.nan
    pan = bench.write("pan.tif", city.pan.astype("float32"), Grid(PAN_PIXEL, SIDE, SIDE))
    plain = bench.sharpen(bench.write("ms.tif", ms, Grid(place, 50, 50)), pan, method=method)
    large = resampled(ms, rows, cols)[:, cut:, cut:]  # a cut goes through the first blocks
    finer = place @ Affine.scale(1 / cols, 1 / rows) @ Affine.translation(cut, cut)
    found = bench.sharpen(bench.write("large.tif", large, Grid(finer, *large.shape[:0:-1])), pan, method=method)
    assert any(f"each sample fills {cols}x{rows} pixels; it is read as 50x50 samples" in note for note in found.notes)
    assert found.grid.transform.almost_equals(plain.grid.transform, 1e-6)
    np.testing.assert_array_equal(found.valid, plain.valid)
    np.testing.assert_allclose(found.pixels[found.valid], plain.pixels[plain.valid], rtol=1e-5)


def test_ms_that_was_not_resampled_is_left_alone(bench: Bench, city: DemoScene) -> None:
    ms = city.ms.astype("float32")
    mixed = resampled(ms, 2, 2)
    mixed[1] += 0.5 * np.arange(mixed.shape[2], dtype="float32")  # one band has a sample for each pixel
    pan = bench.write("pan.tif", city.pan.astype("float32"), Grid(PAN_PIXEL, SIDE, SIDE))
    for values, scale in ((ms, 4), (mixed, 2)):
        output = bench.sharpen(
            bench.write("some.tif", values, Grid(PAN_PIXEL @ Affine.scale(scale), *values.shape[:0:-1])), pan
        )
        assert not any("resampled" in note for note in output.notes)


class Memory(RasterSource):
    """An image in memory."""

    def __init__(self, values: Values, valid: Mask) -> None:
        height, width = values.shape[1:]
        super().__init__(("memory",), (SimpleNamespace(width=width, height=height, mask_flag_enums=[[]]),), (), ())
        self.values, self.mask = values, valid

    def read(self, window: Window) -> tuple[Values, Mask]:
        reach = 40
        pads = ((0, 0), (reach, reach), (reach, reach))
        rows = slice(window.row + reach, window.row_stop + reach)
        cols = slice(window.col + reach, window.col_stop + reach)
        return np.pad(self.values, pads)[:, rows, cols], np.pad(self.mask, pads)[:, rows, cols]


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_any_lattice_is_found_wherever_it_begins(data: st.DataObject) -> None:
    rows, cols = data.draw(st.integers(2, 5)), data.draw(st.integers(2, 5))
    top, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, cols - 1))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    samples = rng.integers(0, 50, (2, 36, 33)).astype(np.float32)
    hidden = rng.random(samples.shape) < 0.1
    large, mask = (resampled(image, rows, cols)[:, top:, left:] for image in (samples, ~hidden))
    source = samples_of(Memory(large, mask))
    assert isinstance(source, SampleSource) and len(source.notes) == 1
    values, valid = source.read(Window(0, 0, source.height, source.width))
    np.testing.assert_array_equal(valid, ~hidden)
    np.testing.assert_array_equal(values, np.where(hidden, 0, samples))
