"""How pictures and names are laid out: rows without a single last one, and names that break where a reader expects."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

_BREAKS = re.compile(r"(?<=[_/\\-])(?=\w)")


def columns(count: int, most: int) -> int:
    """How many columns show so many pictures in few rows of about the same length, none of which holds only one.

    Args:
        count: of the pictures.
        most: columns that fit beside each other; more where every number up to it leaves a picture alone.
    """
    if count <= most:
        return max(count, 1)
    fits = [n for n in range(2, most + 1) if count % n != 1]
    if not fits:
        return next(n for n in range(most + 1, count + 1) if count % n != 1)
    return min(fits, key=lambda n: (-(-count // n), n))


def breakable(name: str) -> Markup:
    """A name, escaped, that may break after its separators."""
    return Markup("<wbr>").join(escape(part) for part in _BREAKS.split(name))
