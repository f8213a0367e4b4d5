"""Command lines of clippan from values of parameters. Free of QGIS."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Union

Value = Union[None, bool, int, float, str, "Repeated", "Joined"]


@dataclass(frozen=True)
class Repeated:
    """Values of an option that is given once for each."""

    values: tuple[str, ...]


@dataclass(frozen=True)
class Joined:
    """Values that are joined by commas."""

    values: tuple[float | str, ...]


METHODS = ("clippan", "network", "mtf-glp-fs", "mtf-glp-hpm-r", "bdsd-pc", "gsa", "sr-d", "brovey", "exp")
"""The default first, then those that sharpen best."""

PRESETS = ("fast", "balanced", "best")


def arguments(values: Iterable[tuple[str, Value]]) -> list[str]:
    """The arguments of a command.

    Args:
        values: options with their values; without a name, the value is an argument by itself. What is None, False or
            empty is left out. An option with the name of its opposite, "--quality/--no-quality", tells of both.
    """
    return [argument for option, value in values for argument in _arguments(option, value)]


def _arguments(option: str, value: Value) -> list[str]:
    on, _, off = option.partition("/")
    if isinstance(value, bool):
        return [name for name in (on if value else off,) if name]
    if isinstance(value, Repeated):
        return [argument for each in value.values for argument in _arguments(option, each)]
    text = ",".join(map(str, value.values)) if isinstance(value, Joined) else "" if value is None else str(value)
    if not text:
        return []
    return [f"{on}={text}" if on else text]  # with the sign, a value may begin with a hyphen


def split(text: str) -> list[str]:
    """Arguments that a user has typed, as a shell would split them.

    Raises:
        ValueError: a quotation mark is not closed.
    """
    if os.name == "nt":  # where paths have backslashes
        return [argument.strip('"') for argument in shlex.split(text, posix=False)]
    return shlex.split(text)
