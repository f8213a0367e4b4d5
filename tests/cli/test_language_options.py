"""The options that say how to learn and whose words to follow: they reach the result, or are refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import rasterio
import torch
from safetensors.torch import save_file

from clippan_models.adaptation.options import DEFAULT_BACKBONE
from clippan_models.guidance.embedded import build_embedded
from tests.cli.conftest import Desk, RunMain

USAGE, WEIGHTS = 2, 7
QUICK = ("--method", "clippan", "--clip", "clip.safetensors:embedded", "--steps", "2", "--stage1-steps", "2")

Tags = Callable[..., dict[str, str]]


@pytest.fixture
def tags(desk: Desk, run_main: RunMain, monkeypatch: pytest.MonkeyPatch) -> Tags:
    """Sharpen with a CLIP of random weights that lies in a file, and read what the result says of it."""
    monkeypatch.chdir(desk.folder)
    write_clip(desk.folder / "clip.safetensors")
    pair = {"ms": desk.ms(), "pan": desk.pan()}

    def run(*options: str) -> dict[str, str]:
        outcome = run_main(desk.sharpen(*QUICK, "--overwrite", *options, **pair))
        assert outcome.code == 0, outcome.stderr
        with rasterio.open(desk.out) as dataset:
            return dict(dataset.tags(ns="CLIPPAN")) | {"CHECKSUM": str(dataset.checksum(1))}

    return run


def write_clip(path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        save_file({k: v.contiguous() for k, v in build_embedded().state_dict().items()}, path)


def test_a_result_says_which_clip_judged_it_and_by_which_words(tags: Tags) -> None:
    said = tags("--prompt", "fields of ripe wheat", "--stem", "gbnir", "--stage1-loss", "intra, inter")
    assert said["CLIP"] == "clip.safetensors" and said["CLIP_FROM"] == "file" and len(said["CLIP_SHA256"]) == 64
    assert said["PROMPT_HRMS"] == "fields of ripe wheat" and said["PROMPT_PAN"] == "a panchromatic image"
    assert said["STEM"] == "gbnir" and said["STAGE1_STEPS"] == "2"
    assert said["STAGE1_LOSS"] == "intra,inter"
    assert "direction" in json.loads(said["LOSS"])


def test_words_change_the_image_and_the_same_words_repeat_it(tags: Tags, desk: Desk) -> None:
    Path(desk.path("mine.toml")).write_text('hrms = "fields of ripe wheat"\n')
    options = ("--loss", "d=10", "--steps", "6")
    wheat, again, wald = (
        tags("--prompts", "mine.toml", *options),
        tags("--prompts", "mine.toml", *options),
        tags(*options),
    )
    assert wheat["CHECKSUM"] == again["CHECKSUM"] != wald["CHECKSUM"]
    assert wheat["PROMPT_HRMS"] == "fields of ripe wheat"


def test_no_clip_is_no_language(tags: Tags) -> None:
    none, network = tags("--clip", "none"), tags("--method", "network")
    assert none["CLIP"] == "none" and "CLIP" not in network
    assert none["CHECKSUM"] == network["CHECKSUM"]


def test_only_the_terms_that_are_named_count(tags: Tags) -> None:
    assert json.loads(tags("--loss", "spec, ship=0.5", "--teacher", "gsa")["LOSS"]) == {"spectral": 1.0, "ship": 0.5}


def test_a_term_is_known_by_its_short_name_and_by_that_in_the_tags(desk: Desk, run_main: RunMain) -> None:
    def loss(terms: str) -> dict[str, float]:
        outcome = run_main(desk.sharpen("--method", "network", "--loss", terms, "--dry-run", "--json"))
        assert outcome.code == 0, outcome.stderr
        found: dict[str, float] = json.loads(json.loads(outcome.stdout)["provenance"]["LOSS"])
        return found

    names = "spectral,spatial=0.5,qnr,correlation,ship,direction,reduced=2"
    assert loss(names) == loss("spec,spat=0.5,qnr,rho,ship,d,wald=2")
    assert list(loss(names)) == [name.partition("=")[0] for name in names.split(",")]


def test_a_preset_sets_what_is_not_given(desk: Desk, run_main: RunMain) -> None:
    def steps(*options: str) -> int:
        outcome = run_main(desk.sharpen("--method", "clippan", "--clip", "none", "--dry-run", "--json", *options))
        return int(json.loads(outcome.stdout)["provenance"]["STEPS"])

    assert steps() == steps("--preset", "balanced")
    assert steps("--preset", "fast") < steps() < steps("--preset", "best")
    assert steps("--preset", "fast", "--steps", "7") == 7


def test_another_backbone_and_a_teacher_are_in_the_tags(tags: Tags) -> None:
    usual, other = tags(), tags("--backbone", "fusionnet", "--teacher", "ship")
    assert usual["BACKBONE"] == DEFAULT_BACKBONE and usual["TEACHER"] == "none"
    assert other["BACKBONE"] == "fusionnet" and other["TEACHER"] == "ship"


def test_a_dry_run_names_no_clip_but_the_plan(desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(desk.sharpen("--method", "clippan", "--clip", "embedded", "--dry-run"))
    assert outcome.code == 0 and not desk.out.exists()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--loss", "spec,clip"), USAGE, ("'clip'", "spec, spat, qnr, rho, ship, d, wald")),
        (("--loss", " "), USAGE, ("''", "spec")),
        (("--loss", "d=much"), USAGE, ("'much'", "number")),
        (("--loss", "d=0"), USAGE, ("'d'", "leave out")),
        (("--loss", "d=-1"), USAGE, ("'d'",)),
        (("--loss", "d=nan"), USAGE, ("'d'",)),
        (("--loss", "ship"), USAGE, ("nothing to learn from", "teacher")),
        (("--loss", "d", "--clip", "none"), USAGE, ("nothing to learn from", "CLIP")),
        (("--preset", "slow"), USAGE, ("preset slow", "fast, balanced, best")),
        (("--teacher", "pnm"), USAGE, ("--teacher pnm", "self, bdsd-pc", "pnn", "ship")),
        (("--backbone", "pnm"), USAGE, ("'pnm'", "did you mean pnn", "lambda-pnn")),
        (("--backbone", "ship"), USAGE, ("ship", "teacher of one of anyband")),
        (("--stem", "hsv"), USAGE, ("--stem hsv", "conv")),
        (("--stage1-steps", "-1"), USAGE, ("--stage1-steps -1",)),
        (("--stage1-loss", "inter,outer"), USAGE, ("--stage1-loss inter,outer", "'outer'", "inter, intra, fusion")),
        (("--prompts", "wold"), USAGE, ("wold", "wald")),
        (("--prompts", "absent.toml"), USAGE, ("absent.toml", "No such file")),
        (("--prompts", "broken.toml"), USAGE, ("broken.toml", "TOML")),
        (("--prompts", "typo.toml"), USAGE, ("typo.toml", "hrsm", "hrms")),
        (("--prompt", " "), USAGE, ("hrms",)),
        (("--prompt", "very " * 40 + "sharp"), USAGE, ("tokens", "fewer words")),
        (("--clip", "ViT-B-32"), USAGE, ("'ViT-B-32'", "ViT-B-32:openai")),
        (("--clip", "ViT-B-32:openai"), WEIGHTS, ("ViT-B-32:openai", "clippan models fetch clip")),
        (("--clip", "absent.safetensors:embedded"), WEIGHTS, ("absent.safetensors", "No such file")),
        (("--clip", 300 * "x" + ".safetensors"), WEIGHTS, ("File name too long",)),
        (("--clip", 300 * "x"), USAGE, ("no CLIP called",)),
        (("--clip", "cut.safetensors:embedded"), WEIGHTS, ("cut.safetensors",)),
        (("--clip", "pickle.pt:ViT-B-32"), WEIGHTS, ("pickle.pt", "safetensors")),
        (("--clip", "clip.safetensors:ViT-B-32"), WEIGHTS, ("clip.safetensors", "ViT-B-32")),
        (("--clip", "clip.safetensors"), WEIGHTS, ("clip.safetensors", "which model")),
    ],
)
def test_what_cannot_work_is_refused_before_the_work(
    options: tuple[str, ...],
    code: int,
    words: tuple[str, ...],
    desk: Desk,
    run_main: RunMain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(desk.folder)
    monkeypatch.setenv("HF_HUB_CACHE", str(desk.folder / "no-cache"))
    write_clip(desk.folder / "clip.safetensors")
    content = (desk.folder / "clip.safetensors").read_bytes()
    (desk.folder / "cut.safetensors").write_bytes(content[: len(content) // 2])
    torch.save({"a": torch.ones(1)}, desk.folder / "pickle.pt")
    (desk.folder / "broken.toml").write_text("hrms = sharp\n")
    (desk.folder / "typo.toml").write_text('hrsm = "sharp"\n')
    outcome = run_main(desk.sharpen(*QUICK, *options))
    assert outcome.code == code, outcome.stderr
    assert all(word in outcome.error_line for word in words), outcome.error_line
    assert not desk.out.exists()
