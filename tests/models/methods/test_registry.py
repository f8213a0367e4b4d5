"""The methods by name: are they found, do they say what they cost, and do they read as far as they look?"""

from __future__ import annotations

import pytest

from clippan_models.contracts import Observation, Sampling
from clippan_models.errors import UsageError
from clippan_models.methods.classical import CLASSICAL, ClassicalMethod
from clippan_models.methods.method import MethodOptions
from clippan_models.methods.options import CLASSICAL_METHODS, DEFAULT_METHOD
from clippan_models.methods.registry import METHODS, find_method
from clippan_models.ops.views import lowpass_halo
from clippan_models.testing.scenes import TileSource
from tests.models.methods.test_network_method import tiles

BANDS = 3


def observation(ratio: float, gain: float = 0.3) -> Observation:
    return Observation(Sampling.area_registered(ratio, BANDS), (gain,) * BANDS, 0.15)


def test_an_unknown_method_is_told_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"no method called 'gas'.*did you mean gsa.*clippan") as refusal:
        find_method("gas")
    assert "--" not in str(refusal.value)  # no option of a command line


def test_the_default_is_a_method() -> None:
    assert find_method(DEFAULT_METHOD).language


def test_the_names_are_those_of_the_methods() -> None:
    assert tuple(method.name for method in CLASSICAL) == CLASSICAL_METHODS


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_what_it_costs_before_it_is_fitted(name: str) -> None:
    method = METHODS[name].build(MethodOptions())
    sharp, coarse = method.cost(observation(2)), method.cost(observation(6))
    assert coarse.halo >= sharp.halo >= 0
    assert sharp.tile_bytes >= BANDS * 4  # its result, at the least
    assert (sharp.learning_bytes > 0) == METHODS[name].learns


@pytest.mark.parametrize("method", CLASSICAL, ids=lambda method: method.name)
def test_tiles_are_read_as_far_as_the_fitted_method_looks(method: ClassicalMethod) -> None:
    model = observation(4)
    sharpener = method.fit(TileSource(tiles(2, side=64), model)).sharpener
    assert method.cost(model).halo in (sharpener.halo, sharpener.halo + lowpass_halo(model))
