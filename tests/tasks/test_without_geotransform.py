"""Where do MS and PAN meet if no geotransform says it: by RPCs, by GCPs, or by their sizes and the user's word?"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC

from clippan_cli.quality.planes import place_of
from clippan_cli.rasters.options import PairOptions, Trust
from clippan_cli.rasters.source import open_source
from clippan_cli.running.control import Control
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.scene import open_scene
from clippan_models.contracts import Window
from clippan_models.errors import IncompatiblePairError, InputError
from tests.conftest import PAN_PIXEL, UTM31, Array, Bench, Grid, Output
from tests.tasks.test_geometry import BIAS, RIPPLE, SLOPE, Ground

PAN = Grid(Affine.identity(), 96, 80, None)
CORNER = (37, 29)  # PAN column and row at which MS begins: the corners of the files are far apart
MS = Grid(Affine.translation(*CORNER) @ Affine.scale(4), 30, 30, None)
TURNED = replace(MS, transform=MS.transform @ Affine.rotation(1.5))
ON_PAN = Grid(Affine.identity(), PAN.width - CORNER[0], PAN.height - CORNER[1], None)


@dataclass(frozen=True)
class Camera:
    """Looks at the ground from PAN pixels, in corner coordinates, by a model that bends rows and columns.

    Attributes:
        bend: of the columns along the rows, in samples of the RPC.
    """

    bend: float = 0.02

    def rpc(self, grid: Grid) -> RPC:
        """The RPCs of an image that lies so on PAN; its rows and columns run along PAN's."""
        ratio, scale, offset = grid.transform.a, 60.0, (48.0, 40.0)
        samp_off, line_off = (
            (at + 0.5 - d) / ratio - 0.5 for at, d in zip(offset, grid.transform @ (0, 0), strict=True)
        )
        sample = [0.001, 1.0, 0.02, 0.03, self.bend] + [0.0] * 15
        line = [0.002, 0.01, -1.0, 0.02, 0.001] + [0.0] * 15
        below = [1.0, 0.0005, 0.001] + [0.0] * 17
        return RPC(
            **{"height_off": 120.0, "height_scale": 500.0, "lat_off": 48.0, "lat_scale": 3e-4},
            **{"long_off": 15.0, "long_scale": 4e-4, "samp_off": samp_off, "samp_scale": scale / ratio},
            **{"line_off": line_off, "line_scale": scale / ratio, "err_bias": 0.0, "err_rand": 0.0},
            **{"samp_num_coeff": sample, "samp_den_coeff": below, "line_num_coeff": line, "line_den_coeff": below},
        )

    def gcps(self, grid: Grid, count: int) -> list[GroundControlPoint]:
        """A square of points of an image that lies so on PAN."""
        found = []
        for row in np.linspace(0, grid.height, count):
            for col in np.linspace(0, grid.width, count):
                x, y = grid.transform @ (col, row)
                bent = self.bend * x * y / 96
                found.append(GroundControlPoint(row, col, 5e5 + 0.5 * (x + bent), 4e6 - 0.5 * (y - bent), 0.0))
        return found


def write(bench: Bench, ms: Grid, pan: Grid, of_ms: dict[str, Any], of_pan: dict[str, Any]) -> tuple[str, str]:
    """A pair without geotransforms."""
    ground = Ground(ms, pan)
    x, y = pan.centres()
    values = ground.bands(x, y).mean(0) + ground.texture(x, y)
    return (
        bench.write("ms.tif", ground.bands(*ms.centres()).astype("float32"), **of_ms),
        bench.write("pan.tif", values[None].astype("float32"), **of_pan),
    )


def by_rpcs(bench: Bench, ms: Grid = MS, camera: Camera = Camera(), other: Camera = Camera()) -> tuple[str, str]:
    return write(bench, ms, PAN, {"rpcs": other.rpc(ms)}, {"rpcs": camera.rpc(PAN)})


def by_gcps(bench: Bench, ms: Grid = MS) -> tuple[str, str]:
    of_ms, of_pan = ({"gcps": Camera().gcps(grid, 4), "crs": "EPSG:32633"} for grid in (ms, PAN))
    return write(bench, ms, PAN, of_ms, of_pan)


def wrong(output: Output, ms: Grid, pan: Grid, begins: tuple[int, int] = (0, 0)) -> Array:
    """What the two bands that tell the place say too much, away from the edge of MS; `begins`: of the output on PAN."""
    u, v = (at + by for at, by in zip(output.grid.centres(), begins, strict=True))
    inner = ms.covers(u, v, 3.0) & output.valid.all(0)
    assert inner.any()
    return np.asarray((output.pixels - Ground(ms, pan).bands(u, v))[:2, inner])


@pytest.mark.parametrize(
    ("files", "model"), [(by_rpcs, "RPCs of both files at their mean height, 120 m"), (by_gcps, "GCPs of both files")]
)
def test_two_files_with_a_model_of_the_ground_are_related_by_it(bench: Bench, files: Any, model: str) -> None:
    output = bench.sharpen(*files(bench))
    assert (output.grid.width, output.grid.height) == (ON_PAN.width, ON_PAN.height)
    assert np.abs(wrong(output, MS, PAN, CORNER)).max() < RIPPLE * SLOPE
    assert len(output.notes) == 1 and model in output.notes[0]
    assert "4 x 4 PAN pixels, and MS begins at PAN column 37.00, row 29.00" in output.notes[0]
    with rasterio.open(output.path) as fused, rasterio.open(bench.folder / "pan.tif") as pan:
        if pan.rpcs is not None:
            assert (fused.rpcs.samp_off, fused.rpcs.line_off) == (pan.rpcs.samp_off - 37, pan.rpcs.line_off - 29)
        else:
            assert [(g.col + 37, g.row + 29, g.x, g.y) for g in fused.gcps[0]] == [
                (g.col, g.row, g.x, g.y) for g in pan.gcps[0]
            ]


def test_an_image_turned_against_pan_by_its_gcps_is_warped(bench: Bench) -> None:
    output = bench.sharpen(*by_gcps(bench, TURNED), pair=PairOptions(extent="pan"))
    assert np.abs(wrong(output, TURNED, PAN)).max() < 2 * RIPPLE * SLOPE
    assert "GCPs of both files" in output.notes[0] and "warped" in output.notes[1]


def test_a_ratio_and_a_corner_between_pixels_are_found_as_well(bench: Bench) -> None:
    ms = Grid(Affine.translation(-3.3, 5.7) @ Affine.scale(3.2), 31, 22, None)
    output = bench.sharpen(*by_rpcs(bench, ms), pair=PairOptions(extent="pan"))
    assert np.abs(wrong(output, ms, PAN)).max() < RIPPLE * SLOPE


def test_models_that_do_not_belong_together_are_refused_with_the_figures(bench: Bench) -> None:
    files = by_rpcs(bench, other=Camera(bend=0.09))
    with pytest.raises(
        IncompatiblePairError, match=r"RPCs .* wrong by up to 0\.\d\d PAN pixels, and 0\.25 are allowed"
    ):
        bench.sharpen(*files, pair=PairOptions(assume_aligned=True))


def test_gcps_on_one_line_are_refused(bench: Bench) -> None:
    line = [GroundControlPoint(n, n, 5e5 + n, 4e6, 0.0) for n in (0, 10, 20)]
    files = write(bench, MS, PAN, *[{"gcps": line, "crs": "EPSG:32633"}] * 2)
    with pytest.raises(IncompatiblePairError, match=r"GCPs of both files, .* cannot be used: .*not solvable"):
        bench.sharpen(*files)


def test_broken_rpcs_are_refused(bench: Bench) -> None:
    ms, pan = write(bench, MS, PAN, {}, {})
    item = '<MDI key="LINE_OFF">abc</MDI>'
    (bench.folder / "ms.tif.aux.xml").write_text(f'<PAMDataset><Metadata domain="RPC">{item}</Metadata></PAMDataset>')
    with pytest.raises(InputError, match=r"ms\.tif has broken RPCs: .*abc"):
        bench.sharpen(ms, pan)


def test_one_model_alone_relates_nothing(bench: Bench) -> None:
    files = write(bench, MS, PAN, {}, {"rpcs": Camera().rpc(PAN)})
    with pytest.raises(
        IncompatiblePairError, match="no geotransform, and the two files have no RPCs or GCPs in common"
    ):
        bench.sharpen(*files)


def test_a_geotransform_counts_more_than_rpcs(bench: Bench) -> None:
    ms, pan = (replace(grid, transform=PAN_PIXEL @ grid.transform, crs=UTM31) for grid in (MS, PAN))
    rpcs = {"rpcs": Camera().rpc(PAN)}
    of_ms, of_pan = ({"transform": grid.transform, "crs": grid.crs, **rpcs} for grid in (ms, pan))
    output = bench.sharpen(*write(bench, ms, pan, of_ms, of_pan))
    assert not output.notes
    assert np.abs(Ground(ms, pan).strangeness(output)[:2]).max() < RIPPLE * SLOPE


@pytest.mark.parametrize("bbox", [None, (50.0, 40.0, 90.0, 70.0)])
def test_the_result_is_assessed_where_it_lies(bench: Bench, bbox: tuple[float, float, float, float] | None) -> None:
    files = by_rpcs(bench)
    output = bench.sharpen(*files, bbox=bbox)
    with ExitStack() as stack:
        scene = open_scene(SceneFiles((files[0],), files[1]), ReadOptions(), Control(), stack)
        place = place_of(open_source([str(output.path)], "fused", Trust(), stack), scene)
    assert place == (Window(29, 37, 51, 59) if bbox is None else Window(40, 50, 30, 40))


@pytest.mark.parametrize(
    ("width", "height", "ratio", "says"),
    [
        (96, 84, 4.0, "assumed to begin at the same upper left corner"),
        (96, 80, 4.0, "4 times as many columns and 3.81 times as many rows, 4 is taken"),
        (95, 83, 4.0, "3.958 times as many columns and 3.952 times as many rows, 4 is taken"),
        (104, 84, 4.0, "4.333 times as many columns and 4 times as many rows, 4 is taken"),
        (60, 52, 2.5, "2.5 times as many columns and 2.476 times as many rows, 2.5 is taken"),
        (72, 63, 3.0, "assumed to begin at the same upper left corner"),
    ],
)
def test_the_users_word_and_the_ratio_that_both_axes_share(
    bench: Bench, width: int, height: int, ratio: float, says: str
) -> None:
    pan, ms = Grid(Affine.identity(), width, height, None), Grid(Affine.scale(ratio), 24, 21, None)
    files = write(bench, ms, pan, {}, {})
    with pytest.raises(IncompatiblePairError, match="--assume-aligned"):
        bench.sharpen(*files)
    output = bench.sharpen(*files, pair=PairOptions(assume_aligned=True))
    assert (output.grid.width, output.grid.height) == (min(width, 24 * ratio), min(height, int(21 * ratio)))
    assert np.abs(wrong(output, ms, pan)).max() < 1.5 * RIPPLE * SLOPE
    assert np.abs(wrong(output, ms, pan).mean(1)).max() < BIAS * SLOPE
    assert says in output.notes[0] and ("cropped" in output.notes[0]) == ("is taken" in says)


@pytest.mark.parametrize(("width", "height"), [(70, 90), (96, 63), (96, 60), (101, 79)])
def test_sizes_without_a_ratio_in_common_are_refused_with_both(bench: Bench, width: int, height: int) -> None:
    files = write(bench, MS, replace(PAN, width=width, height=height), {}, {})
    both = rf"{width / 30:.4g} times as many columns as .*ms\.tif, but {height / 30:.4g} times as many rows"
    with pytest.raises(IncompatiblePairError, match=both):
        bench.sharpen(*files, pair=PairOptions(assume_aligned=True))
