"""Doubts as a user meets them: on stderr, in JSON, tags, reports and tables, and as an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

import clippan
from clippan_cli.scene.synthetic import make_demo_scene
from tests.cli.conftest import MS_PIXEL, PAN_SIDE, RATIO, Desk, RunMain

CODES = ["generic-sensor", "pair-mismatch"]
SIDE = 3 * PAN_SIDE


@pytest.fixture
def unrelated(desk: Desk) -> list[str]:
    """MS and PAN that have nothing in common."""
    noise = np.random.default_rng(1).integers(40, 200, (1, SIDE, SIDE)).astype("uint16")
    return [desk.ms(side=SIDE // RATIO), desk.pan(pixels=noise)]


def fast(pair: list[str], out: Path) -> list[str]:
    return ["sharpen", *pair, "-o", str(out), "--method", "exp", "--no-quality", "--of", "gtiff"]


def codes_of(warnings: list[dict[str, str]]) -> list[str]:
    assert all(set(warning) == {"code", "message"} for warning in warnings)
    return [warning["code"] for warning in warnings]


def test_info_and_sharpen_say_the_same_also_when_quiet(unrelated: list[str], desk: Desk, run_main: RunMain) -> None:
    info = run_main(["info", *unrelated, "--json"])
    sharpen = run_main([*fast(unrelated, desk.out), "--json", "--quiet"])
    assert (info.code, sharpen.code) == (0, 0)
    assert info.codes == sharpen.codes == CODES
    assert codes_of(json.loads(info.stdout)["warnings"]) == codes_of(json.loads(sharpen.stdout)["warnings"]) == CODES
    with rasterio.open(desk.out) as dataset:
        assert codes_of(json.loads(dataset.tags(ns="CLIPPAN")["WARNINGS"])) == CODES


@pytest.mark.parametrize("options", [[], ["--sensor", "generic"], ["--dry-run"]])
def test_strict_refuses_and_writes_nothing(
    options: list[str], unrelated: list[str], desk: Desk, run_main: RunMain
) -> None:
    outcome = run_main([*fast(unrelated, desk.out), "--strict", *options])
    code = "pair-mismatch" if "--sensor" in options else "generic-sensor"
    assert outcome.code == 4 and code in outcome.error_line and outcome.codes == [code]
    assert list(desk.out.parent.iterdir()) == []


def test_ms_that_lies_far_off_is_said_to_and_strict_refuses_it(desk: Desk, run_main: RunMain) -> None:
    scene = make_demo_scene(256, shift=(0.0, 0.0))
    ms, pan = (np.rint(image).astype("uint16") for image in (scene.ms, scene.pan))
    pair = [desk.ms(pixels=ms, transform=MS_PIXEL @ Affine.translation(3, -8)), desk.pan(pixels=pan)]
    shown, read = run_main(["info", *pair, "--sensor", "generic"]), run_main(["info", *pair, "--json"])
    assert shown.codes == ["large-shift"] and "32.0 PAN pixels down and 12.0 left" in shown.stderr
    assert "MS shift   +32.00 down, -12.00 right" in shown.stdout and "overlap    256x256" in shown.stdout
    found = json.loads(read.stdout)
    assert found["origin"] == [-32, 12]
    np.testing.assert_allclose(found["shifts"], [(32, -12)] * 4, atol=0.1)
    refused = run_main([*fast(pair, desk.out), "--sensor", "generic", "--strict"])
    assert refused.code == 4 and refused.codes == ["large-shift"] and not desk.out.exists()


def test_strict_lets_a_run_without_doubts_pass(desk: Desk, run_main: RunMain) -> None:
    outcome = run_main([*desk.sharpen(), "--strict"])
    assert outcome.code == 0 and outcome.codes == []


def test_assess_says_the_same_and_its_page_shows_it(unrelated: list[str], desk: Desk, run_main: RunMain) -> None:
    run_main(fast(unrelated, desk.out))
    page, table = desk.folder / "page.html", desk.folder / "table.csv"
    assess = ["assess", str(desk.out), "--ms", unrelated[0], "--pan", unrelated[1], "--no-baselines"]
    outcome = run_main([*assess, "--report", str(page), "--csv", str(table), "--json"])
    found = codes_of(json.loads(outcome.stdout)["warnings"])
    assert outcome.code == 0 and found == outcome.codes and found[:2] == CODES and "little-detail" in found
    assert all(f"[{code}]" in page.read_text() for code in found)
    assert " ".join(dict.fromkeys(found)) in table.read_text()
    page.unlink()
    assert run_main([*assess, "--report", str(page), "--strict"]).code == 4 and not page.exists()


def test_a_batch_keeps_the_warnings_of_each_scene(unrelated: list[str], desk: Desk, run_main: RunMain) -> None:
    pairs = desk.folder / "pairs.csv"
    pairs.write_text(f"ms,pan,id\n{unrelated[0]},{unrelated[1]},odd\n")
    batch = ["batch", str(pairs), "-o", str(desk.folder / "sharp"), "--method", "exp", "--no-quality", "--json"]
    outcome = run_main(batch)
    (scene,) = json.loads(outcome.stdout)["scenes"]
    assert outcome.code == 0 and codes_of(scene["warnings"]) == outcome.codes == CODES
    assert outcome.stderr.startswith("warning: odd: ")
    again = run_main(batch)
    (scene,) = json.loads(again.stdout)["scenes"]
    assert (scene["outcome"], codes_of(scene["warnings"])) == ("unchanged", CODES)
    refused = run_main([*batch, "--strict"])
    (scene,) = json.loads(refused.stdout)["scenes"]
    assert refused.code == 9 and scene["exit_code"] == 4 and codes_of(scene["warnings"]) == CODES[:1]


def test_python_warns_and_returns_them(unrelated: list[str]) -> None:
    with pytest.warns(clippan.ClippanWarning, match=r"\[pair-mismatch\]"):
        found = clippan.info(*unrelated)
    assert [warning.code for warning in found.warnings] == CODES
    with pytest.raises(clippan.StrictError, match="generic-sensor"), pytest.warns(clippan.ClippanWarning):
        clippan.info(*unrelated, strict=True)


def test_a_method_without_its_language_is_told_of(desk: Desk, run_main: RunMain) -> None:
    run = [*desk.sharpen("--dry-run", "--steps", "1", "--loss", "spec")]
    run[run.index("exp")] = "clippan"
    assert run_main(run).codes == ["language-silent"]
    assert run_main([*run, "--clip", "none"]).codes == []
