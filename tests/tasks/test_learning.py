"""Does learning bring the image nearer to a truth that it has not seen?"""

from __future__ import annotations

import numpy as np
import pytest

from clippan_cli.scene.painting import Image
from clippan_cli.scene.synthetic import make_demo_scene
from tests.conftest import Array, Bench

SIDE = 320
BORDER = 16  # pixels, where windows look beyond the image


def rms(image: Array, truth: Image) -> float:
    """Root mean square error of an image in DN, the mean of its bands."""
    inner = (slice(None), slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    return float(np.sqrt(((image - truth)[inner] ** 2).mean((1, 2))).mean())


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["anyband", "lambda-pnn"])
def test_learning_beats_the_closed_form_where_lines_are_thinner_than_an_ms_pixel(bench: Bench, backbone: str) -> None:
    """What is learned one scale down does not hold for them."""
    scene = make_demo_scene(SIDE)
    files = bench.write_demo(scene)
    closed, learned = (
        bench.sharpen(*files, method="clippan", backbone=name, steps=steps, coregister="auto").pixels
        for name, steps in (("apnn", 0), (backbone, 40))  # a network of random weights corrects nothing at first
    )
    assert rms(learned, scene.truth) < 0.97 * rms(closed, scene.truth)
