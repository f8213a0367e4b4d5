"""The page of `adapt`: complete, offline, escaped, and true to the numbers of the JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from clippan_cli.rasters.options import Trust
from clippan_cli.running.control import Control
from clippan_cli.scene.files import LeftOut
from clippan_cli.scene.pairs import find_pairs
from clippan_cli.training.page import decide, write_adapt_report
from clippan_cli.training.result import ALL, BEFORE, LEARNED, ArchiveResult, Validation
from clippan_models.contracts import Window
from clippan_models.metrics.catalogue import INDICES, best_of
from tests.cli.conftest import RunMain
from tests.cli.test_adapt_validation import learn, options_of, write_archive
from tests.cli.test_report import Page

NASTY = '<img src=x onerror=alert(1)>&"q" <b>.tif'


@dataclass(frozen=True)
class Made:
    """A training, and a page of it."""

    archive: Path
    found: ArchiveResult

    def page(self, found: ArchiveResult) -> str:
        table = find_pairs(self.archive, Trust(), Control())
        path = found.output.with_suffix(".html")
        write_adapt_report(path, self.archive, table, found, options_of(found.output), Control())
        return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Of two scenes with markup in their names, and a broken file."""
    archive = write_archive(tmp_path_factory.mktemp("archive"), ("<i>a", "<i>b"))
    (archive / NASTY).write_bytes(b"II*\0 no raster")
    return Made(archive, learn(archive, tmp_path_factory.mktemp("made") / "w.safetensors"))


def test_it_is_one_file_that_asks_nobody_for_anything(made: Made) -> None:
    text = made.page(made.found)
    page = Page(text)
    assert not page.open and "http:" not in text and "https:" not in text
    assert not page.all("link") and not page.all("img") and len(page.all("svg")) >= 2
    assert all("src" not in script for script in page.all("script"))


def test_its_numbers_are_those_of_the_json(made: Made) -> None:
    page, document = Page(made.page(made.found)), made.found.as_json()
    validation = document["validation"]
    (scene,) = validation["scenes"]
    rows = [[one["metrics"][n] for n in ALL] for one in (*validation["mean"], *scene["scores"])]
    losses = [value for one in document["held_out"].values() for value in (one["before"], one["after"])]
    cells = [float(str(cell["data-value"])) for cell in page.all("td") if "data-value" in cell]
    assert cells == [*(value for row in rows for value in row), *losses]
    classes = [cell.get("class") for cell in page.all("td") if "data-value" in cell]
    marked = [number for number, kind in enumerate(classes) if kind == "best"]
    sharpened = [one for one in validation["mean"] if one["method"] != "exp"]
    methods = [one["method"] for one in validation["mean"]]
    best = {
        n: sharpened[k]["method"] for n in ALL if (k := best_of(n, [o["metrics"][n] for o in sharpened])) is not None
    }
    expected = sorted(methods.index(method) * len(ALL) + ALL.index(n) for n, method in best.items())
    assert expected and marked[: len(expected)] == expected
    (carried,) = [script for script in page.scripts if '"schema":"clippan.adapt/1"' in script]
    assert json.loads(carried) == json.loads(json.dumps(document))


def test_names_of_files_are_text(made: Made) -> None:
    page = Page(made.page(made.found))
    assert not page.all("i") and not page.all("img") and NASTY in "".join(page.texts)


def test_the_verdict_says_what_the_numbers_say(made: Made) -> None:
    validation = made.found.validation
    assert validation is not None
    verdict = decide(made.found)
    learned = next(one.metrics for one in validation.mean if one.method == LEARNED)
    assert {tile.name: tile.value for tile in verdict.tiles} == learned
    assert "the held-out scene" in verdict.headline and "--compare-scratch" in " ".join(verdict.sentences)
    means = {one.method: one.metrics for one in validation.mean}
    (strongest,) = [sentence for sentence in verdict.sentences if "strongest classical method" in sentence]
    rival, better_in = strongest.split(", ")[1], strongest.rstrip(".").split(" weights in ")[1].split(", ")
    assert better_in == [n for n in ALL if best_of(n, [learned[n], means[rival][n]]) == 1]


def with_weights_before(found: ArchiveResult, shift: float) -> ArchiveResult:
    """A training whose weights before it are better in every index by this much, or worse."""
    validation = found.validation
    assert isinstance(validation, Validation)
    (scene,) = validation.scenes
    learned = next(one.metrics for one in scene.scores if one.method == LEARNED)
    before = {n: v + (shift if INDICES[n].higher_is_better else -shift) for n, v in learned.items()}
    scores = tuple(replace(one, metrics=before) if one.method == BEFORE else one for one in scene.scores)
    return replace(found, validation=replace(validation, scenes=(replace(scene, scores=scores),)))


@pytest.mark.parametrize(("shift", "better", "worse"), [(0.01, 0, len(ALL)), (-0.01, len(ALL), 0)])
def test_what_the_network_could_do_before_is_no_merit_of_the_training(
    shift: float, better: int, worse: int, made: Made
) -> None:
    verdict = decide(with_weights_before(made.found, shift))
    assert verdict.headline.startswith(f"Training made the weights better in {better} ".rstrip())
    assert f"worse in {worse} " in verdict.headline and "classical" not in verdict.headline
    (classical,) = [text for text in verdict.sentences if "better than every classical method" in text]
    assert "the weights before training are so in" in classical


def test_it_says_what_was_not_measured(made: Made) -> None:
    assert made.found.validation is not None
    (scene,) = made.found.validation.scenes
    part = replace(scene, part=Window(4, 8, 64, 128))
    alone = replace(made.found.validation, unseen=False, scenes=(part,))
    text = made.page(replace(made.found, validation=alone, learned_from=(scene.name,)))
    assert "no scene was held out" in text and "the only scene, which was learned from" in text
    assert "128x64 PAN pixels from column 8, row 4" in text and "Held out (" not in text
    failed = replace(alone, scenes=(), left_out=(LeftOut("a", "too <small>"),))
    text = made.page(replace(made.found, validation=failed))
    assert "The weights could not be measured" in text and "a could not be measured: too &lt;small&gt;" in text
    text = made.page(replace(made.found, validation=None))
    assert "were not measured (--no-validation)" in text and len(Page(text).all("svg")) >= 2


def test_the_command_writes_it_and_refuses_first(made: Made, tmp_path: Path, run_main: RunMain) -> None:
    output, page = tmp_path / "w.safetensors", tmp_path / "w.html"
    short = ["adapt", str(made.archive), "-o", str(output), "--report", str(page), "--no-validation"]
    short += ["--steps", "1", "--clip", "none", "--coregister", "off", "-j", "1"]
    page.write_text("mine")
    refused = run_main(short)
    assert refused.code == 5 and "w.html exists" in refused.error_line and not output.exists()
    same = run_main([*short[:5], str(output), *short[6:]])
    assert same.code == 5 and "same file" in same.error_line
    done = run_main([*short, "--overwrite"])
    assert done.code == 0 and f"report     {page}" in done.stdout, done.stderr
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.html", "w.safetensors"]
