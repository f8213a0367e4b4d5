"""MS in several files on one grid: their bands follow each other, and the result says which is which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from clippan_cli.scene.synthetic import DemoScene
from tests.conftest import PAN_PIXEL, Bench, Grid


def files(bench: Bench, town: DemoScene, parts: Sequence[tuple[str, slice]], noise: float = 0.0) -> list[str]:
    """Files with some of the bands of MS each, whose corners differ by noise."""
    height, width = town.ms.shape[1:]
    grid = Grid(PAN_PIXEL @ Affine.scale(4), width, height)
    return [
        bench.write(name, town.ms[bands].round().astype("uint16"), moved, tags={"PART": name}, photometric="RGB")
        if bands.stop - bands.start == 3
        else bench.write(name, town.ms[bands].round().astype("uint16"), moved, tags={"PART": name})
        for number, (name, bands) in enumerate(parts)
        for moved in [replace(grid, transform=Affine.translation(noise * number, 0) @ grid.transform)]
    ]


@pytest.mark.parametrize(
    "parts",
    [
        [(f"b{n}.tif", slice(n, n + 1)) for n in range(4)],
        [("front.tif", slice(0, 2)), ("back.tif", slice(2, 4))],
        [("three.tif", slice(0, 3)), ("one.tif", slice(3, 4))],
    ],
    ids=["one band each", "two bands each", "three and one"],
)
def test_the_result_is_that_of_one_file(bench: Bench, town: DemoScene, parts: list[tuple[str, slice]]) -> None:
    whole, pan = bench.write_demo(town)
    expected = bench.sharpen(whole, pan, method="gsa")
    output = bench.sharpen(files(bench, town, parts, noise=1e-5), pan, method="gsa")
    assert output.grid == expected.grid and not output.notes
    np.testing.assert_array_equal(output.pixels, expected.pixels)


def test_the_result_says_which_band_is_which(bench: Bench, town: DemoScene) -> None:
    _, pan = bench.write_demo(town)
    names = files(bench, town, [("PNEO3_NED.tif", slice(1, 4)), ("PNEO3_RGB.tif", slice(0, 3))])
    output = bench.sharpen(names, pan, bands=(1, 4, 6))
    with rasterio.open(output.path) as fused:
        assert fused.descriptions == ("nir", "red", "blue")
        assert fused.colorinterp == (ColorInterp.nir, ColorInterp.red, ColorInterp.blue)
        assert [fused.tags(band)["PART"] for band in (1, 2, 3)] == [f"PNEO3_{n}.tif" for n in ("NED", "RGB", "RGB")]
    assert '["PNEO3_NED.tif", "PNEO3_RGB.tif"]' in output.tags["MS"]
