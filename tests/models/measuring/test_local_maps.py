"""Do the local maps show where an image is bad, however it is read, and stay small?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from clippan_models.measuring.local_maps import LocalMaps
from clippan_models.measuring.no_reference import score
from clippan_models.measuring.windows import Windows


def test_local_maps_do_not_depend_on_the_windows_and_lie_where_the_image_is_bad(make_scene: Any) -> None:
    scene = make_scene(4, height=48, width=40)
    fused = scene.fused.clone()
    fused[:, 64:96, 32:64] = fused[:, 64:96, 32:64].flip(1)
    spoilt = replace(scene, fused=fused)
    images = []
    for size in (32, 96, 512):
        maps = LocalMaps((192, 160))
        score(spoilt.planes(), Windows(size=size), maps=maps)
        images.append({name: maps.image(name) for name in maps.names})
        assert (maps.cell, maps.field_cell) == (32, 8)
    for name, image in images[0].items():
        assert all(torch.allclose(image, other[name], atol=1e-6) for other in images[1:])
    assert images[0]["D_lambda"].shape == (6, 5) and images[0]["D_rho"].shape == (24, 20)
    for name in ("D_s", "D_lambda_K"):
        assert int(images[0][name].argmax()) == 2 * 5 + 1
    assert int(images[0]["QNR"].argmin()) == 2 * 5 + 1
    assert float(images[0]["D_rho"][8:12, 4:8].mean()) > 2 * float(images[0]["D_rho"][12:].mean())


def test_maps_of_nodata_are_unknown_and_of_huge_scenes_small(make_scene: Any) -> None:
    scene = make_scene(2, height=32, width=32)
    valid = torch.ones_like(scene.fused_valid)
    valid[:64] = False
    maps = LocalMaps((128, 128))
    score(replace(scene, fused_valid=valid).planes(), maps=maps)
    assert maps.image("QNR").isnan().sum() == 8 and not maps.image("QNR")[2:].isnan().any()
    huge = LocalMaps((100_000, 70_000))
    assert max(huge.image("QNR").shape) <= 1024 and max(huge.image("D_rho").shape) <= 1024
