"""Does every pixel type come back as it went in, rounded and never wrapped around?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from clippan_cli.scene.synthetic import DemoScene
from clippan_cli.writing.options import Driver, OutputOptions
from clippan_models.methods.registry import METHODS
from tests.conftest import PAN_PIXEL, Bench, Grid, Output

PAN_GRID = Grid(PAN_PIXEL, 128, 128)
MS_GRID = Grid(PAN_PIXEL @ Affine.scale(4), 32, 32)

CLASSICAL = [name for name, method in METHODS.items() if not method.learns]
ALL = [*CLASSICAL, pytest.param("clippan", marks=pytest.mark.slow)]

# Stretches that use a type up to its ends, so that sharpening overshoots them: (type, NBITS, smallest, largest)
STRETCHES = {
    "uint8": ("uint8", None, 0, 255),
    "uint8, 7 bits": ("uint8", 7, 0, 127),
    "uint16": ("uint16", None, 0, 65535),
    "uint16, 11 bits": ("uint16", 11, 0, 2047),
    "uint16, 12 bits": ("uint16", 12, 0, 4095),
    "int16": ("int16", None, -32768, 32767),
    "int16, dark": ("int16", None, -40, 3000),
}


def stretch(values: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    """Values brought to a range, a percent of them cut off at each end."""
    bottom, top = np.percentile(values, [1, 99])
    return np.asarray(np.rint(np.clip((values - bottom) / (top - bottom), 0, 1) * (high - low) + low))


def fuse(bench: Bench, ms: NDArray[Any], pan: NDArray[Any], method: str, tag: str = "", **profile: Any) -> Output:
    names = (
        bench.write(f"ms{tag}.tif", ms, MS_GRID, **profile),
        bench.write(f"pan{tag}.tif", pan, PAN_GRID, **profile),
    )
    return bench.sharpen(*names, method=method)


@pytest.mark.parametrize("method", ["exp", "gsa"])
@pytest.mark.parametrize("name", STRETCHES)
def test_values_are_rounded_and_clipped_to_the_type(bench: Bench, town: DemoScene, name: str, method: str) -> None:
    dtype, nbits, low, high = STRETCHES[name]
    ms, pan = stretch(town.ms, low, high), stretch(town.pan, low, high)
    profile: dict[str, Any] = {"nbits": nbits} if nbits else {}
    output = fuse(bench, ms.astype(dtype), pan.astype(dtype), method, **profile)
    exact = fuse(bench, ms.astype("float32"), pan.astype("float32"), method, tag="_float")

    limits = np.iinfo(dtype)
    top = 2**nbits - 1 if nbits else limits.max
    assert output.dtype == dtype and exact.dtype == "float32"
    assert exact.pixels.max() > high, "the test must reach beyond the range"
    np.testing.assert_array_equal(output.pixels, np.clip(np.rint(exact.pixels), limits.min, top))
    with rasterio.open(output.path) as dataset:
        assert dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == (str(nbits) if nbits else None)


def test_float64_comes_out_as_float32(bench: Bench, town: DemoScene) -> None:
    double = fuse(bench, town.ms.astype("float64"), town.pan.astype("float64"), "gsa")
    single = fuse(bench, town.ms.astype("float32"), town.pan.astype("float32"), "gsa", tag="_single")
    assert double.dtype == single.dtype == "float32"
    np.testing.assert_array_equal(double.pixels, single.pixels)


@pytest.mark.parametrize(("ms_type", "pan_type"), [("uint16", "uint8"), ("uint8", "uint16"), ("int16", "float32")])
def test_ms_and_pan_may_be_of_different_types(bench: Bench, town: DemoScene, ms_type: str, pan_type: str) -> None:
    """The output has the type and the level of MS."""
    ms, pan = stretch(town.ms, 10, 240), stretch(town.pan, 20, 250)
    mixed = fuse(bench, ms.astype(ms_type), pan.astype(pan_type), "gsa")
    exact = fuse(bench, ms.astype("float32"), pan.astype("float32"), "gsa", tag="_float")
    assert mixed.dtype == ms_type
    limits = np.iinfo(ms_type)
    np.testing.assert_array_equal(mixed.pixels, np.clip(np.rint(exact.pixels), limits.min, limits.max))


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("unit", [2**-13, 2**13])  # powers of two: rounding is the same
def test_reflectances_and_radiances_are_sharpened_like_counts(
    bench: Bench, town: DemoScene, method: str, unit: float
) -> None:
    """No threshold in DN hides in a method."""
    counts = fuse(bench, town.ms.astype("float32"), town.pan.astype("float32"), method)
    other = fuse(bench, (town.ms * unit).astype("float32"), (town.pan * unit).astype("float32"), method, tag="_unit")
    np.testing.assert_allclose(other.pixels / unit, counts.pixels, atol=0.5 if method == "clippan" else 0.05)


@pytest.mark.parametrize("method", ["exp", "gsa", "mtf-glp-fs"])  # the others multiply
def test_an_offset_of_the_counts_is_an_offset_of_the_result(bench: Bench, town: DemoScene, method: str) -> None:
    """Negative values, as atmospheric correction leaves them, are values."""
    plain = fuse(bench, town.ms.astype("float32"), town.pan.astype("float32"), method)
    lower = fuse(bench, (town.ms - 3000).astype("float32"), (town.pan - 3000).astype("float32"), method, tag="_lower")
    assert lower.pixels.max() < 0 or lower.pixels.min() < -1000
    np.testing.assert_allclose(lower.pixels + 3000, plain.pixels, atol=0.05)


@pytest.mark.parametrize("driver", ["gtiff", "cog"])
@pytest.mark.parametrize("name", STRETCHES)
def test_the_format_of_the_file_changes_no_pixel(bench: Bench, town: DemoScene, name: str, driver: Driver) -> None:
    dtype, nbits, low, high = STRETCHES[name]
    profile: dict[str, Any] = {"nbits": nbits} if nbits else {}
    names = (
        bench.write("ms.tif", stretch(town.ms, low, high).astype(dtype), MS_GRID, **profile),
        bench.write("pan.tif", stretch(town.pan, low, high).astype(dtype), PAN_GRID, **profile),
    )
    plain = bench.sharpen(*names, encoding=OutputOptions(driver="gtiff", compress="none"))
    packed = bench.sharpen(*names, encoding=OutputOptions(driver=driver, compress="zstd"))
    np.testing.assert_array_equal(packed.pixels, plain.pixels)
    assert (packed.grid, packed.nodata) == (plain.grid, plain.nodata)
