"""Is the score of a scene the same however it is read, and does nodata stay out of it?"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from clippan_models.contracts import Window
from clippan_models.errors import InputError
from clippan_models.measuring.local_maps import LocalMaps
from clippan_models.measuring.no_reference import NoReferenceScores, score
from clippan_models.measuring.planes import QualityPlanes
from clippan_models.measuring.toolbox_planes import ToolboxPlanes
from clippan_models.measuring.windows import Windows
from clippan_models.metrics.d_lambda import d_lambda
from clippan_models.metrics.d_lambda_k import d_lambda_k
from clippan_models.metrics.d_rho import d_rho
from clippan_models.metrics.d_s import d_s
from clippan_models.metrics.d_sr import d_sr
from clippan_models.ops.toolbox import imresize_bicubic, interp23

BLOCK_INDICES = ["D_lambda", "D_s", "QNR", "D_lambda_K", "HQNR"]


@dataclass(frozen=True)
class FixedPlanes:
    """Planes that were made beforehand, `[C, H, W]`, to put nodata around them without changing them."""

    images: dict[str, Tensor]
    mask: Tensor
    ratio: float = 4

    @classmethod
    def of(cls, planes: ToolboxPlanes) -> FixedPlanes:
        whole = Window(0, 0, *planes.shape)
        names = ("fused", "pan", "exp", "pan_low", "fused_mtf")
        return cls({name: getattr(planes, name)(whole) for name in names}, planes.valid(whole))

    def framed(self, frame: int, filler: float) -> FixedPlanes:
        margins = (frame,) * 4
        images = {name: pad(image, margins, value=filler) for name, image in self.images.items()}
        return FixedPlanes(images, pad(self.mask, margins))

    @property
    def shape(self) -> tuple[int, int]:
        return self.mask.shape[0], self.mask.shape[1]

    @property
    def bands(self) -> int:
        return len(self.images["fused"])

    def fused(self, window: Window) -> Tensor:
        return self._cut(self.images["fused"], window)

    def pan(self, window: Window) -> Tensor:
        return self._cut(self.images["pan"], window)

    def valid(self, window: Window) -> Tensor:
        return self._cut(self.mask[None], window)[0]

    def exp(self, window: Window) -> Tensor:
        return self._cut(self.images["exp"], window)

    def pan_low(self, window: Window) -> Tensor:
        return self._cut(self.images["pan_low"], window)

    def fused_mtf(self, window: Window) -> Tensor:
        return self._cut(self.images["fused_mtf"], window)

    def _cut(self, image: Tensor, window: Window) -> Tensor:
        far = 64
        rows, cols = window.inside(Window(-far, -far, 0, 0))
        return pad(image, (far,) * 4)[:, rows, cols]


def close(scores: NoReferenceScores, expected: NoReferenceScores, rel: float = 1e-9) -> bool:
    return bool(scores.metrics == pytest.approx(expected.metrics, rel=rel))


@pytest.mark.parametrize("window_size", [32, 64, 160, 512])
def test_any_window_gives_the_values_of_the_whole_image(window_size: int, make_scene: Any) -> None:
    scene = make_scene(4, height=56, width=40)
    exp = interp23(scene.ms, 4)
    pan_low = interp23(imresize_bicubic(scene.pan, 1 / 4), 4)
    scores = score(scene.planes(), Windows(size=window_size))
    assert scores.metrics["D_lambda"] == pytest.approx(d_lambda(scene.fused, exp), rel=1e-9)
    assert scores.metrics["D_s"] == pytest.approx(d_s(scene.fused, scene.pan, exp, pan_low), rel=1e-9)
    assert scores.metrics["D_lambda_K"] == pytest.approx(d_lambda_k(scene.fused, exp, scene.gains, 4), rel=1e-9)
    assert scores.metrics["D_rho"] == pytest.approx(d_rho(scene.fused, scene.pan, 4), rel=1e-9)
    assert scores.metrics["D_sR"] == pytest.approx(d_sr(scene.fused, scene.pan), rel=1e-9)
    assert scores.metrics["QNR"] == pytest.approx((1 - scores.metrics["D_lambda"]) * (1 - scores.metrics["D_s"]))
    assert scores.metrics["HQNR"] == pytest.approx((1 - scores.metrics["D_lambda_K"]) * (1 - scores.metrics["D_s"]))
    assert (scores.valid_share, scores.blocks) == (1, 7 * 5)


@pytest.mark.parametrize("ratio", [2, 8])
def test_other_ratios_stream_alike(ratio: int, make_scene: Any) -> None:
    scene, wide = make_scene(2, height=160 // ratio, width=128 // ratio), make_scene(2, height=40, width=32)
    scene = replace(wide, ms=scene.ms, ms_valid=scene.ms_valid)
    exp = interp23(scene.ms, ratio)
    scores = score(scene.planes(), Windows(size=64))
    assert scores.metrics["D_lambda"] == pytest.approx(d_lambda(scene.fused, exp), rel=1e-9)
    assert scores.metrics["D_lambda_K"] == pytest.approx(d_lambda_k(scene.fused, exp, scene.gains, ratio), rel=1e-9)
    assert scores.metrics["D_rho"] == pytest.approx(d_rho(scene.fused, scene.pan, ratio), rel=1e-9)


@pytest.mark.parametrize(("height", "width"), [(27, 19), (13, 33), (7, 5)])
def test_sizes_that_do_not_divide_into_blocks(height: int, width: int, make_scene: Any) -> None:
    planes = make_scene(4, height=height, width=width).planes()
    scores = score(planes, Windows(size=32))
    assert close(score(planes, Windows(size=512)), scores)
    # A last block counts when it is half full: 27 * 4 = 108 = 3.4 blocks, 19 * 4 = 76 = 2.4 blocks, and so on.
    assert scores.blocks == {(27, 19): 6, (13, 33): 8, (7, 5): 1}[height, width]


def test_a_frame_of_nodata_changes_no_block(make_scene: Any) -> None:
    planes = FixedPlanes.of(make_scene(4).planes())
    alone = score(planes)
    for frame, filler in ((32, 0.0), (64, 65535.0)):
        framed = score(planes.framed(frame, filler), Windows(size=96))
        for name in BLOCK_INDICES:
            assert framed.metrics[name] == pytest.approx(alone.metrics[name], rel=1e-9)
        assert framed.blocks == alone.blocks
        assert framed.valid_share == pytest.approx(128**2 / (128 + 2 * frame) ** 2)


def test_a_frame_of_nodata_hardly_changes_the_score_of_a_real_run(make_scene: Any) -> None:
    scene = make_scene(4, height=48, width=48)
    frame, ms_frame = (32,) * 4, (8,) * 4
    framed = replace(
        scene,
        ms=pad(scene.ms, ms_frame),
        pan=pad(scene.pan, frame),
        fused=pad(scene.fused, frame),
        ms_valid=pad(scene.ms_valid, ms_frame),
        pan_valid=pad(scene.pan_valid, frame),
        fused_valid=pad(scene.fused_valid, frame),
    )
    expected = score(scene.planes()).metrics
    # D_rho has lost the border, where the toolbox's zeros correlate with themselves.
    assert score(framed.planes()).metrics == pytest.approx(expected, abs=0.02)


MASKS = ["ms_valid", "pan_valid", "fused_valid"]


def stained(scene: Any, mask: str, filler: float) -> Any:
    """The scene with a nodata stripe, a hole and a corner in one of its images, which hold the filler there."""
    name = mask.removesuffix("_valid")
    valid, image = getattr(scene, mask).clone(), getattr(scene, name).clone()
    unit = valid.shape[0] // 8
    valid[:, 3 * unit : 4 * unit] = False
    valid[5 * unit : 6 * unit, 5 * unit] = False
    valid[: unit // 2, : 2 * unit] = False
    image[:, ~valid] = filler
    return replace(scene, **{mask: valid, name: image})


@pytest.mark.parametrize("mask", MASKS)
def test_what_nodata_holds_does_not_matter(mask: str, make_scene: Any) -> None:
    scene = make_scene(4)
    scores = [score(stained(scene, mask, filler).planes(), Windows(size=64)) for filler in (0.0, -1e30, 65535.0)]
    assert scores[0] == scores[1] == scores[2]
    assert scores[0].valid_share < 1


@pytest.mark.parametrize("mask", MASKS)
def test_the_window_does_not_matter_beside_nodata(mask: str, make_scene: Any) -> None:
    planes = stained(make_scene(4, height=40, width=48), mask, 0.0).planes()
    expected = score(planes, Windows(size=512))
    assert close(score(planes, Windows(size=32)), expected)
    assert close(score(planes, Windows(size=96)), expected)


def test_nodata_in_one_place_leaves_far_blocks_alone(make_scene: Any) -> None:
    scene = make_scene(4, height=64, width=64)
    stain = torch.ones_like(scene.fused_valid)
    stain[:96, :96] = False
    masked = replace(scene, fused=torch.where(stain, scene.fused, 0.0), fused_valid=stain)
    far = Window(160, 160, 64, 64)
    for name in ("exp", "pan_low", "fused_mtf"):
        assert torch.allclose(getattr(masked.planes(), name)(far), getattr(scene.planes(), name)(far), rtol=1e-12)


def test_a_block_counts_when_half_of_it_is_valid(make_scene: Any) -> None:
    planes = FixedPlanes.of(make_scene(2).planes())
    mask = planes.mask.clone()
    mask[:16, :32] = False
    mask[32:49, :32] = False
    assert score(replace(planes, mask=mask)).blocks == 15


def test_a_scene_without_anything_valid_is_refused(make_scene: Any) -> None:
    scene = make_scene(2)
    with pytest.raises(InputError, match="0 of 16384 pixels are valid") as error:
        score(replace(scene, pan_valid=torch.zeros_like(scene.pan_valid)).planes())
    assert "\n" not in str(error.value)


def test_a_scene_smaller_than_half_a_block_is_refused(make_scene: Any) -> None:
    with pytest.raises(InputError, match="nothing to assess"):
        score(make_scene(2, height=4, width=4).planes())


def test_a_scene_whose_valid_pixels_never_touch_is_refused(make_scene: Any) -> None:
    scene = make_scene(2)
    checkered = torch.arange(128)[:, None].add(torch.arange(128)) % 2 == 0
    with pytest.raises(InputError, match="within a few pixels"):
        score(replace(scene, fused_valid=checkered).planes())


@pytest.mark.parametrize("flat", ["ms", "pan", "fused"])
@pytest.mark.parametrize("level", [0.0, 500.0])
def test_flat_images_give_numbers(flat: str, level: float, make_scene: Any) -> None:
    scene = make_scene(4)
    image = getattr(scene, flat)
    for share in (1.0, 0.3):
        changed = image.clone()
        changed[:, : int(share * image.shape[1])] = level
        scores = score(replace(scene, **{flat: changed}).planes())
        values = scores.metrics
        assert all(math.isfinite(value) for value in values.values())
        bounded = set(values) - {"D_sR", "RQNR"}  # without an intercept, a step can leave more than there was
        assert all(-1 <= values[name] <= 2 for name in bounded)


def test_a_scene_that_is_flat_altogether_has_no_distortion_but_no_detail_either(make_scene: Any) -> None:
    scene = make_scene(4)
    level = torch.tensor([300.0, 400.0, 500.0, 600.0], dtype=torch.float64)[:, None, None]
    flat = replace(
        scene, ms=level.expand(4, 32, 32), fused=level.expand(4, 128, 128), pan=torch.full_like(scene.pan, 450.0)
    )
    found = score(flat.planes()).metrics
    assert found["D_lambda"] == pytest.approx(0, abs=1e-8) and found["D_s"] == pytest.approx(0, abs=1e-8)
    assert found["D_rho"] == pytest.approx(1, abs=0.1)  # the border, where the zeros begin, is all that correlates


def test_the_interpolated_ms_has_no_spectral_distortion_and_pan_no_spatial_one(make_scene: Any) -> None:
    scene = make_scene(4)
    exp = score(replace(scene, fused=interp23(scene.ms, 4)).planes())
    assert exp.metrics["D_lambda"] == pytest.approx(0, abs=1e-12)
    sharp = score(replace(scene, fused=scene.pan.expand(4, -1, -1)).planes())
    assert sharp.metrics["D_rho"] == pytest.approx(0, abs=1e-9)
    assert exp.metrics["D_rho"] > scores_of_truth(scene).metrics["D_rho"] > sharp.metrics["D_rho"]
    assert exp.metrics["D_lambda_K"] < scores_of_truth(scene).metrics["D_lambda_K"] < sharp.metrics["D_lambda_K"]


def scores_of_truth(scene: Any) -> NoReferenceScores:
    return score(replace(scene, fused=scene.truth).planes())


def test_noise_is_punished(make_scene: Any) -> None:
    scene = make_scene(4)
    noise = torch.rand(scene.fused.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5
    scores = [score(replace(scene, fused=scene.truth + share * noise).planes()) for share in (0, 200, 600)]
    for name in ("QNR", "HQNR"):
        assert scores[0].metrics[name] > scores[1].metrics[name] > scores[2].metrics[name]
    assert scores[0].metrics["D_rho"] < scores[1].metrics["D_rho"] < scores[2].metrics["D_rho"]


def test_a_single_band_has_no_spectral_distortion_between_bands(make_scene: Any) -> None:
    scores = score(make_scene(1).planes())
    assert scores.metrics["D_lambda"] == 0 and 0 < scores.metrics["D_s"] < 1 and 0 < scores.metrics["D_lambda_K"] < 1


def test_each_band_may_have_a_low_pan_of_its_own(make_scene: Any) -> None:
    planes = FixedPlanes.of(make_scene(4).planes())
    images = planes.images | {"pan_low": planes.images["pan_low"].expand(4, -1, -1)}
    assert close(score(replace(planes, images=images)), score(planes))


def test_float32_planes_are_enough(make_scene: Any) -> None:
    planes = FixedPlanes.of(make_scene(4).planes())
    images = {name: image.float() for name, image in planes.images.items()}
    assert close(score(replace(planes, images=images)), score(planes), rel=1e-4)


def test_progress_is_told_and_may_stop_the_run(make_scene: Any) -> None:
    told: list[tuple[int, int]] = []
    planes: QualityPlanes = make_scene(2).planes()
    score(planes, Windows(size=64, on_progress=lambda done, total: told.append((done, total))))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(planes, Windows(on_progress=stop))


def test_windows_must_hold_whole_blocks(make_scene: Any) -> None:
    with pytest.raises(ValueError, match="48"):
        score(make_scene(2).planes(), Windows(size=48))


@pytest.mark.parametrize("window_size", [32, 64, 512])
def test_the_definition_of_the_paper_streams_too(window_size: int, make_scene: Any) -> None:
    scene = make_scene(4, height=56, width=40)
    planes = scene.planes()
    scores = score(planes, Windows(size=window_size), coarse=planes.on_ms_grid())
    pan_low = imresize_bicubic(scene.pan, 1 / 4)
    assert scores.metrics["D_lambda"] == pytest.approx(d_lambda(scene.fused, scene.ms, 32, 8), rel=1e-9)
    assert scores.metrics["D_s"] == pytest.approx(d_s(scene.fused, scene.pan, scene.ms, pan_low, 32, 8), rel=1e-9)


@pytest.mark.parametrize("workers", [2, 5])
def test_several_threads_change_nothing(workers: int, make_scene: Any) -> None:
    planes = stained(make_scene(4, height=40, width=48), "ms_valid", 0.0).planes()
    alone, together = LocalMaps(planes.shape), LocalMaps(planes.shape)
    threads = torch.get_num_threads()
    expected = score(planes, Windows(size=32), maps=alone)
    assert score(planes, Windows(size=32, workers=workers), maps=together) == expected
    assert torch.get_num_threads() == threads
    for name in alone.names:
        assert torch.equal(alone.image(name).nan_to_num(-1), together.image(name).nan_to_num(-1))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(planes, Windows(size=32, workers=workers, on_progress=stop))
    assert torch.get_num_threads() == threads


def test_nodata_does_not_matter_to_the_definition_of_the_paper(make_scene: Any) -> None:
    scene = make_scene(4, height=40, width=48)
    found = []
    for filler, size in ((0.0, 512), (-1e30, 32), (65535.0, 96)):
        planes = stained(scene, "pan_valid", filler).planes()
        found.append(score(planes, Windows(size=size), coarse=planes.on_ms_grid()))
    assert close(found[1], found[0]) and close(found[2], found[0])
