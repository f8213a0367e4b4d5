"""Does every pixel of the output show the ground that its geotransform says?

The MS bands of these scenes are functions of map coordinates: the first two *are* the coordinates, in MS pixels, the
third is a wave. So each output pixel says where its value comes from, and PAN alone carries a fine texture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyproj
import pytest
from affine import Affine
from clippan_cli.rasters.pair import PairOptions
from numpy.typing import NDArray

from tests.conftest import PAN_PIXEL, UTM31, Array, Bench, Grid, Output

SLOPE = 20.0  # DN per MS pixel of the bands that tell the place

# MS pixels by which a value may seem to come from elsewhere: the interpolation kernel bends straight lines a little
PLACE_TOLERANCE = 0.02


@dataclass(frozen=True)
class Ground:
    """What there is to see: a function of map coordinates in the CRS of MS, in units of the MS pixel."""

    ms: Grid
    pan: Grid

    def bands(self, x: Array, y: Array) -> Array:
        """The MS bands at map coordinates of MS."""
        x0, y0 = self.ms.transform @ (self.ms.width / 2, self.ms.height / 2)
        size = abs(self.ms.transform.determinant) ** 0.5
        u, v = (x - x0) / size, (y - y0) / size
        wave = np.sin(2 * np.pi * u / 30) * np.cos(2 * np.pi * v / 26)
        return np.stack([2000 + SLOPE * u, 2000 + SLOPE * v, 1500 + 300 * wave])

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
        return np.asarray(to_x), np.asarray(to_y)

    def write(self, bench: Bench, dtype: str = "float32") -> tuple[str, str]:
        """The two files."""
        ms = self.bands(*self.ms.centres())
        x, y = self.pan.centres()
        pan = self.bands(*self.to_ms(x, y)).mean(0) + self.texture(x, y)
        return bench.write("ms.tif", ms.astype(dtype), self.ms), bench.write("pan.tif", pan[None].astype(dtype), self.pan)

    def strangeness(self, output: Output, margin: float = 3.0) -> Array:
        """Difference of each output pixel from what there is to see at its place, `[C, n]`, away from the MS edge."""
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
EVERY = PARALLEL | WARPED | OTHER_CRS


@pytest.mark.parametrize("name", EVERY)
def test_each_pixel_shows_the_ground_of_its_own_place(bench: Bench, name: str) -> None:
    ground = Ground(*EVERY[name])
    output = bench.sharpen(*ground.write(bench))
    wrong = ground.strangeness(output)
    print("P:", name, np.abs(wrong[:2]).max(1) / SLOPE, np.abs(wrong[2]).max(), output.notes)
    assert np.abs(wrong[:2]).max() / SLOPE < PLACE_TOLERANCE
    assert np.abs(wrong[2]).max() < 3
