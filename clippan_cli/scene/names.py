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
    *("ms", "mss", "mul", "multi", "multispectral", "mux", "xs", "m", "bgrn", "rgbn", "mtd"),
    *("pan", "panchromatic", "p", "p1bs", "m1bs", "p2as", "m2as", "b8", "b08"),
}
_MS_ROLE, _PAN_ROLE = re.compile(r"^(ms|mss|mul|mux|m)(\d*)$"), re.compile(r"^(pan|p)(\d*)$")
_NO_HALVES = {"udm", "udm2", "visual", "pansharpened", "dn"}
_KOMPSAT_SHARPENED = re.compile(r"K3A?_.*_P[BGRN]", re.IGNORECASE)
_TILE = re.compile(r"[\W_]?(?<![^\W_])r(\d+)c(\d+)(?![^\W_])", re.IGNORECASE)


def name_without_role(path: str) -> str:
    """What the names of MS and PAN have in common, to be compared: lower case, with hyphens between its words."""
    return "-".join(_words(scene_name(path)))


def scene_name(path: str) -> str:
    """The name of a file as it was written, without the words for its role (ms, pan ...) and the time."""
    parts = re.split(r"([\W_]+)", without_time(Path(path).stem))
    name = ""
    for word, joint in zip(parts[::2], [*parts[1::2], ""], strict=True):
        if kept := _without_role(word):
            name += kept + joint
    return name.strip("-_. ")


def says_its_role(path: str) -> bool:
    """Whether a name holds a word for MS or PAN."""
    return any(_without_role(word) != word for word in _words(Path(path).stem))


def is_no_half(path: str) -> bool:
    """Whether a name says that an image is neither MS nor PAN: masks and finished images of SkySat and KOMPSAT."""
    stem = Path(path).stem
    return bool(_NO_HALVES & set(_words(stem)) or _KOMPSAT_SHARPENED.fullmatch(stem))


def tile_of(path: str) -> tuple[int, int] | None:
    """The row and the column, where a name says that an image is one tile of a product, such as R1C2."""
    found = _TILE.search(Path(path).stem)
    return None if found is None else (int(found[1]), int(found[2]))


def without_tile(path: Path) -> Path:
    """The path that an image in tiles would have as one file."""
    return path.with_name(_TILE.sub("", path.stem, count=1).lstrip("-_. ") + path.suffix)


def with_tile(path: Path, row: int, col: int) -> Path:
    """The path of another tile of the same image."""

    def named(found: re.Match[str]) -> str:
        start = found[0][: found[0].lower().index("r")]
        return f"{start}R{row}C{col}"

    return path.with_name(_TILE.sub(named, path.stem, count=1) + path.suffix)


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\W_]+", name.lower()) if word]


def _without_role(word: str) -> str:
    for role in (_MS_ROLE, _PAN_ROLE):
        if match := role.match(word.lower()):
            return match[2]  # PAN1 and MS1 are the parts of one scene
    return "" if word.lower() in _ROLES else word


def scene_id(path: str) -> str:
    """The name of a scene for its files."""
    return safe_name(scene_name(path))


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
    seen: set[str] = set()
    tried: Counter[str] = Counter()  # numbers of each name: counting from 1 again would take the square of the time
    named = []
    for pair in pairs:
        one = pair.id or "scene"
        while (name := one if tried[one.lower()] == 0 else f"{one}-{tried[one.lower()] + 1}").lower() in seen:
            tried[one.lower()] += 1
        seen.add(name.lower())
        named.append(replace(pair, id=name))
    return tuple(named)
