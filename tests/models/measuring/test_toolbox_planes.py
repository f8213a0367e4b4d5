"""Are the planes of a window those of the whole image, also beyond its border and beside nodata?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from clippan_models.contracts import Window
from clippan_models.errors import InputError
from clippan_models.measuring.reading import fill_by_distance
from clippan_models.ops.toolbox import imresize_bicubic, interp23, mtf_filter


@pytest.mark.parametrize(
    "window", [Window(0, 0, 80, 64), Window(0, 0, 7, 5), Window(13, 21, 30, 40), Window(70, 50, 10, 14)]
)
def test_planes_are_cut_from_those_of_the_whole_image(window: Window, make_scene: Any) -> None:
    scene = make_scene(3, height=20, width=16)
    planes = scene.planes()
    cut = (slice(None), slice(window.row, window.row_stop), slice(window.col, window.col_stop))
    whole = {
        "exp": interp23(scene.ms, 4),
        "pan_low": interp23(imresize_bicubic(scene.pan, 1 / 4), 4),
        "fused_mtf": mtf_filter(scene.fused, scene.gains, 4),
        "fused": scene.fused,
        "pan": scene.pan,
    }
    for name, image in whole.items():
        assert torch.allclose(getattr(planes, name)(window), image[cut], rtol=1e-11), name


def test_planes_beyond_the_scene_are_zero_and_invalid(make_scene: Any) -> None:
    scene = make_scene(2, height=4, width=4)
    window = Window(-3, 10, 8, 9)
    planes = scene.planes()
    assert planes.valid(window).sum() == 5 * 6
    assert not planes.fused(window)[:, ~planes.valid(window)].any()
    assert torch.equal(planes.pan(window)[:, 3:, :6], scene.pan[:, :5, 10:])


def test_images_that_do_not_fit_are_refused(make_scene: Any) -> None:
    scene, other = make_scene(4), make_scene(4, height=24)
    with pytest.raises(InputError, match="power of two"):
        replace(scene, ms=other.ms).planes()
    with pytest.raises(InputError, match="PAN"):
        replace(scene, pan=other.pan).planes()
    with pytest.raises(InputError, match="4 bands, the MS 4, the sensor 8"):
        replace(scene, gains=make_scene(8).gains).planes()


def test_filling_continues_an_image_beyond_its_edge() -> None:
    ramp = torch.arange(40.0, dtype=torch.float64).expand(1, 40, 40).clone()
    valid = torch.zeros(40, 40, dtype=torch.bool)
    valid[:, :20] = True
    ramp[:, ~valid] = float("nan")
    filled = fill_by_distance(ramp, valid, 8)
    assert filled.shape == (1, 24, 24)
    assert torch.equal(filled[:, :, :12], ramp[:, 8:32, 8:20])
    assert bool(((filled[:, :, 12:20] > 17) & (filled[:, :, 12:20] < 19.5)).all())
    assert not filled[:, :, 20:].any()
