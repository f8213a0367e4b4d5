"""Command lines from values of parameters."""

from __future__ import annotations

import pytest

from clippan_models.adaptation.options import PRESETS as PRESETS_OF_CLIPPAN
from clippan_models.methods.registry import METHODS as METHODS_OF_CLIPPAN
from clippan_qgis.arguments import METHODS, PRESETS, Joined, Repeated, Value, arguments, split


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--method", "gsa", ["--method=gsa"]),
        ("--method", None, []),
        ("--sensor", "", []),
        ("--seed", 0, ["--seed=0"]),
        ("--bbox", Joined((-1.5, 2.0, 3.0, 4.0)), ["--bbox=-1.5,2.0,3.0,4.0"]),
        ("--wald", Joined(()), []),
        ("--ms", Repeated(("a b.tif", "-c.tif")), ["--ms=a b.tif", "--ms=-c.tif"]),
        ("", Repeated(("a.tif", "b.tif")), ["a.tif", "b.tif"]),
        ("--overwrite", True, ["--overwrite"]),
        ("--overwrite", False, []),
        ("--quality/--no-quality", True, ["--quality"]),
        ("--quality/--no-quality", False, ["--no-quality"]),
    ],
)
def test_an_option(option: str, value: Value, expected: list[str]) -> None:
    assert arguments([(option, value)]) == expected


def test_what_a_user_types_is_split_as_in_a_shell() -> None:
    assert split('--prompt "sharp roofs" --seed 3') == ["--prompt", "sharp roofs", "--seed", "3"]
    with pytest.raises(ValueError, match="No closing quotation"):
        split('--prompt "sharp')


def test_choices_are_those_of_clippan() -> None:
    assert set(METHODS) == set(METHODS_OF_CLIPPAN)
    assert set(PRESETS) == set(PRESETS_OF_CLIPPAN)
