"""Optional packages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from clippan_models.errors import UsageError


@contextmanager
def needed_by(what: str, extra: str) -> Iterator[None]:
    """Import the packages of an optional extra within this block.

    Args:
        what: the option that needs them.
        extra: its name in pyproject.toml.

    Raises:
        UsageError: they are not installed; the message says how to install them.
    """
    try:
        yield
    except ImportError as error:
        raise UsageError(f"{what} needs packages that are not installed: pip install 'clippan[{extra}]'") from error
