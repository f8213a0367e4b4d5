"""Each backbone learns on a scene with all terms of the loss, fuses it, and can teach another."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from clippan_models.adaptation import scene as learning
from clippan_models.adaptation.clip_adaptation import ClipAdaptationOptions
from clippan_models.adaptation.options import AdaptOptions, LossWeights
from clippan_models.adaptation.scene import Guide
from clippan_models.contracts import Observation, Sampling, Window
from clippan_models.errors import UsageError
from clippan_models.guidance.embedded import SIDE, build_embedded, embedded_tokenizer
from clippan_models.guidance.encoder import ClipEncoder, ClipIdentity
from clippan_models.guidance.prompts import find_prompts
from clippan_models.methods.method import MethodOptions
from clippan_models.methods.network import NetworkMethod
from clippan_models.networks.registry import BACKBONES
from clippan_models.networks.statistics import is_recorded
from clippan_models.observation import estimate_observation
from clippan_models.ops.views import TileViews
from clippan_models.store.checkpoint import load_checkpoint, save_checkpoint
from clippan_models.testing.networks import small
from clippan_models.testing.scenes import TileSource
from tests.models.methods.conftest import fit_network
from tests.models.methods.test_network_method import tiles

TILES = tiles(2, side=64)
OBSERVATION, _ = estimate_observation(TILES, Observation(Sampling.area_registered(4, 3), (0.3,) * 3, 0.15))
SLOW = 20  # seconds per megapixel
TERMS = {field.name for field in fields(LossWeights)}


def marked(names: list[str]) -> list[object]:
    """The slow ones run last."""
    slow = {name for name in names if BACKBONES[name].cost.cpu_seconds.at(3) > SLOW}
    return [pytest.param(name, marks=pytest.mark.slow) if name in slow else name for name in names]


FUSING = marked([name for name, spec in BACKBONES.items() if spec.fuses])
TEACHERS = marked([name for name in BACKBONES if name != "arbrpn"])  # it differs from the others only in patience


@pytest.fixture(scope="module")
def guide() -> Guide:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_embedded()
    encoder = ClipEncoder(model, embedded_tokenizer(), ClipIdentity("random", "embedded", "", SIDE, native=True))
    return Guide(encoder, find_prompts("wald"), ClipAdaptationOptions(steps=1, batch=2, stem="rgb"))


def scene() -> TileSource:
    return TileSource(TILES, OBSERVATION)


@pytest.mark.parametrize("name", FUSING)
def test_a_backbone_adapts_with_all_terms_and_fuses(name: str, guide: Guide) -> None:
    options = AdaptOptions(
        steps=2, backbone=name, batch=1, teacher="gsa", weights=LossWeights(), validate_every=100, learning_rate=0.01
    )
    sharpener, adapted = fit_network(scene(), options, guide)
    first, last = adapted.curve
    assert set(last.parts) == TERMS and adapted.stopped == "steps" and adapted.steps == 2
    assert last.total != first.total and torch.isfinite(torch.tensor(last.total))
    assert is_recorded(adapted.network)
    fused = sharpener.sharpen(TileViews(TILES[0], OBSERVATION))
    assert fused.shape == (3, 120, 120) and bool(torch.isfinite(fused).all())


@pytest.mark.parametrize("name", FUSING)
def test_without_steps_nothing_is_prepared_that_sharpening_does_not_need(
    name: str, guide: Guide, monkeypatch: pytest.MonkeyPatch
) -> None:
    unused = ("scene_patches", "adapt_clip", "fit_classical", "Teacher", "Trainer")
    for function in unused:
        monkeypatch.setattr(learning, function, None)  # calling it would raise
    options = AdaptOptions(steps=0, backbone=name, teacher="gsa", weights=LossWeights())
    _, adapted = fit_network(scene(), options, guide)
    assert adapted.curve == () and is_recorded(adapted.network)


@pytest.mark.parametrize("name", TEACHERS)
def test_any_backbone_can_teach(name: str) -> None:
    weights = LossWeights.only(ship=1.0)
    source = scene()
    options = AdaptOptions(steps=3, teacher=name, weights=weights, rounds=0, validate_every=100)
    _, adapted = fit_network(source, options)
    assert source.reports == ["teacher", "adapt", "adapt", "adapt"]
    assert adapted.curve[0].parts["ship"] > 0  # one lesson has moved the teacher away from the start


@pytest.mark.parametrize("name", ["apnn", "fusionnet", "pannet", "lambda-pnn", "lformer"])
def test_a_tile_cut_anywhere_gives_the_same_image(name: str) -> None:
    options = AdaptOptions(steps=0, backbone=name, rounds=0, weights=LossWeights(qnr=0))
    made, _ = fit_network(scene(), options)
    sharpener = replace(made, network=small(BACKBONES[name], 3))
    whole = tiles(1, side=128, halo=96)[0]
    window = Window(13, 6, 301, 294)
    cut = (slice(None), *window.inside(whole.pan_window))
    part = replace(whole, pan=whole.pan[cut], pan_valid=whole.pan_valid[cut], valid=whole.valid[cut], pan_window=window)
    views = TileViews(whole, OBSERVATION)
    fused, tile = (sharpener.sharpen(TileViews(t, OBSERVATION)) for t in (whole, part))
    margin = sharpener.halo + sharpener.rim
    inner = (slice(None), slice(margin, -margin), slice(margin, -margin))
    assert float((fused - views.ms_up)[cut][inner].std()) > 1
    torch.testing.assert_close(tile[inner], fused[cut][inner], rtol=0, atol=0.01)


def test_what_was_learned_comes_back_from_a_file(tmp_path: Path) -> None:
    options = AdaptOptions(steps=2, backbone="lambda-pnn", batch=1, learning_rate=0.01)
    sharpener, _ = fit_network(scene(), options)
    save_checkpoint(sharpener.checkpoint(), tmp_path / "learned.safetensors")
    loaded = load_checkpoint(tmp_path / "learned.safetensors")
    assert loaded.normalisation is not None and loaded.normalisation.pan_mean == sharpener.prior.pan_mean
    views = TileViews(TILES[0], OBSERVATION)
    again = replace(sharpener, network=loaded.network)
    assert torch.equal(again.sharpen(views), sharpener.sharpen(views))


def test_a_network_for_patches_is_refused_before_the_work() -> None:
    fixed = [name for name, spec in BACKBONES.items() if not spec.fuses]
    for name in fixed:
        with pytest.raises(UsageError, match=f"{name} .*as the teacher of one of"):
            NetworkMethod.of(MethodOptions(AdaptOptions(steps=1, backbone=name)))


def test_an_unknown_backbone_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'pnm'.*did you mean"):
        NetworkMethod.of(MethodOptions(AdaptOptions(steps=1, backbone="pnm")))
