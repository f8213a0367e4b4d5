"""Stage II under a judge: every term and every teacher can be switched, a prompt matters, and the judge stays as it is.

The CLIP here has random weights: what is asked is whether language reaches the image, not whether it is right.
"""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from clippan_models.adaptation.clip_adaptation import ClipAdaptationOptions
from clippan_models.adaptation.options import CLASSICAL_TEACHERS, AdaptOptions, LossWeights
from clippan_models.adaptation.scene import Guide
from clippan_models.adaptation.trainer import Adapted
from clippan_models.contracts import Observation, Sampling
from clippan_models.errors import UsageError
from clippan_models.guidance.embedded import SIDE, build_embedded, embedded_tokenizer
from clippan_models.guidance.encoder import ClipEncoder, ClipIdentity
from clippan_models.guidance.options import STEMS, StemKind
from clippan_models.guidance.prompts import PROMPTS, find_prompts
from clippan_models.methods.network import NetworkSharpener
from clippan_models.observation import estimate_observation
from clippan_models.ops.views import TileViews
from clippan_models.testing.scenes import TileSource
from tests.models.methods.conftest import fit_network
from tests.models.methods.test_network_method import tiles

TILES = tiles(4, side=64)
NOMINAL = Observation(Sampling.area_registered(4, 3), (0.3,) * 3, 0.15)
OBSERVATION, _ = estimate_observation(TILES, NOMINAL)
ALL = LossWeights(direction=1.0)
TERMS = {field.name for field in fields(LossWeights)}
Result = tuple[NetworkSharpener, Adapted]
NOTHING = LossWeights.only()


@pytest.fixture(scope="module")
def encoder() -> ClipEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_embedded()
    return ClipEncoder(model, embedded_tokenizer(), ClipIdentity("random", "embedded", "", SIDE, native=True))


def adapted(
    encoder: ClipEncoder | None, options: AdaptOptions, prompts: str = "wald", stem: StemKind = "rgb"
) -> Result:
    guide = None
    if encoder is not None:
        guide = Guide(encoder, find_prompts(prompts), ClipAdaptationOptions(steps=2, batch=4, stem=stem, nir=2))
    return fit_network(TileSource(TILES, OBSERVATION), options, guide)


def picture(result: Result) -> Tensor:
    return result[0].sharpen(TileViews(TILES[1], OBSERVATION))


def test_language_alone_teaches_the_network(encoder: ClipEncoder) -> None:
    options = AdaptOptions(backbone="lambda-pnn", steps=10, weights=replace(NOTHING, direction=1.0), validate_every=5)
    _, result = adapted(encoder, options)
    losses = [point.parts["direction"] for point in result.curve]
    assert all(set(point.parts) == {"direction"} for point in result.curve)
    assert losses[-1] < losses[0]


def test_a_prompt_changes_the_image_and_the_seed_repeats_it(encoder: ClipEncoder) -> None:
    options = AdaptOptions(backbone="lambda-pnn", steps=4, weights=ALL, validate_every=100)
    wald, again, noise = (picture(adapted(encoder, options, name)) for name in ("wald", "wald", "noise"))
    assert torch.equal(wald, again)
    assert not torch.equal(wald, noise)


def test_without_the_direction_term_language_changes_nothing(encoder: ClipEncoder) -> None:
    options = AdaptOptions(backbone="lambda-pnn", steps=3, weights=replace(ALL, direction=0.0))
    assert torch.equal(picture(adapted(encoder, options)), picture(adapted(None, options)))


def test_clip_stays_as_it_was(encoder: ClipEncoder) -> None:
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    adapted(encoder, AdaptOptions(backbone="lambda-pnn", steps=2, weights=ALL))
    after = encoder.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert all(p.grad is None for p in encoder.parameters())


@pytest.mark.parametrize("term", sorted(TERMS))
def test_each_term_can_be_left_out(encoder: ClipEncoder, term: str) -> None:
    options = AdaptOptions(backbone="lambda-pnn", steps=2, weights=replace(ALL, **{term: 0.0}), teacher="gsa")
    _, result = adapted(encoder, options)
    assert result.steps == 2 and set(result.curve[-1].parts) == TERMS - {term}


@pytest.mark.parametrize("teacher", ["self", *CLASSICAL_TEACHERS])
def test_a_teacher_is_followed(teacher: str) -> None:
    weights = replace(NOTHING, ship=1.0)
    _, result = adapted(
        None,
        AdaptOptions(backbone="lambda-pnn", steps=30, weights=weights, teacher=teacher, rounds=0, validate_every=5),
    )
    assert result.best_step > 0
    assert min(point.parts["ship"] for point in result.curve) < 0.8 * result.curve[0].parts["ship"]


@pytest.mark.parametrize("alone", ["ship", "direction"])
def test_a_term_without_what_it_compares_with_is_refused(alone: str) -> None:
    with pytest.raises(UsageError, match="ship needs a teacher, direction a CLIP"):
        adapted(None, AdaptOptions(backbone="lambda-pnn", steps=2, weights=replace(NOTHING, **{alone: 1.0})))


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("prompts", PROMPTS)
def test_every_stem_and_every_set_of_prompts_runs(encoder: ClipEncoder, stem: StemKind, prompts: str) -> None:
    _, result = adapted(encoder, AdaptOptions(backbone="lambda-pnn", steps=1, weights=ALL), prompts, stem)
    assert torch.isfinite(torch.tensor([point.total for point in result.curve])).all()
