"""What an image of many bands costs: no more than a bounded number of samples is looked at, whatever their number."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from affine import Affine

from clippan_cli.running.control import Control
from clippan_cli.scene import estimation
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.scene import Scene, scene_as_referenced
from clippan_cli.scene.tensors import to_tile
from clippan_models.contracts import Tile, Window
from tests.conftest import PAN_PIXEL, Bench, Grid

RATIO, SIDE = 2, 200  # MS pixels: room for four windows of the estimate


def open_many(bench: Bench, bands: int, stack: ExitStack) -> Scene:
    """A scene of many bands; the last one has no data at its left."""
    pan = np.random.default_rng(2).integers(1, 200, (1, RATIO * SIDE, RATIO * SIDE)).astype(np.uint8)
    ms = np.repeat(pan[:, ::RATIO, ::RATIO], bands, 0)
    ms[-1, :, :20] = 0
    files = SceneFiles(
        (bench.write("ms.tif", ms, Grid(PAN_PIXEL @ Affine.scale(RATIO), SIDE, SIDE), nodata=0),),
        bench.write("pan.tif", pan, Grid(PAN_PIXEL, RATIO * SIDE, RATIO * SIDE)),
    )
    return scene_as_referenced(files, ReadOptions(sensor="generic", coregister="off"), Control(), stack)


@pytest.mark.parametrize(("bands", "windows"), [(4, 4), (64, 4), (256, 1)])
def test_many_bands_are_looked_at_in_fewer_windows(
    bands: int, windows: int, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Estimated(Exception):
        pass

    def estimate(tiles: Sequence[Tile], *_: object, **__: object) -> None:
        raise Estimated(len(tiles))

    monkeypatch.setattr(estimation, "estimate_observation", estimate)
    with ExitStack() as stack, pytest.raises(Estimated) as looked_at:
        estimation.estimate_scene(open_many(bench, bands, stack), Control())
    assert looked_at.value.args == (windows,)


def test_bands_share_their_mask_where_they_can(bench: Bench) -> None:
    with ExitStack() as stack:
        reader = open_many(bench, 3, stack).reader
        apart, alike = reader.read(Window(0, 0, 64, 64), 8), reader.read(Window(200, 200, 64, 64), 8)
    tiles = [to_tile(arrays, torch.device("cpu")) for arrays in (apart, alike)]
    for arrays, tile, sizes in zip((apart, alike), tiles, (3, 1), strict=True):
        assert arrays.valid.shape == (3, 80, 80) == tuple(tile.valid.shape)
        assert tile.valid.untyped_storage().nbytes() == sizes * 80 * 80
        assert (tile.valid.numpy() == arrays.valid).all()
    assert alike.valid.all() and apart.valid[:2, 8:, 8:].all()
    assert not apart.valid[2, :, : 8 + 40].any() and apart.valid[2, 8:, 8 + 40 :].all()
