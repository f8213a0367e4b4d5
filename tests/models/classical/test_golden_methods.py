"""Do the classical methods give the values of the community's toolbox?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from clippan_models.classical.bdsd_pc import BdsdPcFitter
from clippan_models.classical.exp import ExpFitter
from clippan_models.classical.gsa import GsaFitter
from clippan_models.classical.mtf_glp import MtfGlpFsFitter, MtfGlpHpmRFitter
from clippan_models.contracts import Fitter, Sharpener, Views

METHODS: dict[str, type[Fitter]] = {
    "gsa": GsaFitter,
    "mtf_glp_fs": MtfGlpFsFitter,
    "mtf_glp_hpm_r": MtfGlpHpmRFitter,
    "bdsd_pc": BdsdPcFitter,
}
PRINTED = 1e-9  # the golden values have nine decimals
CROPS = Path(__file__).parents[4] / "shared" / "reference" / "golden"
needs_crops = pytest.mark.skipif(not (CROPS / "hashes.json").exists(), reason="the real crops are not part of the code")

Fit = Callable[..., Sharpener]
Make = Callable[..., Any]


@pytest.mark.parametrize("bands", [4, 8])
@pytest.mark.parametrize("name", METHODS)
def test_synthetic_scene_gives_the_golden_values(
    name: str, bands: int, golden: dict[str, Any], make_scene: Make, make_views: Make, fit: Fit
) -> None:
    expected = golden[f"B{bands}"]
    ms, pan, sensor = make_scene(bands)
    assert (ms.sum(), pan.sum(), sensor) == (expected["sum_ms"], expected["sum_pan"], expected["sensor"])
    views: Views = make_views((ms, pan, sensor), degraded=name == "bdsd_pc")
    fused = fit(METHODS[name](), [views]).sharpen(views)
    found = {
        "band_mean": fused.mean((1, 2)),
        "band_std": fused.flatten(1).std(1, correction=0),
        "pixel_64_64": fused[:, 64, 64],
    }
    for key, value in found.items():
        assert value.tolist() == pytest.approx(expected[name][key], abs=PRINTED, rel=0), key


@pytest.mark.parametrize("bands", [4, 8])
def test_bdsd_pc_coefficients_are_golden(
    bands: int, golden: dict[str, Any], make_scene: Make, make_views: Make
) -> None:
    fitter = BdsdPcFitter()
    fitter.update(make_views(make_scene(bands), degraded=True))
    for found, expected in zip(
        fitter.finish().coefficients, golden[f"B{bands}"]["bdsd_pc"]["coefficients"], strict=True
    ):
        signed = [expected[0], *(-e for e in expected[1:])]
        assert list(found) == pytest.approx(signed, abs=PRINTED, rel=0)


def real_views(crop: str, make_views: Make, *, degraded: bool = False) -> Views:
    images = np.load(CROPS / f"in_{crop}.npz")
    ms, pan = (torch.from_numpy(images[key].astype(np.float64)) for key in ("ms", "pan"))
    views: Views = make_views((ms.permute(2, 0, 1), pan[None], str(images["sensor"])), degraded=degraded)
    return views


def as_written(fused: Tensor) -> NDArray[np.uint16]:
    return fused.permute(1, 2, 0).add(0.5).floor().clamp(0, 65535).numpy().astype(np.uint16, order="C")


@needs_crops
@pytest.mark.parametrize("crop", ["WV2", "CDIF_WV3"])
@pytest.mark.parametrize(("name", "fitter"), [("EXP", ExpFitter), ("BDSDPC", BdsdPcFitter)])
def test_real_crops_agree_bit_by_bit(name: str, fitter: type[Fitter], crop: str, make_views: Make, fit: Fit) -> None:
    views = real_views(crop, make_views, degraded=name == "BDSDPC")
    written = as_written(fit(fitter(), [views]).sharpen(views))
    hashes = json.loads((CROPS / "hashes.json").read_text())
    assert hashlib.sha256(written.tobytes()).hexdigest() == hashes[crop][name]["sha256_uint16"]


@needs_crops
@pytest.mark.parametrize("crop", ["WV2", "CDIF_WV3"])
@pytest.mark.parametrize(("name", "fitter"), [("GSA", GsaFitter), ("GLPFS", MtfGlpFsFitter)])
def test_real_crops_agree_with_a_single_precision_port(
    name: str, fitter: type[Fitter], crop: str, make_views: Make, fit: Fit
) -> None:
    views = real_views(crop, make_views)
    fused = fit(fitter(), [views]).sharpen(views)
    theirs = np.load(CROPS / f"f_{crop}.npz")[name]
    assert np.abs(as_written(fused).astype(int) - theirs).max() <= 1
    mean = json.loads((CROPS / "methods.json").read_text())[crop][name]["mean"]
    assert fused.mean((1, 2)).tolist() == pytest.approx(mean, abs=1e-6)


@needs_crops
def test_modulation_is_golden_where_nothing_explodes(make_views: Make, fit: Fit) -> None:
    views = real_views("CDIF_WV3", make_views)
    fused = fit(MtfGlpHpmRFitter(), [views]).sharpen(views)
    theirs = np.load(CROPS / "f_CDIF_WV3.npz")["HPMR"]
    differ = as_written(fused) != theirs
    assert differ.sum() <= 5  # dark water in one band, where the denominator crosses 0
