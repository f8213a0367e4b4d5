"""Does every pixel of the output show the ground that its geotransform says?

The MS bands of these scenes are functions of map coordinates: the first two *are* the coordinates, in MS pixels, the
third is a wave. So each output pixel says where its value comes from, and PAN alone carries a fine texture.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from clippan_cli.rasters.options import PairOptions
from clippan_models.errors import IncompatiblePairError
from tests.conftest import PAN_PIXEL, UTM31, Array, Bench, Grid, Output

SLOPE = 20.0  # DN per MS pixel of the bands that tell the place
WAVE = 300.0  # DN, amplitude of the third band

# The Lanczos kernel bends a straight line to and fro, by 2 % of its slope along each axis, with a mean of zero.
RIPPLE = 0.03  # MS pixels
BIAS = 0.002  # MS pixels


@dataclass(frozen=True)
class Ground:
    """What there is to see: a function of map coordinates in the CRS of MS, in units of the MS pixel."""

    ms: Grid
    pan: Grid

    def bands(self, x: Array, y: Array) -> Array:
        """The MS bands at map coordinates of MS."""
        x0, y0 = self.ms.middle
        size = abs(self.ms.transform.determinant) ** 0.5
        u, v = (x - x0) / size, (y - y0) / size
        wave = np.sin(2 * np.pi * u / 30) * np.cos(2 * np.pi * v / 26)
        return np.stack([2000 + SLOPE * u, 2000 + SLOPE * v, 1500 + WAVE * wave])

    def texture(self, x: Array, y: Array) -> Array:
        """What PAN shows and no MS pixel can, at map coordinates of PAN."""
        col, row = self.pan.place(x, y)
        return np.asarray(60 * np.sin(2 * np.pi * col / 2.3) * np.sin(2 * np.pi * row / 2.7))

    def to_ms(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Map coordinates of MS from those of PAN."""
        if self.ms.crs is None or self.pan.crs is None:
            return x, y
        change = pyproj.Transformer.from_crs(self.pan.crs, self.ms.crs, always_xy=True)
        to_x, to_y = change.transform(x, y)
        if change.target_crs is not None and change.target_crs.is_geographic:
            middle, _ = self.ms.middle
            to_x = middle + (to_x - middle + 180) % 360 - 180  # around the date line
        return np.asarray(to_x), np.asarray(to_y)

    def write(self, bench: Bench, dtype: str = "float32") -> tuple[str, str]:
        """The two files."""
        ms = self.bands(*self.ms.centres())
        x, y = self.pan.centres()
        pan = self.bands(*self.to_ms(x, y)).mean(0) + self.texture(x, y)
        return bench.write("ms.tif", ms.astype(dtype), self.ms), bench.write(
            "pan.tif", pan[None].astype(dtype), self.pan
        )

    def strangeness(self, output: Output, margin: float = 3.0) -> Array:
        """What each output pixel shows less what there is to see, `[C, n]`, `margin` MS pixels from the edge."""
        x, y = output.grid.centres()
        x, y = self.to_ms(x, y)
        inner = self.ms.covers(x, y, margin) & output.valid.all(0)
        assert inner.any()
        return np.asarray((output.pixels - self.bands(x, y))[:, inner])


def pan_grid(width: int = 96, height: int = 80, turned: float = 0.0, crs: str | None = UTM31) -> Grid:
    return Grid(PAN_PIXEL @ Affine.rotation(turned), width, height, crs)


def ms_under(pan: Grid, across: float, down: float, right: float = 0.0, below: float = 0.0) -> Grid:
    """MS on the ground of PAN: ratios across and down, its corner so many PAN pixels right of and below PAN's."""
    place = Affine.translation(right, below) @ Affine.scale(across, down)
    return Grid(pan.transform @ place, int(pan.width / across), int(pan.height / down), pan.crs)


def turned(grid: Grid, degrees: float) -> Grid:
    """The grid turned about its centre."""
    middle = (grid.width / 2, grid.height / 2)
    return replace(grid, transform=grid.transform @ Affine.rotation(degrees, pivot=middle))


def upside_down(grid: Grid) -> Grid:
    """The same ground with the south in the first row."""
    return replace(grid, transform=grid.transform @ Affine.translation(0, grid.height) @ Affine.scale(1, -1))


def mirrored(grid: Grid) -> Grid:
    """The same ground with the east in the first column."""
    return replace(grid, transform=grid.transform @ Affine.translation(grid.width, 0) @ Affine.scale(-1, 1))


def quarter_turned(grid: Grid) -> Grid:
    """The same ground with rows for columns."""
    corner = grid.transform @ Affine.translation(grid.width, 0) @ Affine.rotation(90)
    return Grid(corner, grid.height, grid.width, grid.crs)


PAN = pan_grid()
PARALLEL = {
    "ratio 4, corners agree": (ms_under(PAN, 4, 4), PAN),
    "ratio 2": (ms_under(PAN, 2, 2), PAN),
    "ratio 3": (ms_under(PAN, 3, 3), PAN),
    "ratio 1.5": (ms_under(PAN, 1.5, 1.5), PAN),
    "ratio 2.37 across, 3.61 down": (ms_under(PAN, 2.37, 3.61), PAN),
    "ratio 8": (ms_under(pan_grid(160, 144), 8, 8), pan_grid(160, 144)),
    "Landsat, centres coincide": (ms_under(PAN, 2, 2, -0.5, -0.5), PAN),
    "corner off by a third of a PAN pixel": (ms_under(PAN, 4, 4, 1 / 3, -1 / 3), PAN),
    "corner off by two thirds of an MS pixel": (ms_under(PAN, 4, 4, -2.7, 2.6), PAN),
    # OSGeo/gdal#11889: PAN covers 6877.75 x 6517 MS pixels, MS has 6877 x 6516
    "extents differ by less than an MS pixel": (ms_under(pan_grid(95, 84), 4, 4), pan_grid(95, 84)),
    "extents differ on all sides": (ms_under(pan_grid(95, 84), 4, 4, 1.5, 2), pan_grid(95, 84)),
    "MS is the larger one": (Grid(PAN_PIXEL @ Affine.translation(-33.3, -20) @ Affine.scale(4), 48, 40), PAN),
    "PAN is the larger one": (Grid(PAN_PIXEL @ Affine.translation(21.4, 10.8) @ Affine.scale(4), 14, 13), PAN),
    "they share a corner": (Grid(PAN_PIXEL @ Affine.translation(37, 29) @ Affine.scale(4), 30, 30), PAN),
    "both south-up": (ms_under(upside_down(PAN), 4, 4, 0.5, 1.5), upside_down(PAN)),
    "both rotated": (ms_under(pan_grid(turned=25), 4, 4, 1, 2), pan_grid(turned=25)),
    "degrees": (
        Grid(Affine(4e-5, 0, 7.0003, 0, -4e-5, 45.0), 24, 20, "EPSG:4326"),
        Grid(Affine(1e-5, 0, 7.0, 0, -1e-5, 45.0), 96, 80, "EPSG:4326"),
    ),
}
WARPED = {
    "MS south-up": (upside_down(ms_under(PAN, 4, 4, 0.3)), PAN),
    "PAN south-up": (ms_under(PAN, 4, 4, 0.3), upside_down(PAN)),
    "MS south-up, centres coincide": (upside_down(ms_under(PAN, 2, 2, -0.5, -0.5)), PAN),
    "MS mirrored": (mirrored(ms_under(PAN, 4, 4, 0.3)), PAN),
    "MS quarter turned": (quarter_turned(ms_under(PAN, 4, 4, 0.3)), PAN),
    "MS quarter turned, anisotropic": (quarter_turned(ms_under(PAN, 2.5, 4.5)), PAN),
    "MS rotated": (turned(ms_under(PAN, 4, 4), 17), PAN),
    "PAN rotated": (ms_under(PAN, 4, 4), turned(PAN, -8)),
    "MS rotated, PAN south-up": (turned(ms_under(PAN, 3, 3), 40), upside_down(PAN)),
}


def around(pan: Grid, crs: str, pixel: float, size: int) -> Grid:
    """An MS grid in another CRS, centred on PAN."""
    x, y = pan.transform @ (pan.width / 2, pan.height / 2)
    middle = pyproj.Transformer.from_crs(pan.crs, crs, always_xy=True).transform(x, y)
    corner = Affine.translation(*middle) @ Affine.scale(pixel, -pixel) @ Affine.translation(-size / 2, -size / 2)
    return Grid(corner, size, size, crs)


OTHER_CRS = {
    "MS in degrees": (around(PAN, "EPSG:4326", 2e-5, 30), PAN),
    "MS in the next zone": (around(PAN, "EPSG:32632", 2.0, 30), PAN),
    "MS in LAEA Europe": (around(PAN, "EPSG:3035", 2.1, 30), PAN),
    "PAN in degrees": (around(g := Grid(Affine(5e-6, 0, 3.0, 0, -5e-6, 36.1), 96, 80, "EPSG:4326"), UTM31, 2.0, 26), g),
}
DATE_LINE = around(Grid(Affine(1e-5, 0, 180, 0, -1e-5, 10), 2, 2, "EPSG:4326"), "EPSG:32601", 0.5, 90)
OTHER_CRS |= {
    "MS in degrees east across the date line": (
        Grid(Affine(2e-5, 0, 180 - 13 * 2e-5, 0, -2e-5, 10 + 11 * 2e-5), 26, 22, "EPSG:4326"),
        DATE_LINE,
    ),
    "MS in degrees west across the date line": (
        Grid(Affine(2e-5, 0, -180 - 13 * 2e-5, 0, -2e-5, 10 + 11 * 2e-5), 26, 22, "EPSG:4326"),
        DATE_LINE,
    ),
}
EVERY = PARALLEL | WARPED | OTHER_CRS


@dataclass
class Fused:
    """The scenes above, each sharpened when first asked for."""

    bench: Bench
    done: dict[tuple[str, str], tuple[Ground, Output]] = field(default_factory=dict)

    def __call__(self, name: str, method: str = "exp") -> tuple[Ground, Output]:
        if (name, method) not in self.done:
            ground = Ground(*EVERY[name])
            self.done[name, method] = ground, self.bench.sharpen(*ground.write(self.bench), method=method)
        return self.done[name, method]


@pytest.fixture(scope="module")
def fused(tmp_path_factory: pytest.TempPathFactory) -> Fused:
    return Fused(Bench(tmp_path_factory.mktemp("fused")))


@pytest.mark.parametrize("name", EVERY)
def test_each_pixel_shows_the_ground_of_its_own_place(fused: Fused, name: str) -> None:
    ground, output = fused(name)
    wrong = ground.strangeness(output)
    assert np.abs(wrong[:2]).max() < RIPPLE * SLOPE
    assert np.abs(wrong[:2].mean(1)).max() < BIAS * SLOPE
    assert np.abs(wrong[2]).max() < RIPPLE * WAVE * 2 * np.pi / 26
    assert abs(wrong[2].mean()) < 0.1


@pytest.mark.parametrize("name", EVERY)
def test_the_output_is_the_part_of_the_pan_grid_that_lies_on_ms(fused: Fused, name: str) -> None:
    ground, output = fused(name)
    col, row = ground.pan.place(*(np.array(v) for v in output.grid.transform @ (0, 0)))
    assert abs(col - round(float(col))) < 1e-6 and abs(row - round(float(row))) < 1e-6
    np.testing.assert_allclose(output.grid.transform[:6], crop(ground.pan, output.grid, col, row)[:6], rtol=1e-12)
    assert output.grid.crs == ground.pan.crs

    # a centre on the edge between two MS pixels belongs to the one after it
    nudged = replace(ground.pan, transform=ground.pan.transform @ Affine.translation(1e-6, 1e-6))
    on_ms = ground.ms.covers(*ground.to_ms(*nudged.centres()))
    rows, cols = np.flatnonzero(on_ms.any(1)), np.flatnonzero(on_ms.any(0))
    first_row, first_col = round(float(row)), round(float(col))
    assert (first_row, first_row + output.grid.height) == (rows[0], rows[-1] + 1)
    assert (first_col, first_col + output.grid.width) == (cols[0], cols[-1] + 1)
    here = on_ms[first_row : first_row + output.grid.height, first_col : first_col + output.grid.width]
    np.testing.assert_array_equal(output.valid, np.broadcast_to(here, output.valid.shape))


def crop(pan: Grid, part: Grid, col: Array, row: Array) -> Affine:
    """The geotransform of a part of PAN."""
    return pan.transform @ Affine.translation(round(float(col)), round(float(row)))


DETAILED = [
    "ratio 2.37 across, 3.61 down",
    "corner off by two thirds of an MS pixel",
    "they share a corner",
    "both rotated",
    "MS south-up",
    "PAN south-up",
    "MS rotated, PAN south-up",
    "MS in degrees",
]


@pytest.mark.parametrize("name", DETAILED)
def test_the_detail_of_pan_stays_on_its_pixel(fused: Fused, name: str) -> None:
    ground, output = fused(name, "gsa")
    x, y = output.grid.centres()
    inner = ground.ms.covers(*ground.to_ms(x, y), 3.0)
    texture = ground.texture(x, y)[inner]
    for detail in ground.strangeness(output)[:2]:
        gain = (detail * texture).sum() / (texture**2).sum()
        assert gain > 0.3
        assert np.abs(detail - gain * texture).max() < 0.1 * np.abs(texture).max()


@pytest.mark.parametrize("name", ["MS south-up", "MS mirrored", "MS quarter turned", "PAN south-up"])
def test_turning_a_file_over_changes_no_pixel(fused: Fused, bench: Bench, name: str) -> None:
    ms, pan = ms_under(PAN, 4, 4, 0.3), PAN
    straight = bench.sharpen(*Ground(ms, pan).write(bench))
    _, turned_over = fused(name)
    pixels = turned_over.pixels[:, ::-1] if name == "PAN south-up" else turned_over.pixels
    np.testing.assert_allclose(pixels, straight.pixels, rtol=1e-6)


def test_all_of_pan_can_be_the_output(fused: Fused, bench: Bench) -> None:
    ground, overlap = fused("they share a corner")
    files = ground.write(bench)
    whole = bench.sharpen(*files, pair=PairOptions(extent="pan"))
    assert (whole.grid.transform, whole.grid.width, whole.grid.height) == (PAN.transform, PAN.width, PAN.height)
    part = (slice(None), slice(29, None), slice(37, None))
    assert whole.valid[part].all() and whole.valid.sum() == overlap.valid.sum()
    np.testing.assert_array_equal(whole.pixels[part], overlap.pixels)


def test_samples_keep_their_value_where_the_centres_coincide(fused: Fused) -> None:
    ground, output = fused("Landsat, centres coincide")
    samples = ground.bands(*ground.ms.centres())
    np.testing.assert_allclose(output.pixels[:, ::2, ::2], samples, rtol=1e-6)


def test_a_missing_crs_is_not_guessed(bench: Bench) -> None:
    ms, pan = PARALLEL["ratio 4, corners agree"]
    ground = Ground(replace(ms, crs=None), pan)
    files = ground.write(bench)
    with pytest.raises(IncompatiblePairError, match="has no CRS"):
        bench.sharpen(*files)
    output = bench.sharpen(*files, pair=PairOptions(assume_aligned=True))
    assert output.grid == pan
    assert np.abs(ground.strangeness(output)[:2]).max() < RIPPLE * SLOPE


def test_one_crs_written_in_two_ways_is_one(bench: Bench) -> None:
    ms, pan = PARALLEL["ratio 4, corners agree"]
    ground = Ground(replace(ms, crs="+proj=utm +zone=31 +datum=WGS84 +units=m +no_defs"), pan)
    output = bench.sharpen(*ground.write(bench))
    assert not output.notes


def test_pixel_is_point_moves_nothing(fused: Fused, bench: Bench) -> None:
    ground, output = fused("corner off by a third of a PAN pixel")
    ms, pan = ground.write(bench)
    for path in (ms, pan):
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(AREA_OR_POINT="Point")
    again = bench.sharpen(ms, pan)
    assert again.grid == output.grid
    np.testing.assert_array_equal(again.pixels, output.pixels)


def test_the_far_corner_of_a_large_scene_is_as_exact_as_the_near_one(bench: Bench) -> None:
    """The sizes of OSGeo/gdal#11889, where mapping by size would be off by three PAN pixels at the far corner."""
    pan = Grid(PAN_PIXEL, 27511, 26068)
    ms = Grid(PAN_PIXEL @ Affine.scale(4), 6877, 6516)
    rows, cols = slice(6440, 6516), slice(6800, 6877)
    corner = Grid(ms.transform @ Affine.translation(cols.start, rows.start), 77, 76)
    near = Grid(pan.transform @ Affine.translation(4 * cols.start, 4 * rows.start), 308, 304)
    ground = Ground(corner, near)
    x, y = near.centres()
    ms_values = ground.bands(*corner.centres()).astype("float32")
    pan_values = (ground.bands(x, y).mean(0) + ground.texture(x, y)).astype("float32")[None]
    ms_name = write_corner(bench.folder / "ms.tif", ms, ms_values, rows.start, cols.start)
    pan_name = write_corner(bench.folder / "pan.tif", pan, pan_values, 4 * rows.start, 4 * cols.start)

    left, bottom = pan.transform @ (27511 - 160, 26068 - 20)
    right, top = pan.transform @ (27511, 26068 - 160)
    output = bench.sharpen(ms_name, pan_name, bbox=(left, bottom, right, top))
    assert output.grid.transform == pan.transform @ Affine.translation(27511 - 160, 26068 - 160)
    assert (output.grid.width, output.grid.height) == (157, 140)  # three PAN columns reach beyond MS
    assert output.valid.all()
    assert np.abs(ground.strangeness(output)[:2]).max() < RIPPLE * SLOPE


def write_corner(path: Path, grid: Grid, values: Array, row: int, col: int) -> str:
    """A huge sparse file that holds a few pixels."""
    count, height, width = values.shape
    layout = {"tiled": True, "sparse_ok": True, "driver": "GTiff", "dtype": "float32", "count": count}
    size = {"width": grid.width, "height": grid.height, "crs": grid.crs, "transform": grid.transform}
    with rasterio.open(path, "w", **layout, **size) as file:
        file.write(values, window=Window(col, row, width, height))
    return str(path)


@given(
    ratios=st.tuples(st.floats(1.2, 6), st.floats(1.2, 6)),
    corner=st.tuples(st.floats(-9, 9), st.floats(-9, 9)),
    angle=st.sampled_from([0, 0, 0, 5, 90, 133, 180]),
    flip=st.booleans(),
)
@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_two_grids_are_laid_over_each_other_rightly(
    tmp_path_factory: pytest.TempPathFactory,
    ratios: tuple[float, float],
    corner: tuple[float, float],
    angle: float,
    flip: bool,
) -> None:
    ms = ms_under(PAN, *ratios, *corner)
    ms = turned(upside_down(ms) if flip else ms, angle)
    ground, bench = Ground(ms, PAN), Bench(tmp_path_factory.mktemp("any"))
    output = bench.sharpen(*ground.write(bench))
    wrong = ground.strangeness(output)[:2]
    uneven = max(ratios) / min(ratios)  # the ripple is 2 % of the larger side of the MS pixel
    assert np.abs(wrong).max() < RIPPLE * uneven * SLOPE
    x, y = output.grid.centres()
    assert output.valid[:, ms.covers(x, y, 1e-3)].all()
    assert not output.valid[:, ~ms.covers(x, y, -1e-3)].any()
