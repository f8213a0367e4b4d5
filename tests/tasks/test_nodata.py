"""Does it matter whether a file declares its fill exactly, in rounded text, wrongly, or the user says it instead?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray

from clippan_cli.rasters.options import PairOptions
from clippan_cli.scene.synthetic import DemoScene
from clippan_models.errors import InputError
from tests.conftest import PAN_PIXEL, Bench, Grid, Output

SMALLEST = float(np.finfo(np.float32).min)
NAN = float("nan")


@dataclass(frozen=True)
class Tagged:
    """The MS and PAN of a town whose upper quarter is filled, and the nodata values that the files declare.

    Attributes:
        fill: of MS and PAN; None: not filled.
        tags: of MS and PAN.
        dtype: of MS and PAN.
    """

    fill: tuple[float | None, float | None]
    tags: tuple[float | None, float | None] = (None, None)
    dtype: str = "float32"

    def sharpen(self, bench: Bench, town: DemoScene, method: str = "gsa", **pair: Any) -> Output:
        files = []
        for name, values, scale, fill, tag in zip(
            ("ms", "pan"), (town.ms, town.pan), (4, 1), self.fill, self.tags, strict=True
        ):
            grid = Grid(PAN_PIXEL @ Affine.scale(scale), *values.shape[:0:-1])
            pixels = with_fill(np.rint(values), fill).astype(self.dtype)
            files.append(bench.write(f"{name}.tif", pixels, grid, nodata=tag))
        return bench.sharpen(*files, method=method, coregister="auto", pair=PairOptions(**pair))


def with_fill(values: NDArray[Any], fill: float | None) -> NDArray[Any]:
    filled = np.array(values)
    if fill is not None:
        filled[:, : values.shape[1] // 4] = fill
    return filled


def assert_alike(output: Output, twin: Output) -> None:
    np.testing.assert_array_equal(output.valid, twin.valid)
    np.testing.assert_array_equal(output.pixels[output.valid], twin.pixels[twin.valid])
    assert output.tags["MTF_GAINS"] == twin.tags["MTF_GAINS"]


@pytest.mark.parametrize("image", ["ms", "pan"])
@pytest.mark.parametrize("tag", [-3.40282e38, -3.4e38])
def test_a_fill_value_that_is_declared_in_rounded_text(tag: float, image: str, bench: Bench, town: DemoScene) -> None:
    fill, rounded = ((SMALLEST, None), (tag, None)) if image == "ms" else ((None, SMALLEST), (None, tag))
    output = Tagged(fill, rounded).sharpen(bench, town)
    assert_alike(output, Tagged(fill, fill).sharpen(bench, town))
    assert not output.valid[:, :32].any() and output.valid[:, 32:].all()


def test_a_network_learns_beside_such_a_fill_value(bench: Bench, town: DemoScene) -> None:
    output = Tagged((SMALLEST, None), (-3.40282e38, None)).sharpen(bench, town, "network")
    assert not output.valid[:, :32].any() and np.isfinite(output.pixels[:, 32:]).all()
    assert 0 < output.pixels[:, 32:].max() < 2 * town.ms.max()


@pytest.mark.parametrize(("dtype", "value"), [("uint16", 0.0), ("int16", -9999.0), ("float32", -9999.0)])
def test_a_value_that_the_user_says_is_as_good_as_a_declared_one(
    dtype: str, value: float, bench: Bench, town: DemoScene
) -> None:
    both = (value, value)
    output = Tagged(both, dtype=dtype).sharpen(bench, town, ms_nodata=value, pan_nodata=value)
    assert_alike(output, Tagged(both, both, dtype).sharpen(bench, town))
    assert output.nodata == value and not output.valid[:, :32].any()


def test_a_wrong_tag_is_ignored_where_the_user_says_none(bench: Bench, town: DemoScene) -> None:
    common = float(np.bincount(np.rint(town.ms).astype(int).ravel()).argmax())
    output = Tagged((None, None), (common, common), "uint16").sharpen(bench, town, ms_nodata="none", pan_nodata="none")
    assert_alike(output, Tagged((None, None), dtype="uint16").sharpen(bench, town))
    assert output.valid.all() and output.nodata is None


def test_nan_is_a_value_too(bench: Bench, town: DemoScene) -> None:
    output = Tagged((NAN, None), (1000, None)).sharpen(bench, town, ms_nodata=NAN)
    assert_alike(output, Tagged((NAN, None), (NAN, None)).sharpen(bench, town))
    assert output.nodata is not None and np.isnan(output.nodata)


@pytest.mark.parametrize("image", ["ms", "pan"])
def test_one_image_alone(image: str, bench: Bench, town: DemoScene) -> None:
    fill = (7.0, None) if image == "ms" else (None, 7.0)
    output = Tagged(fill).sharpen(bench, town, ms_nodata=fill[0], pan_nodata=fill[1])
    assert_alike(output, Tagged(fill, fill).sharpen(bench, town))


@pytest.mark.parametrize("image", ["ms", "pan"])
def test_values_that_nothing_measures_end_the_run_and_leave_no_file(image: str, bench: Bench, town: DemoScene) -> None:
    fill = (SMALLEST, None) if image == "ms" else (None, SMALLEST)
    with pytest.raises(InputError, match=rf"{image}\.tif holds -3\.40282347e\+38 in band 1.*--{image}-nodata"):
        Tagged(fill).sharpen(bench, town)
    assert sorted(path.name for path in bench.folder.iterdir()) == ["ms.tif", "pan.tif"]


def test_a_valid_pixel_is_not_written_as_a_float_that_gdal_takes_for_nodata(bench: Bench) -> None:
    ms = np.full((1, 16, 16), -9998.99, np.float32)
    ms[0, :, :4] = -9999.01
    files = (
        bench.write("flat_ms.tif", ms, Grid(PAN_PIXEL @ Affine.scale(4), 16, 16), nodata=-9999),
        bench.write("flat_pan.tif", np.ones((1, 64, 64), np.uint16), Grid(PAN_PIXEL, 64, 64)),
    )
    assert bench.sharpen(*files).valid.all()
