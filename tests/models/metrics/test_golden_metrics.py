"""Do the indices give the numbers that the community's toolbox gives?"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

from clippan_models.measuring.no_reference import score
from clippan_models.measuring.windows import Windows
from clippan_models.metrics.d_lambda import d_lambda
from clippan_models.metrics.d_lambda_k import d_lambda_k
from clippan_models.metrics.d_rho import d_rho
from clippan_models.metrics.d_s import d_s
from clippan_models.metrics.d_sr import d_sr
from clippan_models.metrics.ergas import ergas
from clippan_models.metrics.psnr import psnr, psnr_global
from clippan_models.metrics.q2n import q2n
from clippan_models.metrics.q_avg import q_avg
from clippan_models.metrics.qnr import qnr
from clippan_models.metrics.sam import sam
from clippan_models.metrics.scc import scc
from clippan_models.metrics.ssim import ssim
from clippan_models.ops.toolbox import imresize_bicubic, interp23

if TYPE_CHECKING:
    from collections.abc import Sequence

PEAK = 2047
WV2_GAINS = (0.35,) * 7 + (0.27,)
WV3_GAINS = (0.325, 0.355, 0.360, 0.350, 0.365, 0.360, 0.335, 0.315)


def without_reference(ms: Tensor, pan: Tensor, fused: Tensor, gains: Sequence[float]) -> dict[str, float]:
    exp, pan_at_ms = interp23(ms, 4), imresize_bicubic(pan, 1 / 4)
    spectral, spatial = d_lambda(fused, exp), d_s(fused, pan, exp, interp23(pan_at_ms, 4))
    khan = d_lambda_k(fused, exp, gains, 4)
    return {
        "D_lambda": spectral,
        "D_s": spatial,
        "QNR": qnr(spectral, spatial),
        "D_lambda_K": khan,
        "HQNR": qnr(khan, spatial),
        "D_rho": d_rho(fused, pan, 4),
        "D_sR": d_sr(fused, pan),
        "D_lambda_paper": d_lambda(fused, ms, block=32, reference_block=8),
        "D_s_paper": d_s(fused, pan, ms, pan_at_ms, block=32, reference_block=8),
    }


def with_reference(truth: Tensor, fused: Tensor) -> dict[str, float]:
    return {
        "Q2n": q2n(truth, fused),
        "Q_avg": q_avg(truth, fused),
        "SAM": sam(truth, fused),
        "ERGAS": ergas(truth, fused, 4),
        "PSNR_band": psnr(truth, fused, PEAK),
        "PSNR_global": psnr_global(truth, fused, PEAK),
        "SSIM": ssim(truth, fused, PEAK),
        "SCC": scc(truth, fused),
    }


@pytest.mark.parametrize("bands", [4, 8])
def test_the_formula_scene_is_the_golden_one(bands: int, make_scene: Any, golden: Any) -> None:
    scene, expected = make_scene(bands), golden[f"B{bands}"]
    sums = {
        "sum_ms": scene.ms.sum(),
        "sum_pan": scene.pan.sum(),
        "sum_gt": scene.truth.sum(),
        "sum_fused": scene.fused.sum(),
    }
    assert {name: float(value) for name, value in sums.items()} == {name: expected[name] for name in sums}


@pytest.mark.parametrize("bands", [4, 8])
def test_exp_of_the_formula_scene(bands: int, make_scene: Any, golden: Any) -> None:
    exp, expected = interp23(make_scene(bands).ms, 4), golden[f"B{bands}"]
    assert float(exp.mean()) == pytest.approx(expected["exp_mean"], rel=1e-12)
    assert float(exp.std(correction=0)) == pytest.approx(expected["exp_std"], rel=1e-12)


@pytest.mark.parametrize("bands", [4, 8])
def test_indices_without_reference(bands: int, make_scene: Any, golden: Any) -> None:
    scene, expected = make_scene(bands), golden[f"B{bands}"]
    values = without_reference(scene.ms, scene.pan, scene.fused, scene.gains)
    assert values == pytest.approx({name: expected[name] for name in values}, rel=1e-11)


@pytest.mark.parametrize("bands", [4, 8])
def test_indices_with_reference(bands: int, make_scene: Any, golden: Any) -> None:
    scene, expected = make_scene(bands), golden[f"B{bands}"]
    names = {"SAM": "SAM_deg", "PSNR_band": "PSNR_band_2047", "PSNR_global": "PSNR_global_2047", "SSIM": "SSIM_2047"}
    values = with_reference(scene.truth, scene.fused)
    assert values == pytest.approx({name: expected[names.get(name, name)] for name in values}, rel=1e-11)


@pytest.mark.parametrize("window_size", [32, 96, 512])
@pytest.mark.parametrize("bands", [4, 8])
def test_streamed_indices(bands: int, window_size: int, make_scene: Any, golden: Any) -> None:
    values = score(make_scene(bands).planes(), Windows(size=window_size)).metrics
    assert list(values) == ["D_lambda", "D_s", "QNR", "D_lambda_K", "HQNR", "D_rho", "D_sR", "RQNR"]
    expected = golden[f"B{bands}"]
    expected["RQNR"] = (1 - expected["D_lambda_K"]) * (1 - expected["D_sR"])
    assert values == pytest.approx({name: expected[name] for name in values}, rel=1e-9)


@pytest.mark.parametrize(
    ("crop", "product", "gains"),
    [("WV2", "GLPFS", WV2_GAINS), ("CDIF_WV3", "GSA", WV3_GAINS), ("CDIF_WV3", "BDSDPC", WV3_GAINS)],
)
def test_real_products(crop: str, product: str, gains: tuple[float, ...], golden_folder: Path) -> None:
    expected = json.loads((golden_folder / "metrics_ref64.json").read_text())[crop][product]
    inputs, fused = np.load(golden_folder / f"in_{crop}.npz"), image(golden_folder, f"f_{crop}.npz", product)
    pan = torch.from_numpy(inputs["pan"].astype(np.float64))[None]
    values = without_reference(image(golden_folder, f"in_{crop}.npz", "ms"), pan, fused, gains)
    if "gt" in inputs:
        values |= with_reference(image(golden_folder, f"in_{crop}.npz", "gt"), fused)
    known = {name: value for name, value in values.items() if name in expected}
    assert known == pytest.approx({name: expected[name] for name in known}, rel=1e-9)


@pytest.mark.parametrize("crop", ["WV2", "CDIF_WV3"])
def test_real_interpolations_are_equal_to_the_last_digital_number(crop: str, golden_folder: Path) -> None:
    expected = json.loads((golden_folder / "hashes.json").read_text())[crop]
    ms = image(golden_folder, f"in_{crop}.npz", "ms")
    for name, product in {"EXP": interp23(ms, 4), "BIC": imresize_bicubic(ms, 4)}.items():
        numbers = product.round().clamp(0, 65535).permute(1, 2, 0).numpy().astype(np.uint16)
        assert hashlib.sha256(numbers.tobytes()).hexdigest() == expected[name]["sha256_uint16"]


def image(folder: Path, file: str, name: str) -> Tensor:
    return torch.from_numpy(np.load(folder / file)[name].astype(np.float64)).permute(2, 0, 1)
