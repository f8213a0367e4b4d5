"""NITF files whose header rounds their corners: related by RPCs, else by the user's word, else doubted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.shutil import copy

from clippan_cli.rasters.options import PairOptions
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.tasks.info import info
from clippan_models.errors import IncompatiblePairError
from tests.conftest import Bench, Grid, Output
from tests.tasks.test_geometry import RIPPLE, SLOPE
from tests.tasks.test_without_geotransform import CORNER, MS, PAN, Camera, write, wrong

DEGREES = 0.6 / 111_320
IN_DEGREES = Affine(DEGREES, 0, 15 + 11.4998 / 3600, 0, -DEGREES, 48.001)
ALIGNED = PairOptions(assume_aligned=True)


ON_CORNER = replace(MS, transform=Affine.scale(4), width=24, height=20)


def nitf(
    bench: Bench, on_ground: Affine, ms: Grid = MS, crs: str = "EPSG:4326", *, rpcs: bool = False
) -> tuple[str, str]:
    """A pair of which GDAL has made NITF files."""
    of = [{"transform": on_ground @ grid.transform, "crs": crs} for grid in (ms, PAN)]
    models = [{"rpcs": Camera().rpc(grid)} if rpcs else {} for grid in (ms, PAN)]
    files = write(bench, ms, PAN, of[0] | models[0], of[1] | models[1])
    for file in files:
        copy(file, Path(file).with_suffix(".ntf"), driver="NITF")
    return str(bench.folder / "ms.ntf"), str(bench.folder / "pan.ntf")


def warnings(files: tuple[str, str], pair: PairOptions = PairOptions()) -> dict[str, str]:
    read = ReadOptions(sensor="generic", pair=pair)
    return {w.code: w.message for w in info(SceneFiles((files[0],), files[1]), read).warnings}


def off(output: Output, ms: Grid, begins: tuple[int, int] = (0, 0)) -> float:
    """How wrong an output is at most, by the pixels of PAN and not by its georeferencing, which is rounded."""
    bare = replace(output, grid=replace(output.grid, transform=Affine.identity(), crs=None))
    return float(np.abs(wrong(bare, ms, PAN, begins)).max())


def test_corners_in_seconds_of_arc_are_doubted_with_what_to_do(bench: Bench) -> None:
    told = warnings(nitf(bench, IN_DEGREES))["rounded-corners"]
    assert "the corners of pan.ntf are rounded to whole seconds of arc, steps of" in told
    assert "--assume-aligned" in told and "RPCs" in told and "gdal_translate -a_ullr" in told


@pytest.mark.parametrize(
    ("on_ground", "crs", "told"),
    [
        (IN_DEGREES, "EPSG:4326", True),
        (Affine(0.6, 0, 500_000.3, 0, -0.6, 5_400_000.2), "EPSG:32633", True),
        (Affine(10, 0, 500_003, 0, -10, 5_400_002), "EPSG:32633", False),
    ],
)
def test_corners_that_are_known_to_a_pixel_are_not_doubted(
    on_ground: Affine, crs: str, told: bool, bench: Bench
) -> None:
    assert ("rounded-corners" in warnings(nitf(bench, on_ground, ON_CORNER, crs))) == told


def test_the_users_word_counts_more_than_rounded_corners(bench: Bench) -> None:
    files = nitf(bench, IN_DEGREES, ON_CORNER)
    output = bench.sharpen(*files, pair=ALIGNED)
    assert off(output, ON_CORNER) < 1.5 * RIPPLE * SLOPE
    assert "rounded to whole seconds of arc" in output.notes[0] and "--assume-aligned" in output.notes[0]
    assert "rounded-corners" not in warnings(files, ALIGNED)


def test_rpcs_count_more_than_rounded_corners(bench: Bench) -> None:
    files = nitf(bench, IN_DEGREES, rpcs=True)
    output = bench.sharpen(*files)
    assert (output.grid.width, output.grid.height) == (PAN.width - CORNER[0], PAN.height - CORNER[1])
    assert off(output, MS, CORNER) < RIPPLE * SLOPE
    assert "rounded to whole seconds of arc" in output.notes[0] and "RPCs of both files" in output.notes[0]
    assert "rounded-corners" not in warnings(files)


def test_the_rounded_corners_of_a_turned_image_are_no_gcps_to_trust(bench: Bench) -> None:
    files = nitf(bench, IN_DEGREES @ Affine.rotation(20), ON_CORNER)
    with rasterio.open(files[0]) as dataset:
        assert dataset.transform.is_identity and len(dataset.gcps[0]) == 4
    with pytest.raises(IncompatiblePairError, match=r"rounded to whole seconds of arc, .*--assume-aligned"):
        bench.sharpen(*files)
    assert off(bench.sharpen(*files, pair=ALIGNED), ON_CORNER) < 1.5 * RIPPLE * SLOPE


def test_images_that_rounding_has_moved_apart_are_refused_with_the_reason(bench: Bench) -> None:
    far = replace(MS, transform=Affine.translation(90, 29) @ Affine.scale(4))
    with pytest.raises(
        IncompatiblePairError, match=r"overlap.*; the corners of .* are rounded to whole seconds of arc"
    ):
        bench.sharpen(*nitf(bench, IN_DEGREES, far))


def test_copies_with_their_true_corners_are_trusted(bench: Bench) -> None:
    """What the warning advises: the header of the NITF stays among their tags."""
    for name, grid in zip(nitf(bench, IN_DEGREES), (MS, PAN), strict=True):
        copied = Path(name).with_suffix(".tif")
        copy(name, copied, driver="GTiff")
        with rasterio.open(copied, "r+") as dataset:
            assert "NITF_ICORDS" in dataset.tags()
            dataset.transform = IN_DEGREES @ grid.transform
    files = str(bench.folder / "ms.tif"), str(bench.folder / "pan.tif")
    assert off(bench.sharpen(*files), MS, CORNER) < RIPPLE * SLOPE
    assert "rounded-corners" not in warnings(files)
