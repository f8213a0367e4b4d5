"""TOML files that a user writes."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from clippan_models.errors import UsageError


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The table in a TOML file.

    Args:
        path: the file.
        what: the file is, for messages.

    Raises:
        UsageError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{what} {path} is not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{what} {path} is not text in UTF-8: {error}") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"cannot read the {what} {path}: {reason}") from error
