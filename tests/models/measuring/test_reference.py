"""Are scores against a reference the same however the scene is read, and does nodata stay out of them?"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor

from clippan_models.errors import InputError
from clippan_models.measuring.reference import ReferenceScores, score_reference
from clippan_models.measuring.windows import Windows
from clippan_models.metrics.ergas import ergas
from clippan_models.metrics.psnr import psnr, psnr_global
from clippan_models.metrics.q2n import q2n
from clippan_models.metrics.sam import sam
from clippan_models.metrics.scc import scc
from clippan_models.metrics.ssim import ssim

PEAK = 2047.0


def whole(truth: Tensor, fused: Tensor) -> dict[str, float]:
    return {
        "Q2n": q2n(truth, fused),
        "SAM": sam(truth, fused),
        "ERGAS": ergas(truth, fused, 4),
        "PSNR": psnr(truth, fused, PEAK),
        "PSNR_global": psnr_global(truth, fused, PEAK),
        "SSIM": ssim(truth, fused, PEAK),
        "SCC": scc(truth, fused),
    }


@pytest.fixture
def streamed(hold: Any) -> Any:
    def scores(truth: Tensor, fused: Tensor, size: int = 256, mask: Tensor | None = None) -> ReferenceScores:
        return score_reference(hold(truth), hold(fused, mask), 4, PEAK, Windows(size=size))

    return scores


@pytest.mark.parametrize("window_size", [32, 96, 512])
@pytest.mark.parametrize("bands", [4, 8])
def test_golden_values_come_out_of_the_stream(
    bands: int, window_size: int, make_scene: Any, golden: Any, streamed: Any
) -> None:
    scene, expected = make_scene(bands), golden[f"B{bands}"]
    names = {"SAM": "SAM_deg", "PSNR": "PSNR_band_2047", "PSNR_global": "PSNR_global_2047", "SSIM": "SSIM_2047"}
    values = streamed(scene.truth, scene.fused, window_size).metrics
    assert values == pytest.approx({name: expected[names.get(name, name)] for name in values}, rel=1e-9)


@pytest.mark.parametrize("window_size", [32, 64, 512])
@pytest.mark.parametrize("size", [(128, 128), (75, 61), (129, 100), (33, 40)])
def test_any_window_gives_the_values_of_the_whole_image(
    size: tuple[int, int], window_size: int, make_scene: Any, streamed: Any
) -> None:
    scene = make_scene(3, height=33, width=33)
    part = (slice(None), slice(0, size[0]), slice(0, size[1]))
    truth, fused = scene.truth[part], scene.fused[part]
    assert streamed(truth, fused, window_size).metrics == pytest.approx(whole(truth, fused), rel=1e-9)


def test_what_nodata_holds_does_not_matter(make_scene: Any, streamed: Any) -> None:
    scene = make_scene(4)
    mask = torch.ones(128, 128, dtype=torch.bool)
    mask[20:40, 50:90] = False
    mask[100:, :7] = False
    scores = []
    for filler, size in ((0.0, 32), (65535.0, 96), (-1e9, 512)):
        scores.append(streamed(scene.truth, torch.where(mask, scene.fused, filler), size, mask).metrics)
    assert scores[1] == pytest.approx(scores[0], rel=1e-9) and scores[2] == pytest.approx(scores[0], rel=1e-9)


def test_nodata_at_the_side_leaves_the_rest_alone(make_scene: Any, streamed: Any) -> None:
    scene = make_scene(4)
    mask = torch.ones(128, 128, dtype=torch.bool)
    mask[:, 96:] = False
    values = streamed(scene.truth, scene.fused, mask=mask).metrics
    expected = whole(scene.truth[:, :, :96], scene.fused[:, :, :96])
    exact = ("Q2n", "SAM", "ERGAS", "PSNR", "PSNR_global", "SSIM")
    assert {n: values[n] for n in exact} == pytest.approx({n: expected[n] for n in exact}, rel=1e-9)
    assert values["SCC"] == pytest.approx(expected["SCC"], abs=1e-3)  # no border becomes an edge there


def test_the_errors_of_the_bands_are_told(make_scene: Any, streamed: Any) -> None:
    scene = make_scene(4)
    fused = scene.truth + torch.tensor([5.0, 0.0, -3.0, 0.0])[:, None, None]
    bands = streamed(scene.truth, fused).bands
    assert [band.bias for band in bands] == pytest.approx([5, 0, -3, 0], abs=1e-9)
    assert [band.rmse for band in bands] == pytest.approx([5, 0, 3, 0], abs=1e-9)
    assert [band.correlation for band in bands] == pytest.approx([1, 1, 1, 1])
    assert bands[0].fused_mean == pytest.approx(float(fused[0].mean()))
    assert bands[0].psnr(PEAK) == pytest.approx(20 * math.log10(PEAK / 5)) and math.isinf(bands[1].psnr(PEAK))


@pytest.mark.parametrize("level", [0.0, 500.0])
def test_flat_images_give_numbers(level: float, make_scene: Any, streamed: Any) -> None:
    scene = make_scene(4)
    values = streamed(scene.truth, torch.full_like(scene.fused, level)).metrics
    assert all(math.isfinite(value) for value in values.values())
    perfect = streamed(torch.full_like(scene.truth, 500), torch.full_like(scene.truth, 500)).metrics
    assert (perfect["Q2n"], perfect["SAM"], perfect["ERGAS"], perfect["SCC"]) == pytest.approx((1, 0, 0, 1), abs=1e-6)


def test_images_that_do_not_fit_are_refused(make_scene: Any, hold: Any, streamed: Any) -> None:
    scene = make_scene(4)
    with pytest.raises(InputError, match="the reference is"):
        score_reference(hold(scene.truth), hold(scene.fused[:3]), 4, PEAK)
    with pytest.raises(InputError, match="nothing to compare"):
        streamed(scene.truth, scene.fused, mask=torch.zeros(128, 128, dtype=torch.bool))
    with pytest.raises(ValueError, match="48"):
        streamed(scene.truth, scene.fused, 48)


def test_the_psnr_is_that_of_scikit_image(make_scene: Any, streamed: Any) -> None:
    scene = make_scene(4)
    found = streamed(scene.truth, scene.fused).metrics["PSNR_global"]
    expected = peak_signal_noise_ratio(  # type: ignore[no-untyped-call]
        scene.truth.numpy(), scene.fused.numpy(), data_range=PEAK
    )
    assert found == pytest.approx(expected)


def test_shared_indices_agree_with_sewar(make_scene: Any, oracle: Any, streamed: Any) -> None:
    scene = make_scene(4)
    values = streamed(scene.truth, scene.fused).metrics
    sewar = oracle("sewar.full_ref")
    truth, fused = (image.permute(1, 2, 0).numpy() for image in (scene.truth, scene.fused))
    assert values["SAM"] == pytest.approx(math.degrees(sewar.sam(truth, fused)), rel=1e-6)
    assert values["PSNR_global"] == pytest.approx(sewar.psnr(truth, fused, MAX=PEAK), rel=1e-9)


def test_several_threads_change_nothing(make_scene: Any, hold: Any) -> None:
    scene = make_scene(4)
    held = hold(scene.truth), hold(scene.fused)
    expected = score_reference(*held, 4, PEAK, Windows(size=32))
    assert score_reference(*held, 4, PEAK, Windows(size=32, workers=3)) == expected
