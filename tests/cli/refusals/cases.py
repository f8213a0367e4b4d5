"""What must be refused: each case is a function that prepares it, found by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.cli.conftest import Desk

USAGE, INPUT, PAIR, OUTPUT, RESOURCES, QUALITY = 2, 3, 4, 5, 6, 8

Prepare = Callable[[Desk], list[str]]


@dataclass(frozen=True)
class Case:
    """Something that cannot work."""

    prepare: Prepare
    code: int
    words: tuple[str, ...]
    notes: int


CASES: dict[str, Case] = {}


def fails(code: int, *words: str, notes: int = 0) -> Callable[[Prepare], Prepare]:
    """Register a function that makes bad files and returns arguments, with the code and words to expect."""

    def register(prepare: Prepare) -> Prepare:
        CASES[prepare.__name__] = Case(prepare, code, words, notes)
        return prepare

    return register
