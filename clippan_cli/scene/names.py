"""Names of scenes: what the names of MS and PAN have in common, made unique and safe for files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from clippan_cli.rasters.footprint import without_time
from clippan_cli.scene.files import SceneFiles

_ROLES = {
    *("ms", "mss", "mul", "multi", "multispectral", "xs", "m", "bgrn", "rgbn", "mtd"),
    *("pan", "panchromatic", "p", "p1bs", "m1bs", "p2as", "m2as", "b8", "b08"),
}
_MS_ROLE, _PAN_ROLE = re.compile(r"^(ms|mss|mul|m)(\d*)$"), re.compile(r"^(pan|p)(\d*)$")


def name_without_role(path: str) -> str:
    """The name of a file without the words for its role (ms, pan ...) and the time: the same for MS and PAN."""
    words = re.split(r"[^0-9a-z]+", without_time(Path(path).stem).lower())
    return "-".join(word for word in (_without_role(word) for word in words) if word)


def _without_role(word: str) -> str:
    for role in (_MS_ROLE, _PAN_ROLE):
        if match := role.match(word):
            return match[2]  # PAN1 and MS1 are the parts of one scene
    return "" if word in _ROLES else word


def safe_name(name: str) -> str:
    """A name that every file system accepts."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-")[:100]


def named_by_folder(pairs: Iterable[SceneFiles], folder: Path) -> list[SceneFiles]:
    """Pairs of a folder; those that share a name, or have none, are named by their subfolders too."""
    found = list(pairs)
    count = Counter(pair.id for pair in found)
    named = []
    for pair in found:
        if count[pair.id] > 1 or not pair.id:
            parts = [*Path(pair.ms[0]).relative_to(folder).parent.parts, pair.id]
            pair = replace(pair, id=safe_name("-".join(part for part in parts if part)))
        named.append(replace(pair, id=pair.id or safe_name(Path(pair.ms[0]).stem)))
    return named


def with_unique_ids(pairs: Sequence[SceneFiles]) -> tuple[SceneFiles, ...]:
    """Pairs with unique ids: the second of a name is called NAME-2. A and a are the same, as on some file systems."""
    seen: Counter[str] = Counter()
    named = []
    for pair in pairs:
        one = pair.id or "scene"
        number = 1
        while (name := one if number == 1 else f"{one}-{number}").lower() in seen:
            number += 1
        seen[name.lower()] += 1
        named.append(replace(pair, id=name))
    return tuple(named)
