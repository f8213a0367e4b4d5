"""The files that a scene of a suite names: relative to the suite, and perhaps with a `*` for many scenes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from clippan_cli.scene.files import is_address
from clippan_models.errors import InputError, UsageError, shown

FILES = ("ms", "pan", "truth", "image", "archive")
"""Keys of a scene that name files; the first of them with a `*` says which scenes there are."""


def scenes_of(table: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """The scenes that a table of a suite stands for: one, or one for each text that fits its `*`.

    Args:
        table: of a scene.
        folder: of the suite.

    Raises:
        InputError: no file fits.
        UsageError: a name with several `*`.
    """
    leading = next((key for key in FILES if "*" in _first(table.get(key))), None)
    if leading is None:
        return [_with_files(table, folder)]
    pattern = _first(table[leading])
    if pattern.count("*") != 1:
        raise UsageError(f"{pattern}: a pattern has one *, which stands for the name of the scene")
    found = _fitting(str(_at(pattern, folder)))
    if not found:
        raise InputError(f"no file fits {shown(Path(_at(pattern, folder)))}")
    named = {**table, "name": table.get("name", "*")}
    return [_with_files({key: _filled(value, text) for key, value in named.items()}, folder) for text in found]


def _fitting(pattern: str) -> list[str]:
    """What `*` stands for in the files that fit, sorted."""
    path = Path(pattern)
    before, after = map(re.escape, path.name.split("*")) if "*" in path.name else ("", "")
    if not before and not after:
        raise UsageError(f"{pattern}: the * stands in the name of the file")
    fits = (re.fullmatch(f"{before}(.*){after}", each.name) for each in path.parent.glob(path.name))
    return sorted(found[1] for found in fits if found)


def _with_files(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The table with its files found from the folder of the suite; MS is a list."""
    made = dict(table)
    for key in FILES:
        if key in made:
            names = made[key] if isinstance(made[key], list) else [made[key]]
            placed = [_at(name, folder) if isinstance(name, str) else name for name in names]
            made[key] = placed if key == "ms" else placed[0] if len(placed) == 1 else placed
    return made


def _at(name: str, folder: Path) -> str:
    return name if is_address(name) else str(folder / name)


def _filled(value: Any, text: str) -> Any:
    if isinstance(value, list):
        return [_filled(each, text) for each in value]
    return value.replace("*", text) if isinstance(value, str) else value


def _first(value: Any) -> str:
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, str) else ""
