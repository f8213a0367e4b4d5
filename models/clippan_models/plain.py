"""Plain data: what JSON can hold, of any dataclass."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import msgspec


def plain(value: Any) -> Any:
    """Dictionaries, lists, texts and numbers of a dataclass or a container of them.

    Paths become texts, tuples lists, numpy's numbers those of Python, and numbers that JSON lacks (NaN, infinity) None.

    Raises:
        TypeError: something that is not data.
    """
    try:
        return msgspec.json.decode(msgspec.json.encode(value, enc_hook=_simpler))
    except UnicodeEncodeError:
        return plain(_escaped(msgspec.to_builtins(value, enc_hook=_simpler)))


def _escaped(value: Any) -> Any:
    """The same with halves of characters, as in names of files that are not UTF-8, written as escapes."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_escaped(key): _escaped(inner) for key, inner in value.items()}
    return [_escaped(inner) for inner in value] if isinstance(value, list | tuple) else value


def _simpler(value: Any) -> Any:
    if isinstance(value, PurePath | str):  # str: a kind of text that msgspec does not know, such as torch's version
        return str(value)
    if hasattr(value, "item"):  # a scalar of numpy, which this module need not import
        return value.item()
    raise TypeError(f"{type(value).__name__} is not plain data")
