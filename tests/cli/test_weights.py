"""Does what a network learned on one scene serve the next, and is it refused where it does not fit?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from clippan_cli.scene.synthetic import make_demo_scene
from clippan_models.adaptation.options import DEFAULT_BACKBONE
from clippan_models.networks.registry import find_backbone
from clippan_models.store.card import CardBand, ModelCard
from clippan_models.store.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from tests.cli.conftest import Desk, RunMain

USAGE, OUTPUT, WEIGHTS = 2, 5, 7
CARD = ModelCard("generic", (CardBand(),) * 4, 16, 4.0, scenes=("one",), version="0")


def learning(desk: Desk, *extra: str, method: str = "network", out: str = "fused.tif") -> list[str]:
    """Arguments of a fast run of a network."""
    fast = ["--coregister", "off", "--no-quality", "--of", "gtiff", "-j", "1", "--method", method]
    files = [desk.path("ms.tif"), desk.path("pan.tif")]
    return ["sharpen", *files, "-o", str(desk.out.with_name(out)), *fast, *extra]


@pytest.fixture
def scene(desk: Desk) -> Desk:
    """A desk with a scene from which there is something to learn."""
    demo = make_demo_scene(256, shift=(0.0, 0.0))
    desk.ms(pixels=demo.ms.astype("float32"))
    desk.pan(pixels=demo.pan.astype("float32"))
    return desk


def pixels(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as dataset:
        return np.asarray(dataset.read())


def tags(path: Path) -> dict[str, str]:
    with rasterio.open(path) as dataset:
        return dict(dataset.tags(ns="CLIPPAN"))


@pytest.mark.parametrize(
    ("method", "backbone"), [("network", "apnn"), pytest.param("clippan", "lambda-pnn", marks=pytest.mark.slow)]
)
def test_weights_saved_give_the_same_image_again(method: str, backbone: str, scene: Desk, run_main: RunMain) -> None:
    saved = scene.folder / "sensor.safetensors"
    steps = ["--steps", "25", "--backbone", backbone, "--save-weights", str(saved)]
    first = run_main(learning(scene, *steps, method=method))
    assert first.code == 0 and str(saved) in first.stdout, first.stderr
    again = run_main(learning(scene, "--steps", "0", "--weights", str(saved), method=method, out="again.tif"))
    assert again.code == 0, again.stderr
    out, repeated = scene.out, scene.out.with_name("again.tif")
    assert (pixels(out) == pixels(repeated)).all()
    unlearned = run_main(learning(scene, "--steps", "0", "--backbone", backbone, out="unlearned.tif"))
    assert unlearned.code == 0 and (pixels(out) != pixels(scene.out.with_name("unlearned.tif"))).any()
    card = load_checkpoint(saved).card
    assert card is not None and (card.sensor, len(card.bands), card.scenes) == ("generic", 4, ("ms.tif + pan.tif",))
    assert card.validation["after"]["total"] <= card.validation["before"]["total"]
    assert bool(card.clip) == (method == "clippan") and card.best_step <= card.steps == 25
    assert tags(repeated)["WEIGHTS_SHA256"] == load_checkpoint(saved).sha256
    assert tags(repeated)["BACKBONE"] == backbone and "WEIGHTS" not in tags(out)


def test_learning_goes_on_from_weights_and_leaves_their_file_alone(scene: Desk, run_main: RunMain) -> None:
    saved, tuned = scene.folder / "one.safetensors", scene.folder / "two.safetensors"
    # a loss whose target does not follow from the weights that a run begins with
    run_main(learning(scene, "--backbone", "lambda-pnn", "--steps", "3", "--save-weights", str(saved)))
    kept = saved.read_bytes()
    more = ["--steps", "30", "--weights", str(saved), "--save-weights", str(tuned)]
    assert run_main(learning(scene, *more, out="tuned.tif")).code == 0
    one, two = load_checkpoint(saved), load_checkpoint(tuned)
    assert one.card and two.card and two.card.started_from == one.sha256 and saved.read_bytes() == kept
    # the projection follows PAN as far as suits the network that the learning begins with: it differs a little
    before, after = two.card.validation["before"], one.card.validation["after"]
    assert before["total"] == pytest.approx(after["total"], rel=0.01)


def test_a_file_of_weights_says_what_it_is(scene: Desk, run_main: RunMain) -> None:
    saved = scene.folder / "sensor.safetensors"
    run_main(learning(scene, "--steps", "2", "--save-weights", str(saved)))
    shown = run_main(["models", "show", str(saved)]).stdout
    what, sha256 = f"{DEFAULT_BACKBONE} for 4 bands", load_checkpoint(saved).sha256
    for words in (what, sha256, "generic", "ms.tif + pan.tif", "not stated"):
        assert words in shown
    document = json.loads(run_main(["models", "show", str(saved), "--json"]).stdout)
    assert document["card"]["steps"] == 2 and document["normalisation"]["pan_std"] > 0
    outcome = run_main(["models", "show", str(scene.folder / "absent.safetensors")])
    assert outcome.code == WEIGHTS and "absent.safetensors" in outcome.error_line


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (replace(CARD, bands=(CardBand(),) * 3), "for 3 MS bands, but the scene has 4"),
        (replace(CARD, bands=tuple(map(CardBand, ("red", "green", "blue", "nir")))), "in another order than"),
        (replace(CARD, bits=8), "values of 8 bits, but the scene has values of 16 bits"),
        (replace(CARD, ratio=2.0), "2 PAN pixels per MS pixel, but the scene has 4"),
    ],
)
def test_weights_that_do_not_fit_are_refused_in_a_line(
    card: ModelCard, words: str, desk: Desk, run_main: RunMain
) -> None:
    desk.ms()
    desk.pan()
    with rasterio.open(desk.path("ms.tif"), "r+") as dataset:
        dataset.descriptions = ("blue", "green", "red", "nir")
    path, bands = desk.folder / "other.safetensors", len(card.bands)
    save_checkpoint(Checkpoint("apnn", bands, find_backbone("apnn").build(bands), card=card), path)
    for extra in ([], ["--dry-run"]):
        outcome = run_main(learning(desk, "--weights", str(path), *extra))
        assert outcome.code == WEIGHTS and words in outcome.error_line, outcome.stderr
    assert not desk.out.exists()


def test_weights_of_a_sensor_serve_a_scene_that_does_not_name_its_own(desk: Desk, run_main: RunMain) -> None:
    desk.ms()
    desk.pan()
    path = desk.folder / "other.safetensors"
    card = replace(CARD, sensor="quickbird")
    save_checkpoint(Checkpoint("apnn", 4, find_backbone("apnn").build(4), card=card), path)
    sharpened = run_main(learning(desk, "--weights", str(path), "--steps", "0"))
    said = tags(desk.out)
    assert sharpened.code == 0 and "the weights other.safetensors are for" in said["WARNINGS"]
    assert not any(str(desk.folder) in value for value in said.values())
    served = run_main(learning(desk, "--weights", str(path), "--dry-run", "--overwrite"))
    assert served.code == 0 and "for the sensor quickbird; which one the scene is from is not known" in served.stderr
    refused = run_main(learning(desk, "--weights", str(path), "--overwrite", "--dry-run", "--sensor", "gaofen-2"))
    assert refused.code == WEIGHTS and "for the sensor quickbird, but the scene is taken for one of gaofen-2" in (
        refused.error_line
    )


def test_mistakes_of_usage(desk: Desk, run_main: RunMain) -> None:
    desk.ms()
    desk.pan()
    path = desk.folder / "w.safetensors"
    save_checkpoint(Checkpoint("apnn", 4, find_backbone("apnn").build(4)), path)
    for extra, code, words in [
        (["--weights", str(path), "--method", "gsa"], USAGE, "gsa has none"),
        (["--save-weights", desk.path("w.pth")], USAGE, "*.safetensors"),
        (["--save-weights", str(path)], OUTPUT, "--overwrite"),
        (["--weights", str(path), "--backbone", "pnn"], WEIGHTS, "holds the backbone apnn, not pnn"),
        (["--weights", desk.path("ms.tif")], WEIGHTS, "ms.tif is not an intact safetensors file"),
    ]:
        outcome = run_main(learning(desk, *extra))
        assert outcome.code == code and words in outcome.error_line, outcome.stderr
