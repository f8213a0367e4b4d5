"""Seen as MS sees, is the fused image the MS again? The seeing here is scipy's, not clippan's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from clippan_cli.scene.synthetic import GAIN, RATIO, make_demo_scene
from tests.conftest import Array, Bench

SIDE = 192
MARGIN = 4  # MS pixels at the edge, where the blur looks beyond the image

# What is left between the MS and the fused image seen as MS sees, by its standard deviation: RMS, worst band.
SEEN_BY_MTF = {"exp": 0.15, "mtf-glp-fs": 0.11, "mtf-glp-hpm-r": 0.11, "clippan": 0.06}
BLOCK_MEANS = {"exp": 0.06}


def seen_by_ms(image: Array, down: float = 0.0, right: float = 0.0) -> Array:
    """An image on the PAN grid blurred by the true MTF of the demo and sampled where its MS samples lie."""
    sigma = RATIO * math.sqrt(-2 * math.log(GAIN)) / math.pi
    rows, cols = np.mgrid[0 : image.shape[1] // RATIO, 0 : image.shape[2] // RATIO] * RATIO + (RATIO - 1) / 2
    return np.stack([map_coordinates(gaussian_filter(band, sigma), (rows + down, cols + right)) for band in image])


def left_over(found: Array, ms: Array) -> tuple[float, float]:
    """RMS of the difference by the standard deviation of MS, and the mean difference in DN; the worst band's."""
    inner = (slice(None), slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    off = (found - ms)[inner]
    shares = np.sqrt((off**2).mean((1, 2))) / ms[inner].std((1, 2))
    return float(shares.max()), float(np.abs(off.mean((1, 2))).max())


@pytest.mark.parametrize(
    "method", [pytest.param(m, marks=pytest.mark.slow) if m == "clippan" else m for m in SEEN_BY_MTF]
)
def test_the_fused_image_seen_as_ms_sees_is_the_ms(bench: Bench, method: str) -> None:
    scene = make_demo_scene(SIDE, shift=(0.0, 0.0))
    output = bench.sharpen(*bench.write_demo(scene), method=method, steps=40)
    share, bias = left_over(seen_by_ms(output.pixels), np.rint(scene.ms))
    assert share < SEEN_BY_MTF[method]
    assert bias < 1


@pytest.mark.parametrize("method", BLOCK_MEANS)
def test_the_mean_of_the_pixels_on_an_ms_pixel_is_its_value(bench: Bench, method: str) -> None:
    scene = make_demo_scene(SIDE, shift=(0.0, 0.0))
    pixels = bench.sharpen(*bench.write_demo(scene), method=method).pixels
    blocks = pixels.reshape(4, SIDE // RATIO, RATIO, SIDE // RATIO, RATIO).mean((2, 4))
    share, bias = left_over(blocks, np.rint(scene.ms))
    assert share < BLOCK_MEANS[method]
    assert bias < 1


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mtf-glp-fs", "clippan"])
def test_that_holds_where_the_bands_are_found_to_be_off(bench: Bench, method: str) -> None:
    down, right = 1.3, -0.8
    scene = make_demo_scene(SIDE, shift=(down, right))
    output = bench.sharpen(*bench.write_demo(scene), method=method, coregister="auto", steps=40)
    share, bias = left_over(seen_by_ms(output.pixels, down, right), np.rint(scene.ms))
    assert share < SEEN_BY_MTF[method]
    assert bias < 1
