"""Does what is missing stay missing, and touch nothing else?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from scipy.ndimage import binary_dilation

from clippan_cli.rasters.options import PairOptions
from clippan_cli.scene.synthetic import DemoScene
from clippan_models.contracts import Observation, Sampling, Tile, Window
from clippan_models.errors import InputError
from clippan_models.methods.registry import METHODS
from clippan_models.ops.views import TileViews
from tests.conftest import PAN_PIXEL, Array, Bench, Grid, Output

Mask = NDArray[np.bool_]

RATIO = 4
CLASSICAL = [name for name, method in METHODS.items() if not method.learns]


@dataclass(frozen=True)
class Town:
    """A demo scene with holes."""

    ms: NDArray[Any]
    pan: NDArray[Any]
    ms_valid: Mask
    pan_valid: Mask

    @property
    def pan_grid(self) -> Grid:
        return Grid(PAN_PIXEL, self.pan.shape[2], self.pan.shape[1])

    @property
    def ms_grid(self) -> Grid:
        return Grid(PAN_PIXEL @ Affine.scale(RATIO), self.ms.shape[2], self.ms.shape[1])

    @property
    def expected(self) -> Mask:
        """Where the output exists: the PAN pixel is there, and the MS pixel that it lies in."""
        below = self.ms_valid.repeat(RATIO, 0).repeat(RATIO, 1)
        return below & self.pan_valid


@pytest.fixture
def holes(town: DemoScene) -> Town:
    """A town with a hole and a ragged edge in MS, and holes in PAN."""
    rng = np.random.default_rng(1)
    ms_valid = np.ones(town.ms.shape[1:], np.bool_)
    ms_valid[12:17, 9:13] = False
    ms_valid[24, 24] = False
    for row, gone in enumerate(rng.integers(0, 4, len(ms_valid))):
        ms_valid[row, :gone] = False
    pan_valid = np.ones(town.pan.shape[1:], np.bool_)
    pan_valid[70:83, 91:97] = False
    pan_valid[33, 44] = False
    return Town(np.rint(town.ms), np.rint(town.pan), ms_valid, pan_valid)


Saying = Callable[[Bench, str, NDArray[Any], Mask, Grid], str]


def by_nodata(value: float, dtype: str = "float32") -> Saying:
    def say(bench: Bench, name: str, values: NDArray[Any], valid: Mask, grid: Grid) -> str:
        return bench.write(name, np.where(valid, values, value).astype(dtype), grid, nodata=value)

    return say


def by_nan_alone(bench: Bench, name: str, values: NDArray[Any], valid: Mask, grid: Grid) -> str:
    return bench.write(name, np.where(valid, values, np.nan).astype("float32"), grid)


def by_mask(bench: Bench, name: str, values: NDArray[Any], valid: Mask, grid: Grid) -> str:
    return bench.write(name, np.where(valid, values, 7777).astype("float32"), grid, mask=valid)


def by_alpha(bench: Bench, name: str, values: NDArray[Any], valid: Mask, grid: Grid) -> str:
    alpha = np.where(valid, 255, 0)[None]
    both = np.concatenate([np.where(valid, values, -123), alpha]).astype("float32")
    colors = [ColorInterp.gray, *[ColorInterp.undefined] * (len(values) - 1), ColorInterp.alpha]
    return bench.write(name, both, grid, colors=colors)


def by_mask_file(bench: Bench, name: str, values: NDArray[Any], valid: Mask, grid: Grid) -> str:
    path = bench.write(name, np.where(valid, values, 31).astype("float32"), grid)
    bench.write(f"{name}.msk", valid[None].astype("uint8") * 255, grid, tags={"INTERNAL_MASK_FLAGS_1": "2"})
    return path


SAYINGS: dict[str, Saying] = {
    "-9999": by_nodata(-9999),
    "0": by_nodata(0),
    "NaN": by_nodata(float("nan")),
    "NaN, undeclared": by_nan_alone,
    "the smallest float": by_nodata(float(np.finfo(np.float32).min)),
    "internal mask": by_mask,
    "mask file": by_mask_file,
    "alpha": by_alpha,
    "int16, -9999": by_nodata(-9999, "int16"),
    "uint16, 0": by_nodata(0, "uint16"),
}


def without_holes(town: Town) -> Town:
    return Town(town.ms, town.pan, np.ones_like(town.ms_valid), np.ones_like(town.pan_valid))


def fuse(bench: Bench, town: Town, say: Saying, method: str = "exp", tag: str = "", **options: Any) -> Output:
    ms = say(bench, f"ms{tag}.tif", town.ms, town.ms_valid, town.ms_grid)
    pan = say(bench, f"pan{tag}.tif", town.pan, town.pan_valid, town.pan_grid)
    return bench.sharpen(ms, pan, method=method, **options)


@pytest.mark.parametrize("saying", SAYINGS)
def test_missing_pixels_stay_missing_and_only_they(bench: Bench, holes: Town, saying: str) -> None:
    output = fuse(bench, holes, SAYINGS[saying])
    np.testing.assert_array_equal(output.valid, np.broadcast_to(holes.expected, output.valid.shape))


@pytest.mark.parametrize("method", CLASSICAL)
def test_it_does_not_matter_how_a_file_says_that_pixels_are_missing(bench: Bench, holes: Town, method: str) -> None:
    kinds = ["-9999", "0", "NaN, undeclared", "the smallest float", "internal mask", "alpha"]
    first, *others = (fuse(bench, holes, SAYINGS[kind], method, tag=str(k)) for k, kind in enumerate(kinds))
    for other in others:
        np.testing.assert_array_equal(other.valid, first.valid)
        np.testing.assert_array_equal(other.pixels[first.valid], first.pixels[first.valid])


@pytest.mark.parametrize("method", CLASSICAL)
def test_what_is_missing_enters_no_statistic(bench: Bench, holes: Town, method: str) -> None:
    """A scene of which a part is missing is sharpened like the rest of it alone."""
    rows = 20
    ms_valid, pan_valid = np.ones_like(holes.ms_valid), np.ones_like(holes.pan_valid)
    ms_valid[rows:] = False
    pan_valid[rows * RATIO :] = False
    whole = Town(holes.ms, holes.pan, ms_valid, pan_valid)
    top = Town(holes.ms[:, :rows], holes.pan[:, : rows * RATIO], ms_valid[:rows], pan_valid[: rows * RATIO])
    partly = fuse(bench, whole, by_nodata(-9999), method)
    alone = fuse(bench, top, by_nodata(-9999), method)
    assert partly.valid[:, : rows * RATIO].all() and not partly.valid[:, rows * RATIO :].any()
    np.testing.assert_allclose(partly.pixels[:, : rows * RATIO], alone.pixels, atol=0.05)


@pytest.mark.parametrize("saying", SAYINGS)
def test_a_warped_image_keeps_its_holes_and_nothing_bleeds_out_of_them(bench: Bench, saying: str) -> None:
    ms_grid = Grid(PAN_PIXEL @ Affine.translation(10, -3) @ Affine.scale(4) @ Affine.rotation(17), 30, 26)
    pan_grid = Grid(PAN_PIXEL, 96, 80)

    def ground(x: Array, y: Array) -> Array:
        return np.stack([1000 + 4 * (x - 500_000), 3000 + 4 * (y - 4_000_000), 500 + 0 * x])

    ms_valid = np.ones((ms_grid.height, ms_grid.width), np.bool_)
    ms_valid[10:14, 8:14] = False
    ms_valid[18, 17] = False
    ms = SAYINGS[saying](bench, "ms.tif", ground(*ms_grid.centres()), ms_valid, ms_grid)
    pan = bench.write("pan.tif", np.full((1, 80, 96), 1000, "float32"), pan_grid)
    output = bench.sharpen(ms, pan)

    x, y = output.grid.centres()
    col, row = (np.floor(v).astype(int) for v in ms_grid.place(x, y))
    expected = np.pad(ms_valid, 99)[row + 99, col + 99]
    np.testing.assert_array_equal(output.valid, np.broadcast_to(expected, output.valid.shape))
    wrong = np.where(output.valid, np.abs(output.pixels - ground(x, y)), 0)
    assert wrong[:2].max() < 8  # a slope of 8 DN per MS pixel cannot go on into a hole
    assert wrong[2].max() < 0.01


@pytest.mark.parametrize("method", [*CLASSICAL, pytest.param("clippan", marks=pytest.mark.slow)])
def test_pixels_beside_a_hole_are_nearly_as_good_as_without_it(
    bench: Bench, town: DemoScene, holes: Town, method: str
) -> None:
    whole = fuse(bench, without_holes(holes), by_nodata(-9999), method, "0", steps=20)
    holed = fuse(bench, holes, by_nodata(-9999), method, "1", steps=20)
    beside = binary_dilation(~holes.expected, iterations=2) & holes.expected

    def error(output: Output) -> float:
        return float(np.sqrt(((output.pixels - town.truth)[:, beside] ** 2).mean()))

    assert error(holed) < 1.4 * error(whole)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.9, -3.9), (-2.5, 3.2)])
def test_no_value_bleeds_out_of_a_hole_however_far_a_band_is_off(shift: tuple[float, float]) -> None:
    """The kernel reaches further into a hole when co-registration has moved the band."""
    ms_valid = torch.ones(1, 40, 40, dtype=torch.bool)
    ms_valid[:, 12:30, 9:28] = False
    pan_window, sampling = Window(0, 0, 120, 120), Sampling.area_registered(RATIO, 1)
    valid = ms_valid[:, 5:35, 5:35].repeat_interleave(RATIO, 1).repeat_interleave(RATIO, 2)
    tile = Tile(
        ms=torch.where(ms_valid, 5000.0, 0.0),
        ms_valid=ms_valid,
        pan=torch.ones(1, 120, 120),
        pan_valid=torch.ones(1, 120, 120, dtype=torch.bool),
        valid=valid,
        ms_window=Window(-5, -5, 40, 40),
        pan_window=pan_window,
        core=pan_window,
    )
    shifted = sampling.shifted([shift[0]], [shift[1]])
    interpolated = TileViews(tile, Observation(shifted, (0.3,), 0.2)).ms_up[valid]
    torch.testing.assert_close(interpolated, torch.full_like(interpolated, 5000.0), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("dtype", "nodata", "low", "high"),
    [
        ("uint8", 0, 0, 40),  # dark: undershoot is clipped to 0
        ("uint8", 255, 200, 254),  # bright: overshoot is clipped to 255
        ("uint16", 0, 0, 3),
        ("uint16", 65535, 65000, 65534),
        ("uint16", 700, 690, 710),  # amid the values
        ("int16", -9999, -10020, -9980),
        ("int16", -32768, -32767, -32000),
        ("float32", 0, -2, 2),
    ],
)
@pytest.mark.parametrize("method", ["exp", "gsa"])
def test_a_valid_pixel_never_becomes_nodata(
    bench: Bench, method: str, dtype: str, nodata: float, low: float, high: float
) -> None:
    rng = np.random.default_rng(3)
    values = np.rint(rng.uniform(low, high, (3, 20, 20)))
    values[values == nodata] = low if low != nodata else low + 1
    pan = np.rint(rng.uniform(low, high, (1, 80, 80)))
    ms_valid = np.ones((20, 20), np.bool_)
    ms_valid[3:5, 4:9] = False
    grid = Grid(PAN_PIXEL, 80, 80)
    ms_name = by_nodata(nodata, dtype)(bench, "ms.tif", values, ms_valid, Grid(PAN_PIXEL @ Affine.scale(4), 20, 20))
    output = bench.sharpen(ms_name, bench.write("pan.tif", pan.astype(dtype), grid), method=method)
    assert (output.dtype, output.nodata) == (dtype, nodata)
    expected = ms_valid.repeat(4, 0).repeat(4, 1)
    np.testing.assert_array_equal(output.pixels != nodata, np.broadcast_to(expected, output.valid.shape))


def test_zero_is_a_value_like_any_other_unless_the_file_says_otherwise(bench: Bench) -> None:
    ms = np.zeros((2, 20, 20), "uint16")
    ms[:, 8:] = 900
    pan = np.zeros((1, 80, 80), "uint16")
    pan[:, 30:] = 800
    names = (
        bench.write("ms.tif", ms, Grid(PAN_PIXEL @ Affine.scale(4), 20, 20)),
        bench.write("pan.tif", pan, Grid(PAN_PIXEL, 80, 80)),
    )
    output = bench.sharpen(*names, method="gsa")
    assert output.valid.all() and output.nodata is None
    with rasterio.open(output.path) as dataset:
        assert MaskFlags.all_valid in dataset.mask_flag_enums[0]


def test_each_band_keeps_its_own_holes(bench: Bench) -> None:
    """Bands in files of their own, each with its own nodata value, one of which is a good value in another band."""
    grid = Grid(PAN_PIXEL @ Affine.scale(4), 20, 20)
    values = np.full((3, 20, 20), 500, "int16") + np.arange(20, dtype="int16") * 7
    values[1, 9:12, 9:12] = -9999  # good in this band
    nodata, spots = (-9999, 0, -32768), ((2, 3), (10, 4), (15, 16))
    names = []
    for band, (value, (row, col)) in enumerate(zip(nodata, spots, strict=True)):
        values[band, row : row + 2, col : col + 3] = value
        names.append(bench.write(f"band{band}.tif", values[band : band + 1], grid, nodata=value))
    output = bench.sharpen(names, bench.write("pan.tif", np.full((1, 80, 80), 600, "int16"), Grid(PAN_PIXEL, 80, 80)))
    expected = np.ones((3, 80, 80), np.bool_)
    for band, (row, col) in enumerate(spots):
        expected[band, 4 * row : 4 * row + 8, 4 * col : 4 * col + 12] = False
    np.testing.assert_array_equal(output.valid, expected)


def test_where_ms_is_not_the_output_says_so(bench: Bench, town: DemoScene) -> None:
    """Without a nodata value to say it by, the file gets a mask."""
    _, pan = bench.write_demo(town)
    small = Grid(PAN_PIXEL @ Affine.translation(10, 20) @ Affine.scale(4), 22, 19)
    part = bench.write("part.tif", np.rint(town.ms[:, 5:24, 2:24]).astype("uint16"), small)
    output = bench.sharpen(part, pan, pair=PairOptions(extent="pan"))
    assert output.nodata is None
    expected = np.zeros((128, 128), np.bool_)
    expected[20:96, 10:98] = True
    np.testing.assert_array_equal(output.valid, np.broadcast_to(expected, output.valid.shape))


def test_nodata_that_the_bits_in_use_cannot_hold_becomes_a_mask(bench: Bench, holes: Town) -> None:
    """Eleven bits are in use, and the nodata value is 65535."""
    ms = np.where(holes.ms_valid, np.minimum(holes.ms, 2047), 0).astype("uint16")
    names = (
        bench.write("ms.tif", ms, holes.ms_grid, mask=holes.ms_valid, nbits=11, nodata=65535),
        bench.write("pan.tif", np.minimum(holes.pan, 2047).astype("uint16"), holes.pan_grid, nbits=11),
    )
    output = bench.sharpen(*names)
    below = holes.ms_valid.repeat(RATIO, 0).repeat(RATIO, 1)
    np.testing.assert_array_equal(output.valid, np.broadcast_to(below, output.valid.shape))
    assert output.pixels.max() <= 2047


def test_a_float64_image_is_worked_in_float32_and_what_does_not_fit_is_missing(bench: Bench, holes: Town) -> None:
    ms = np.where(holes.ms_valid, holes.ms, 1e300)
    names = (
        bench.write("ms.tif", ms, holes.ms_grid),
        bench.write("pan.tif", np.where(holes.pan_valid, holes.pan, np.inf), holes.pan_grid),
    )
    output = bench.sharpen(*names)
    assert output.dtype == "float32"
    np.testing.assert_array_equal(output.valid, np.broadcast_to(holes.expected, output.valid.shape))


def test_a_scattering_of_missing_pixels_leaves_the_others(bench: Bench, town: DemoScene) -> None:
    chequered = np.indices(town.ms.shape[1:]).sum(0) % 2 == 0
    scene = Town(np.rint(town.ms), np.rint(town.pan), chequered, np.ones(town.pan.shape[1:], np.bool_))
    output = fuse(bench, scene, by_nodata(0))
    np.testing.assert_array_equal(output.valid, np.broadcast_to(scene.expected, output.valid.shape))
    assert output.pixels[output.valid].min() > 0


def test_a_half_transparent_pixel_counts(bench: Bench, holes: Town) -> None:
    alpha = np.where(holes.ms_valid, 255, 0)
    alpha[20:23, 20:23] = 40
    both = np.concatenate([holes.ms, alpha[None]]).astype("uint16")
    colors = [ColorInterp.gray, *[ColorInterp.undefined] * 3, ColorInterp.alpha]
    pan = bench.write("pan.tif", holes.pan.astype("uint16"), holes.pan_grid)
    output = bench.sharpen(bench.write("ms.tif", both, holes.ms_grid, colors=colors), pan)
    below = holes.ms_valid.repeat(RATIO, 0).repeat(RATIO, 1)
    np.testing.assert_array_equal(output.valid, np.broadcast_to(below, output.valid.shape))


def test_near_infrared_called_alpha_is_a_band(bench: Bench, town: DemoScene) -> None:
    """The file of OSGeo/gdal#11889: red, green, blue, and a near infrared that the writer called alpha."""
    ms = np.rint(town.ms[[2, 1, 0, 3]]).astype("uint16")
    ms[3, 3:6, 7:9] = 0  # deep shadow is not transparency
    grid = Grid(PAN_PIXEL @ Affine.scale(4), 32, 32)
    rgba = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    names = (
        bench.write("rgba.tif", ms, grid, colors=rgba),
        bench.write("pan.tif", np.rint(town.pan).astype("uint16"), Grid(PAN_PIXEL, 128, 128)),
    )
    plain = bench.write("plain.tif", ms, grid)
    output, same = bench.sharpen(*names), bench.sharpen(plain, names[1])
    np.testing.assert_array_equal(output.pixels, same.pixels)
    assert output.valid.all()
    assert any("alpha" in note for note in output.notes)
    with rasterio.open(output.path) as dataset:
        assert dataset.colorinterp == (*rgba[:3], ColorInterp.undefined)


@pytest.mark.parametrize("what", ["everything", "one band", "PAN", "no pixel in common"])
def test_nothing_to_sharpen_is_said_in_words(bench: Bench, holes: Town, what: str) -> None:
    ms, pan = holes.ms.copy(), holes.pan.copy()
    if what == "everything":
        ms[:] = pan[:] = -9999
    elif what == "one band":
        ms[2] = -9999
    elif what == "PAN":
        pan[:] = -9999
    else:
        ms[:, :16] = -9999
        pan[:, 64:] = -9999
    names = (
        bench.write("ms.tif", ms.astype("int16"), holes.ms_grid, nodata=-9999),
        bench.write("pan.tif", pan.astype("int16"), holes.pan_grid, nodata=-9999),
    )
    with pytest.raises(InputError, match="no pixel is valid"):
        bench.sharpen(*names)
