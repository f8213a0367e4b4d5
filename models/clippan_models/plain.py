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
    return msgspec.json.decode(msgspec.json.encode(value, enc_hook=_simpler))


def _simpler(value: Any) -> Any:
    if isinstance(value, PurePath | str):  # str: a kind of text that msgspec does not know, such as torch's version
        return str(value)
    if hasattr(value, "item"):  # a scalar of numpy, which this module need not import
        return value.item()
    raise TypeError(f"{type(value).__name__} is not plain data")
