"""What becomes of a tile that memory does not hold, and of a scene too large to take statistics of all of it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from weakref import ReferenceType, ref

import numpy as np
import pytest
import torch
from affine import Affine
from torch import Tensor

from clippan_cli.rasters.tiles import TileArrays
from clippan_cli.running.control import Control
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.scene import open_scene
from clippan_cli.scene.synthetic import make_demo_scene
from clippan_cli.scene.tensors import to_tile
from clippan_cli.sharpening import source
from clippan_cli.sharpening.fuse import sharpen_tile
from clippan_models.classical.exp import ExpFitter
from clippan_models.classical.mtf_glp import MtfGlpFsFitter
from clippan_models.contracts import Observation, Sharpener, Views, Window
from clippan_models.errors import ClippanError, InputError, ResourceError
from clippan_models.ops.views import TileViews, fit_halo
from tests.conftest import PAN_PIXEL, Bench, Grid

SIDE = 256
CPU = torch.device("cpu")


@dataclass
class SmallMemory:
    """A method on a device that holds one image at a time, of at most `most` pixels a side."""

    method: Sharpener
    most: int
    sides: list[int] = field(default_factory=list)
    before: ReferenceType[Views] | None = None

    @property
    def halo(self) -> int:
        return self.method.halo

    def sharpen(self, views: Views) -> Tensor:
        assert self.before is None or self.before() is None, "the tile that did not fit still takes memory"
        self.before = ref(views)
        self.sides.append(views.pan.shape[-1])
        if self.sides[-1] > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return self.method.sharpen(views)


def pair_files(bench: Bench) -> tuple[str, str]:
    """A city of SIDE x SIDE PAN pixels."""
    return bench.write_demo(make_demo_scene(SIDE, shift=(0.0, 0.0)), "float32")


@pytest.fixture
def fitted(bench: Bench) -> tuple[TileArrays, Observation, Sharpener]:
    """A scene in one tile, and a method that looks around fitted to it."""
    ms, pan = pair_files(bench)
    with ExitStack() as stack:
        scene = open_scene(SceneFiles((ms,), pan), ReadOptions(), Control(), stack)
        arrays = scene.reader.read(Window(0, 0, SIDE, SIDE), fit_halo(scene.nominal))
    fitter = MtfGlpFsFitter()
    fitter.update(TileViews(to_tile(arrays, CPU), scene.nominal))
    return arrays, scene.nominal, fitter.finish()


@pytest.mark.parametrize(("core", "tiles"), [(SIDE, 1), (SIDE // 2, 1 + 4), (SIDE // 4, 1 + 4 + 16)])
def test_a_tile_too_large_for_the_device_is_done_in_quarters_that_fit(
    core: int, tiles: int, fitted: tuple[TileArrays, Observation, Sharpener]
) -> None:
    arrays, observation, method = fitted
    halo = (arrays.pan.shape[-1] - SIDE) // 2
    whole = sharpen_tile(arrays, method, observation, CPU)
    small = SmallMemory(method, most=core + 2 * halo)
    np.testing.assert_allclose(sharpen_tile(arrays, small, observation, CPU), whole, rtol=0, atol=0.01)
    assert len(small.sides) == tiles


class NotFinite:
    """A method that divides by zero at one pixel of the second band."""

    halo = 0

    def sharpen(self, views: Views) -> Tensor:
        fused = views.ms_up.clone()
        fused[1, -1, -1] = torch.inf
        return fused


def test_a_result_that_is_not_finite_ends_the_run_and_leaves_no_file(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ExpFitter, "finish", lambda self: NotFinite())
    ms, pan = pair_files(bench)
    before = sorted(bench.folder.iterdir())
    with pytest.raises(InputError, match=r"demo_ms\.tif and .*demo_pan\.tif give values that are not finite"):
        bench.sharpen(ms, pan, method="exp")
    assert sorted(bench.folder.iterdir()) == before


class Flat:
    """A method that has lost the second band."""

    halo = 0

    def sharpen(self, views: Views) -> Tensor:
        fused = views.ms_up.clone()
        fused[1] = -1e30  # is clipped to the lowest value
        return fused


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_result_that_is_constant_where_ms_is_not_ends_the_run_and_leaves_no_file(
    dtype: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ExpFitter, "finish", lambda self: Flat())
    ms, pan = bench.write_demo(make_demo_scene(SIDE, shift=(0.0, 0.0)), dtype)
    before = sorted(bench.folder.iterdir())
    with pytest.raises(ClippanError, match=r"would be constant in band 2, although .*demo_ms\.tif is not") as refused:
        bench.sharpen(ms, pan, method="exp", tile=100)
    assert refused.value.exit_code == 1 and sorted(bench.folder.iterdir()) == before
    assert bench.sharpen(ms, pan, method="exp", bands=(1, 3)).pixels.std() > 0


@pytest.mark.parametrize("difference", [0, 1])
def test_a_result_may_be_constant_where_ms_is(difference: int, bench: Bench) -> None:
    ms, pan = make_demo_scene(SIDE, shift=(0.0, 0.0)), Grid(PAN_PIXEL, SIDE, SIDE)
    values = np.rint(ms.ms).astype("uint16")
    values[2], values[2, 20, 20] = 7, 7 + difference
    names = bench.write("ms.tif", values, replace(pan, transform=PAN_PIXEL @ Affine.scale(4), width=64, height=64))
    fused = bench.sharpen(names, bench.write("pan.tif", np.rint(ms.pan).astype("uint16"), pan), method="exp")
    assert (fused.pixels[2] == 7).mean() > 0.99


def test_a_device_that_holds_nothing_is_named(fitted: tuple[TileArrays, Observation, Sharpener]) -> None:
    arrays, observation, method = fitted
    with pytest.raises(ResourceError, match="--device cpu"):
        sharpen_tile(arrays, SmallMemory(method, most=1), observation, CPU)


@pytest.mark.parametrize("method", ["brovey", "gsa", "mtf-glp-fs", "mtf-glp-hpm-r", "bdsd-pc"])
def test_a_sample_of_a_large_scene_tells_what_all_of_it_tells(
    bench: Bench, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = pair_files(bench)
    everything = bench.sharpen(*files, method=method)
    monkeypatch.setattr(source, "_STATISTICS_CELL", 32)
    monkeypatch.setattr(source, "_STATISTICS_PIXELS", SIDE**2 // 2)
    half = bench.sharpen(*files, method=method)
    again = bench.sharpen(*files, method=method, tile=100)
    np.testing.assert_allclose(again.pixels, half.pixels, rtol=0, atol=0.01)
    spread = everything.pixels.std(axis=(1, 2), keepdims=True)
    assert (np.abs(half.pixels - everything.pixels) / spread).mean() < 0.05
    assert not np.array_equal(half.pixels, everything.pixels)
