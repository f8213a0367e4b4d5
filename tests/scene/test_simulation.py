"""Is a simulated pair what its truth would have looked like?"""

from __future__ import annotations

import numpy as np

from clippan_cli.scene.simulation import SIMULATED_RATIO, simulated_pair
from clippan_cli.scene.synthetic import make_demo_scene


def test_ms_and_pan_have_the_means_of_the_truth() -> None:
    truth = make_demo_scene(64).truth
    ms, pan = simulated_pair(truth)
    assert ms.shape == (4, 64 // SIMULATED_RATIO, 64 // SIMULATED_RATIO) and pan.shape == (1, 64, 64)
    np.testing.assert_allclose(ms.mean((1, 2)), truth.mean((1, 2)), rtol=0.02)
    np.testing.assert_allclose(pan[0], truth.mean(0), atol=12)  # six times the noise


def test_a_pair_is_the_same_each_time() -> None:
    truth = make_demo_scene(64).truth
    for one, other in zip(simulated_pair(truth), simulated_pair(truth), strict=True):
        np.testing.assert_array_equal(one, other)
