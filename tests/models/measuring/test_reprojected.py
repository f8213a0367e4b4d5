"""Are fused images compared with MS where its samples lie, and is that place found?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clippan_models.measuring.no_reference import score
from clippan_models.measuring.reprojected import Phase, Reprojection, estimate_phases
from clippan_models.measuring.toolbox_planes import ToolboxPlanes
from clippan_models.measuring.windows import Windows
from clippan_models.metrics.ergas import ergas
from clippan_models.metrics.q2n import q2n
from clippan_models.metrics.sam import sam
from clippan_models.ops.toolbox import decimate, interp23, mtf_filter


@pytest.mark.parametrize("window_size", [128, 256])
def test_reprojection_streams(window_size: int, make_scene: Any, hold: Any) -> None:
    scene = make_scene(4, height=64, width=64)
    phases: tuple[Phase, ...] = ((2, 2),) * 4
    reprojection = Reprojection(hold(scene.ms), 4, phases)
    score(scene.planes(), Windows(size=window_size), observers=[reprojection])
    scores = reprojection.summarise()
    degraded = decimate(mtf_filter(scene.fused, scene.gains, 4), 4)
    expected = {
        "R_Q2n": q2n(scene.ms, degraded),
        "R_SAM": sam(scene.ms, degraded),
        "R_ERGAS": ergas(scene.ms, degraded, 4),
    }
    assert scores.metrics == pytest.approx(expected, rel=1e-9)
    assert scores.bands[0].bias == pytest.approx(float((degraded - scene.ms)[0].mean()))


def test_real_reprojections_and_the_paper_definition(golden_folder: Path, hold: Any) -> None:
    expected = json.loads((golden_folder / "metrics_ref64.json").read_text())["WV2"]["GLPFS"]
    inputs, images = np.load(golden_folder / "in_WV2.npz"), np.load(golden_folder / "f_WV2.npz")
    ms, fused = (torch.from_numpy(i.astype(np.float64)).permute(2, 0, 1) for i in (inputs["ms"], images["GLPFS"]))
    pan = torch.from_numpy(inputs["pan"].astype(np.float64))[None]
    planes = ToolboxPlanes(hold(fused), hold(ms), hold(pan), (0.35,) * 7 + (0.27,))
    reprojection = Reprojection(hold(ms), 4, ((2, 2),) * 8)
    values = score(planes, Windows(size=256), coarse=planes.on_ms_grid(), observers=[reprojection]).metrics
    values |= reprojection.summarise().metrics
    names = {"D_lambda": "D_lambda_paper", "D_s": "D_s_paper", "QNR": "QNR_paper"}
    names |= {name: f"{name}_phase2" for name in ("R_Q2n", "R_SAM", "R_ERGAS")}
    wanted = (*names, "D_rho", "D_sR", "RQNR")
    got = {name: values[name] for name in wanted if names.get(name, name) in expected}
    assert len(got) == len(wanted)
    assert got == pytest.approx({name: expected[names.get(name, name)] for name in got}, rel=1e-9)


@pytest.mark.parametrize("phase", [(0, 0), (2, 1), (3, 3)])
def test_the_phase_of_the_samples_is_found(phase: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(3)
    ground = mtf_filter(torch.rand(1, 256, 256, generator=generator, dtype=torch.float64) * 1000, (0.3,), 4)
    ms = torch.cat([ground, 500 + 0.5 * ground])[:, phase[0] :: 4, phase[1] :: 4]
    found = estimate_phases([(ms, ground, torch.ones(64, 64, dtype=torch.bool))], 4)
    assert found[0][0] == phase and found[0][1] == pytest.approx(1, abs=1e-6)


def test_exp_reprojects_onto_ms(make_scene: Any, hold: Any) -> None:
    scene = make_scene(4)
    reprojection = Reprojection(hold(scene.ms), 4, ((2, 2),) * 4)
    exp = interp23(scene.ms, 4)
    score(ToolboxPlanes(hold(exp), hold(scene.ms), hold(scene.pan), scene.gains), observers=[reprojection])
    assert reprojection.summarise().metrics["R_Q2n"] > 0.9


def test_a_band_that_does_not_follow_pan_takes_the_phase_of_one_that_does() -> None:
    generator = torch.Generator().manual_seed(3)
    ground = mtf_filter(torch.rand(1, 256, 256, generator=generator, dtype=torch.float64) * 1000, (0.3,), 4)
    noise = torch.rand(1, 64, 64, generator=generator, dtype=torch.float64)
    ms = torch.cat([noise, ground[:, 1::4, 2::4]])
    found = estimate_phases([(ms, ground, torch.ones(64, 64, dtype=torch.bool))], 4)
    assert [phase for phase, _ in found] == [(1, 2), (1, 2)] and found[0][1] < 0.3
