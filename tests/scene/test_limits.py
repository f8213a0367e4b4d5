"""Which values are learned from: ranges of bands, and where they are saturated."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from clippan_cli.rasters.limits import ImageLimits
from clippan_cli.rasters.tiles import TileArrays
from clippan_cli.scene.limits import find_limits, saturation_of
from clippan_models.contracts import Window

NORMAL = np.random.default_rng(0).normal(500, 100, 40_000).round().astype(np.float32)


def tile(ms: NDArray[Any], pan: NDArray[Any]) -> TileArrays:
    """Two images side by side as one tile, all valid."""
    valid = [np.ones(image.shape, np.bool_) for image in (ms, pan)]
    windows = [Window(0, 0, *image.shape[1:]) for image in (ms, pan)]
    return TileArrays(ms, valid[0], pan, valid[1], valid[1], windows[0], windows[1], windows[1])


def image(*bands: NDArray[Any]) -> NDArray[np.float32]:
    return np.stack(bands).reshape(len(bands), 200, 200).astype(np.float32)


def test_each_band_has_its_own_range_whatever_is_wild() -> None:
    wild = NORMAL.copy()
    wild[:200] = 60_000
    wild[200:300] = -9999
    limits = find_limits([tile(image(wild, NORMAL / 1e4), image(NORMAL))])
    found = limits.ms.outliers(image(wild, wild / 1e4), np.ones((2, 200, 200), np.bool_))
    assert found.sum((1, 2)).tolist() == [300, 300]
    assert limits.ms.lowest[0] < NORMAL.min() < NORMAL.max() < limits.ms.highest[0] < 10_000
    assert limits.ms.highest[1] < 1


def test_bright_roofs_and_dark_water_are_no_outliers() -> None:
    r = np.random.default_rng(1)
    forest = np.exp(r.normal(6, 0.3, 40_000))
    forest[:20], forest[20:60] = 4095, 0
    limits = find_limits([tile(image(forest), image(forest))])
    assert not limits.pan.outliers(image(forest), np.ones((1, 200, 200), np.bool_)).any()


def test_an_image_of_one_value_has_no_range() -> None:
    limits = find_limits([tile(image(np.full(40_000, 7.0)), image(NORMAL))])
    assert not limits.ms.bounded
    assert limits.pan.bounded


def test_what_is_common_in_a_window_is_part_of_the_scene() -> None:
    """The range is that of water; an island that no window showed is learned from all the same."""
    water = ImageLimits((0.0,), (100.0,))
    sea = np.full((1, 64, 64), 50, np.float32)
    valid = np.ones(sea.shape, np.bool_)
    buoy, island = sea.copy(), sea.copy()
    buoy[0, 10, 10], island[0, :8, :8] = 900, 900
    assert not water.outliers(sea, valid).any()
    assert np.argwhere(water.outliers(buoy, valid)).tolist() == [[0, 10, 10]]
    assert not water.outliers(island, valid).any()


@pytest.mark.parametrize(
    ("values", "level"),
    [
        (NORMAL.clip(max=700), 700),
        (NORMAL.clip(max=510), 510),
        (np.append(NORMAL, np.full(40, 2047)), 2047),
        (NORMAL, math.inf),
        (np.append(NORMAL, 2047), math.inf),
        (np.tile([0.0, 1.0, 2.0, 3.0], 1000), math.inf),
        (np.append(np.zeros(100), np.ones(900)), math.inf),
        (np.full(1000, 7.0), math.inf),
        (np.array([]), math.inf),
    ],
)
def test_saturation_is_where_samples_pile_up(values: NDArray[Any], level: float) -> None:
    assert saturation_of(values.astype(np.float32)) == level
