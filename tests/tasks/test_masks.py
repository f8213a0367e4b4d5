"""Does what is missing stay missing, and touch nothing else?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from affine import Affine
from clippan_cli.tasks.demo_scene import DemoScene
from clippan_models.registry import METHODS
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from tests.conftest import PAN_PIXEL, Bench, Grid, Output

Mask = NDArray[np.bool_]

RATIO = 4
CLASSICAL = [name for name, method in METHODS.items() if method.fitter is not None]


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
    print("P:",method, np.abs(partly.pixels[:, : rows * RATIO] - alone.pixels).max())
    np.testing.assert_allclose(partly.pixels[:, : rows * RATIO], alone.pixels, atol=0.01)


@pytest.mark.parametrize("saying", SAYINGS)
def test_a_warped_image_keeps_its_holes_and_nothing_bleeds_out_of_them(bench: Bench, saying: str) -> None:
    ms_grid = Grid(PAN_PIXEL @ Affine.translation(10, -3) @ Affine.scale(4) @ Affine.rotation(17), 30, 26)
    pan_grid = Grid(PAN_PIXEL, 96, 80)
    x, y = ms_grid.centres()
    level = np.stack([1000 + 4 * (x - 500_000), 3000 + 4 * (y - 4_000_000), 500 + 0 * x])
    ms_valid = np.ones(x.shape, np.bool_)
    ms_valid[10:14, 8:14] = False
    ms_valid[18, 17] = False
    ms = SAYINGS[saying](bench, "ms.tif", level, ms_valid, ms_grid)
    output = bench.sharpen(ms, bench.write("pan.tif", 1000 + 0 * pan_grid.centres()[0][None].astype("float32"), pan_grid))

    x, y = output.grid.centres()
    col, row = ms_grid.place(x, y)
    def holds(right: float, down: float) -> Mask:
        c, r = np.floor(col + right).astype(int), np.floor(row + down).astype(int)
        on = (c >= 0) & (c < ms_grid.width) & (r >= 0) & (r < ms_grid.height)
        return on & ms_valid[r.clip(0, ms_grid.height - 1), c.clip(0, ms_grid.width - 1)]

    exact = holds(0, 0)
    near = np.stack([holds(r, d) for r in (-.75, 0, .75) for d in (-.75, 0, .75)])
    assert output.valid[:, near.all(0)].all()
    assert not output.valid[:, ~near.any(0)].any()
    print("P:",saying, (output.valid[0] != exact).mean(), )
    truth = np.stack([1000 + 4 * (x - 500_000), 3000 + 4 * (y - 4_000_000), 500 + 0 * x])
    wrong = np.where(output.valid, np.abs(output.pixels - truth), 0)
    print("P:",wrong.max((1,2)))
    assert wrong.max() < 16
    assert wrong[2].max() < 0.51
