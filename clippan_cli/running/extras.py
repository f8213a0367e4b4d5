"""Packages that only some options need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from clippan_models.errors import UsageError


@contextmanager
def needed_by(what: str, extra: str) -> Iterator[None]:
    """Import the packages of an extra in this block.

    Raises:
        UsageError: they are not installed; says how to.
    """
    try:
        yield
    except ImportError as error:
        raise UsageError(
            f"{what} needs packages that are not installed: pip install '.[{extra}]' in the clone"
        ) from error
