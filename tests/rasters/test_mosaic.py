"""Joining tiles: an identity in gives the identity out, and a step between tiles is smoothed away."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clippan_cli.rasters.tiles import Mosaic, plan_tiles
from clippan_models.contracts import Window


def joined(scene: np.ndarray, window: Window, size: int, overlap: int, step: float = 0.0) -> np.ndarray:
    """Cut a scene into tiles, add `step` times their number, and join them again."""
    mosaic = Mosaic(window, overlap)
    out = np.full_like(scene, np.nan)
    frame = Window(window.row, window.col, *scene.shape[1:])
    for number, core in enumerate(plan_tiles(window, size)):
        tile = scene[:, *mosaic.outer(core).inside(frame)] + np.float32(step * number)
        out[:, *core.inside(frame)] = mosaic.add(core, tile)
    return out


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    size=st.integers(8, 40),
    overlap=st.integers(0, 8),
    row=st.integers(0, 5),
)
def test_tiles_that_agree_leave_no_trace(height: int, width: int, size: int, overlap: int, row: int) -> None:
    scene = np.random.default_rng(0).normal(500, 100, (2, height, width)).astype(np.float32)
    assert np.array_equal(joined(scene, Window(row, 3, height, width), size, overlap), scene)


def test_a_step_between_tiles_becomes_a_ramp() -> None:
    scene = np.zeros((1, 40, 80), np.float32)
    hard = joined(scene, Window(0, 0, 40, 80), 40, 0, step=10)
    soft = joined(scene, Window(0, 0, 40, 80), 40, 16, step=10)
    assert np.abs(np.diff(hard[0, 20])).max() == 10
    assert np.abs(np.diff(soft[0, 20])).max() < 1.2
    assert soft[0, 20, 0] == 0 and soft[0, 20, -1] == 10


def test_every_pixel_is_in_one_core() -> None:
    window = Window(3, 5, 101, 77)
    seen = np.zeros((101, 77), int)
    for core in plan_tiles(window, 32):
        seen[core.inside(window)] += 1
    assert (seen == 1).all()
