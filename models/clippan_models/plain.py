"""Plain data: what JSON can hold, of any dataclass."""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import Any

import msgspec


def plain(value: Any) -> Any:
    """Dictionaries, lists, texts and numbers of a dataclass or a container of them.

    Paths become texts, which need not be UTF-8, tuples lists, numpy's numbers those of Python, and numbers that JSON
    lacks (NaN, infinity) None.

    Raises:
        TypeError: something that is not data.
    """
    return _as_json_has_it(msgspec.to_builtins(value, str_keys=True, enc_hook=_simpler))


def _as_json_has_it(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_json_has_it(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json_has_it(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _simpler(value: Any) -> Any:
    if isinstance(value, PurePath | str):  # str: a kind of text that msgspec does not know, such as torch's version
        return str(value)
    if hasattr(value, "item"):  # a scalar of numpy, which this module need not import
        return value.item()
    raise TypeError(f"{type(value).__name__} is not plain data")
