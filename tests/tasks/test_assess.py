"""Does an assessment of files say what the arrays say, side by side with baselines, and warn where it must?"""

from __future__ import annotations

import csv
import io
import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import fourier_shift

from clippan_cli.quality.options import AssessOptions
from clippan_cli.quality.result import SCHEMA, AssessReport, Gate
from clippan_cli.quality.wald import degrade
from clippan_cli.report.files import ReportFiles
from clippan_cli.running.control import Control, Progress
from clippan_cli.running.options import ComputeOptions
from clippan_cli.running.warnings import codes_of
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.scene import open_scene
from clippan_cli.scene.synthetic import DemoScene
from clippan_cli.tasks.assess import assess
from clippan_models.errors import (
    ClippanError,
    IncompatiblePairError,
    InputError,
    Interrupted,
    OutputError,
    QualityGateError,
    UsageError,
)
from clippan_models.metrics.catalogue import INDICES, best_of
from clippan_models.metrics.d_lambda import d_lambda
from clippan_models.metrics.q2n import q2n
from clippan_models.metrics.sam import sam
from clippan_models.ops.toolbox import interp23

UNMOVED = ReadOptions(coregister="off")
PLAIN = AssessOptions(compute=ComputeOptions(device="cpu", threads=1))
FULL = replace(PLAIN, baselines=True)


class Files:
    """The demo scene as files: MS, PAN, the truth, and a GSA image."""

    def __init__(self, bench: Any, town: DemoScene) -> None:
        self.bench = bench
        self.ms, self.pan = bench.write_demo(town)
        self.grid = replace(bench.read(Path(self.pan), None).grid)
        self.truth = bench.write("truth.tif", np.rint(town.truth).astype(np.uint16), self.grid)
        self.gsa = str(bench.sharpen(self.ms, self.pan, method="gsa").path)
        self.pair = SceneFiles((self.ms,), self.pan)

    def assess(self, *images: str, options: AssessOptions = PLAIN, **files: Any) -> AssessReport:
        return assess(self.pair, UNMOVED, images or (self.gsa,), options, files=ReportFiles(**files))


@pytest.fixture
def files(bench: Any, town: DemoScene) -> Files:
    return Files(bench, town)


def image_of(path: str, bench: Any) -> torch.Tensor:
    return torch.from_numpy(bench.read(Path(path), None).pixels)


def test_the_numbers_are_those_of_the_arrays(files: Files) -> None:
    (found,) = files.assess(options=replace(PLAIN, reference=files.truth)).images
    fused, ms, truth = (image_of(p, files.bench) for p in (files.gsa, files.ms, files.truth))
    assert found.convention == "toolbox" and list(found.metrics) == list(INDICES)
    assert found.metrics["D_lambda"] == pytest.approx(d_lambda(fused, interp23(ms, 4)), rel=1e-9)
    assert found.metrics["Q2n"] == pytest.approx(q2n(truth, fused), rel=1e-9)
    assert found.metrics["SAM"] == pytest.approx(sam(truth, fused), rel=1e-9)
    assert found.bands[0].reference is not None
    assert found.bands[0].maximum == float(fused[0].max()) and found.bands[2].minimum == float(fused[2].min())


def test_baselines_stand_beside_the_image_and_exp_has_no_spectral_distortion(files: Files) -> None:
    report = files.assess(options=FULL)
    assert [(image.path, image.role) for image in report.images[1:]] == [("EXP", "baseline"), ("GSA", "baseline")]
    given, exp, gsa = report.images
    assert exp.metrics["D_lambda"] == pytest.approx(0, abs=1e-6)
    assert exp.metrics["D_rho"] > 3 * given.metrics["D_rho"]
    assert gsa.metrics["QNR"] == pytest.approx(given.metrics["QNR"], abs=0.02)
    assert report.best()["D_lambda"] == 1
    assert any("unsharpened" in warning.message for warning in report.warnings)


def test_an_unsharpened_image_is_called_that(files: Files) -> None:
    exp = str(files.bench.sharpen(files.ms, files.pan, method="exp").path)
    report = files.assess(exp, options=FULL)
    assert any("it is not sharp" in warning.message for warning in report.warnings)
    assert any("little of PAN's detail" in warning.message for warning in report.images[0].warnings)


def test_a_moved_ms_is_told(files: Files, town: DemoScene) -> None:
    moved = np.roll(np.rint(town.ms), 1, axis=2).astype(np.uint16)
    ms = files.bench.write("moved.tif", moved, replace(files.grid, transform=_coarse(files)))
    pan = np.rint(np.roll(town.pan, 6, axis=2)).astype(np.uint16)
    pan_file = files.bench.write("moved_pan.tif", pan, files.grid)
    report = assess(SceneFiles((ms,), pan_file), UNMOVED, [files.gsa], PLAIN)
    assert any("MS is shifted against PAN" in warning.message for warning in report.warnings)
    assert not any("MS is shifted against PAN" in warning.message for warning in files.assess().warnings)


def test_a_reference_that_lies_elsewhere_is_told_and_reached(files: Files, town: DemoScene) -> None:
    spectra = np.fft.fft2(town.truth.astype(np.float64))
    moved = np.real(np.fft.ifft2([fourier_shift(spectrum, (0.4, -0.3)) for spectrum in spectra]))
    reference = files.bench.write("elsewhere.tif", np.rint(moved.clip(1)).astype(np.uint16), files.grid)
    there = replace(PLAIN, reference=files.truth, border=16)
    truth = files.assess(options=there).images[0]
    told = files.assess(options=replace(there, reference=reference))
    aligned = files.assess(options=replace(there, reference=reference, align=True))
    assert truth.reference_offset == pytest.approx((0, 0), abs=0.1) and not truth.warnings
    assert told.images[0].reference_offset == pytest.approx((0.4, -0.3), abs=0.1) and not told.images[0].aligned
    assert "reference-off" in codes_of(told.warnings) and "reference-off" not in codes_of(aligned.warnings)
    assert aligned.images[0].aligned and "moved there" in aligned.images[0].definition["reference"]
    lost = truth.metrics["PSNR"] - told.images[0].metrics["PSNR"]
    left = truth.metrics["PSNR"] - aligned.images[0].metrics["PSNR"]
    assert lost > 3 and left < lost / 2, "of the sharpest lines, interpolation keeps less"
    with pytest.raises(UsageError, match="needs --reference or --wald"):
        files.assess(options=replace(PLAIN, align=True))


def test_a_reference_that_lies_far_off_is_told_and_not_reached(files: Files, town: DemoScene) -> None:
    far = files.bench.write("far.tif", np.rint(np.roll(town.truth, 3, axis=2)).astype(np.uint16), files.grid)
    told = files.assess(options=replace(PLAIN, reference=far))
    tried = files.assess(options=replace(PLAIN, reference=far, align=True))
    assert told.images[0].reference_offset is None and "a PAN pixel or more" in str(told.warnings)
    assert "not-aligned" in codes_of(tried.warnings) and not tried.images[0].aligned
    assert tried.images[0].metrics == told.images[0].metrics


def test_walds_protocol_tells_and_takes_back_what_ms_lies_off(files: Files, town: DemoScene) -> None:
    """By two PAN pixels, which are half a pixel of the degraded pair."""
    pan = files.bench.write("right.tif", np.rint(np.roll(town.pan, 2, axis=2)).astype(np.uint16), files.grid)
    told, aligned = (
        assess(SceneFiles((files.ms,), pan), ReadOptions(), [files.gsa], replace(PLAIN, wald=("gsa",), align=align))
        for align in (False, True)
    )
    assert [code for code in codes_of(told.warnings) if code == "reference-off"] == ["reference-off"]
    assert "reference-off" not in codes_of(aligned.warnings)
    (gsa,), (better,) = told.wald, aligned.wald
    assert gsa.reference_offset == pytest.approx((0, -0.5), abs=0.2) == better.reference_offset
    assert better.aligned and not gsa.aligned and better.metrics["PSNR"] > gsa.metrics["PSNR"] + 0.5


def _coarse(files: Files) -> Any:
    return files.bench.read(Path(files.ms), None).grid.transform


def test_every_definition_is_stated(files: Files) -> None:
    (found,) = files.assess(options=replace(PLAIN, reference=files.truth)).images
    stated = " ".join(f"{k} {v}" for k, v in found.definition.items())
    for word in ("32 x 32", "0.3", "41 x 41", "0.998", "row, column within", "crop", "100%", "peak", "Sobel", "p = q"):
        assert word in stated, word


def test_the_convention_of_the_paper_is_another_one(files: Files) -> None:
    paper = files.assess(options=replace(PLAIN, convention="paper")).images[0]
    toolbox = files.assess().images[0]
    assert paper.convention == "paper" and paper.metrics["QNR"] != toolbox.metrics["QNR"]
    assert paper.metrics["D_lambda_K"] == toolbox.metrics["D_lambda_K"]


def test_grids_that_do_not_divide_are_measured_by_the_georeferencing(files: Files) -> None:
    part = files.bench.read(Path(files.gsa), None)
    shifted = replace(part.grid, transform=part.grid.transform @ type(part.grid.transform).translation(5, 9))
    cut = files.bench.write("part.tif", part.pixels[:, 9:100, 5:110].astype(np.uint16), shifted)
    (found,) = files.assess(cut).images
    assert found.convention == "georeferenced"
    assert found.metrics["R_Q2n"] > 0.9 and found.metrics["R_SAM"] < 5
    with pytest.raises(UsageError, match="--qnr toolbox"):
        files.assess(cut, options=replace(PLAIN, convention="paper"))
    report = files.assess(cut, options=replace(FULL, reference=files.truth))
    assert [image.blocks for image in report.images] == [found.blocks] * 3
    assert all(image.metrics["Q2n"] > 0.3 for image in report.images)


def test_json_and_csv_carry_the_same_numbers(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "numbers.csv"
    report = files.assess(options=replace(FULL, reference=files.truth), csv=path)
    document = json.loads(json.dumps(report.as_json()))
    assert document["schema"] == SCHEMA and document["files"] == [str(path)]
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert {row["schema"] for row in rows} == {SCHEMA}
    for image in document["images"]:
        scene = {r["name"]: float(r["value"]) for r in rows if (r["image"], r["scope"]) == (image["path"], "scene")}
        assert scene == image["metrics"]
        bias = [float(r["value"]) for r in rows if (r["image"], r["name"]) == (image["path"], "bias")]
        assert bias == [band["bias"] for band in image["bands"]]
    with pytest.raises(OutputError, match="--overwrite"):
        files.assess(csv=path)


def test_gates_hold_for_the_given_images_only(files: Files) -> None:
    loose = (Gate.parse("qnr=0.1", at_least=True), Gate.parse("D_rho=0.3", at_least=False))
    files.assess(options=replace(FULL, gates=loose)).check_gate()  # EXP breaks the second, and may
    for text, at_least in (("HQNR=0.999", True), ("R_SAM=0", False)):
        report = files.assess(options=replace(PLAIN, gates=(Gate.parse(text, at_least=at_least),)))
        with pytest.raises(QualityGateError, match=text.split("=")[0]):
            report.check_gate()
    with pytest.raises(UsageError, match="needs --reference"):
        files.assess(options=replace(PLAIN, gates=(Gate.parse("PSNR=30", at_least=True),)))


@pytest.mark.parametrize("text", ["QNR", "XYZ=1", "QNR=high", "QNR=nan", "=1", "QNR="])
def test_bad_gates_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--min"):
        Gate.parse(text, at_least=True)


def test_what_does_not_belong_is_refused(files: Files, tmp_path: Path) -> None:
    with pytest.raises(IncompatiblePairError, match="bands"):
        files.assess(options=replace(PLAIN, reference=files.pan))
    with pytest.raises(UsageError, match="at least one"):
        assess(files.pair, UNMOVED, [], PLAIN)
    with pytest.raises(UsageError, match="peak 0"):
        replace(PLAIN, peak=0.0)
    with pytest.raises(OutputError, match="does not exist"):
        files.assess(csv=tmp_path / "no" / "such.csv")
    with pytest.raises(OutputError, match="same file"):
        files.assess(csv=Path(files.gsa))


def test_a_stop_is_heard(files: Files) -> None:
    control = Control()

    def stop(progress: Progress) -> None:
        control.stop_signal = 15

    control.on_progress = stop
    with pytest.raises(Interrupted):
        assess(files.pair, UNMOVED, [files.gsa], FULL, control)


def test_nodata_is_told_and_counts_nowhere(files: Files) -> None:
    fused = files.bench.read(Path(files.gsa), None)
    pixels = fused.pixels.astype(np.uint16)
    results = []
    for filler in (65000, 65535):
        holed = pixels.copy()
        holed[:, :40] = filler
        path = files.bench.write(f"holed{filler}.tif", holed, fused.grid, nodata=filler)
        results.append(files.assess(path, options=replace(PLAIN, reference=files.truth)).images[0])
    assert results[0].metrics == results[1].metrics
    assert results[0].valid_share == pytest.approx(1 - 40 / 128, abs=0.02)


def test_the_best_value_knows_its_direction() -> None:
    assert best_of("QNR", [0.5, 0.9, float("nan")]) == 1 and best_of("D_s", [0.5, 0.9]) == 0
    assert best_of("PSNR", [30.0, float("inf")]) == 1 and best_of("SAM", [float("nan")]) is None


def test_float_reflectance_is_warned_about(files: Files, town: DemoScene) -> None:
    small = files.bench.write("small.tif", (town.truth / 10000).astype(np.float32), files.grid)
    ms = (town.ms / 10000).astype(np.float32)
    pair = SceneFiles(
        (files.bench.write("ms_small.tif", ms, replace(files.grid, transform=_coarse(files))),),
        files.bench.write("pan_small.tif", (town.pan / 10000).astype(np.float32), files.grid),
    )
    (found,) = assess(pair, ReadOptions(), [small], PLAIN).images
    assert any("below 16" in warning.message for warning in found.warnings)
    assert issubclass(QualityGateError, ClippanError)


def test_walds_protocol_ranks_methods_as_the_truth_does(files: Files) -> None:
    report = files.assess(options=replace(PLAIN, wald=("exp", "gsa", "mtf-glp-fs")))
    scores = {score.method: score.metrics for score in report.wald}
    assert list(scores) == ["exp", "gsa", "mtf-glp-fs"]
    for method in ("gsa", "mtf-glp-fs"):
        assert scores[method]["Q2n"] > scores["exp"]["Q2n"] and scores[method]["ERGAS"] < scores["exp"]["ERGAS"]
    assert set(scores["exp"]) == {name for name, index in INDICES.items() if index.family == "reference"}
    assert report.as_json()["wald"][1]["metrics"] == scores["gsa"]
    with pytest.raises(UsageError, match="there is no method called"):
        files.assess(options=replace(PLAIN, wald=("best",)))


def test_the_degraded_pair_is_where_the_pair_was_and_as_bright(files: Files, tmp_path: Path) -> None:
    with ExitStack() as stack:
        scene = open_scene(files.pair, UNMOVED, Control(), stack)
        low, _ = degrade(scene, tmp_path, Control())
    before, after = files.bench.read(Path(files.ms), None), files.bench.read(Path(low.ms[0]), None)
    assert after.pixels.shape == (4, 8, 8) and after.valid.all()
    assert (after.grid.transform.c, after.grid.transform.f) == (before.grid.transform.c, before.grid.transform.f)
    assert after.grid.transform.a == pytest.approx(4 * before.grid.transform.a)
    assert after.pixels.mean() == pytest.approx(before.pixels.mean(), rel=0.02)
    pan = files.bench.read(Path(low.pan), None)
    assert pan.grid == before.grid or pan.grid.transform.almost_equals(before.grid.transform)
    whole = files.bench.read(Path(files.pan), None).pixels[0]
    areas = whole.reshape(32, 4, 32, 4).mean(axis=(1, 3))
    here, there = (np.corrcoef(np.roll(pan.pixels[0], k, 1).ravel(), areas.ravel())[0, 1] for k in (0, 1))
    assert here > 0.97 > there


def test_a_pair_too_small_to_degrade_is_refused(files: Files, bench: Any) -> None:
    ms = bench.write("tiny_ms.tif", np.full((2, 16, 16), 500, np.uint16), replace(files.grid, transform=_coarse(files)))
    pan = bench.write("tiny_pan.tif", np.full((1, 64, 64), 500, np.uint16), files.grid)
    fused = bench.write("tiny.tif", np.full((2, 64, 64), 500, np.uint16), files.grid)
    with pytest.raises(InputError, match="too small for Wald"):
        assess(SceneFiles((ms,), pan), ReadOptions(), [fused], replace(PLAIN, wald=("exp",)))


def test_a_band_of_zeros_is_measured_beside_its_baselines(files: Files, town: DemoScene) -> None:
    ms = np.rint(town.ms).astype(np.uint16)
    truth = np.rint(town.truth).astype(np.uint16)
    ms[3], truth[3] = 0, 0
    pair = SceneFiles((files.bench.write("zero_ms.tif", ms, replace(files.grid, transform=_coarse(files))),), files.pan)
    report = assess(pair, ReadOptions(), [files.bench.write("zero.tif", truth, files.grid)], FULL)
    assert [image.path for image in report.images[1:]] == ["EXP", "GSA"]
    first = report.images[0].metrics
    assert np.isnan(first["R_ERGAS"]) and all(np.isfinite(v) for n, v in first.items() if n != "R_ERGAS")
    assert "R_ERGAS" not in report.best()
