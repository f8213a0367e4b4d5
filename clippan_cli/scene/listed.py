"""Lists of scenes to assess, from a folder or from a CSV file.

A folder, and each folder in it, may hold `NAME_ms.tif`, `NAME_pan.tif`, any fused `NAME_*.tif`, and the truth as
`NAME_gt.tif`, `NAME_truth.tif` or `NAME_reference.tif`; or the same without NAME, when the folder names the scene. A
CSV has the columns `ms`, `pan` and `fused`, and may have `name`, `reference` and `sensor`; several files stand in one
cell with semicolons between, relative to the CSV or by their address.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from clippan_cli.scene.files import SceneFiles
from clippan_cli.scene.tables import read_file_table
from clippan_models.errors import InputError

_RASTERS = (".tif", ".tiff")
_TRUTHS = ("gt", "truth", "reference")


def is_index(names: Sequence[str]) -> bool:
    """Whether the arguments name many scenes rather than images: one folder, or one CSV file."""
    return len(names) == 1 and (os.path.isdir(names[0]) or names[0].lower().endswith(".csv"))


def find_scenes(path: Path) -> tuple[SceneFiles, ...]:
    """The scenes of a folder or of a CSV file.

    Raises:
        InputError: there are none, or the file cannot be read.
    """
    found = _of_table(path) if path.suffix.lower() == ".csv" else _of_folder(path)
    if not found:
        raise InputError(f"{path} holds no scene: NAME_ms.tif, NAME_pan.tif and fused NAME_*.tif are looked for")
    return tuple(found)


def _of_table(path: Path) -> list[SceneFiles]:
    return [
        SceneFiles(
            id=row.text("name") or f"scene {number}",
            ms=row.files("ms"),
            pan=next(iter(row.files("pan")), ""),
            fused=row.files("fused"),
            reference=next(iter(row.files("reference")), None),
            sensor=row.text("sensor") or None,
        )
        for number, row in enumerate(read_file_table(path, ("ms", "pan", "fused")), start=1)
    ]


def _of_folder(folder: Path) -> list[SceneFiles]:
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist")
    found = []
    for place in [folder, *sorted(p for p in folder.iterdir() if p.is_dir())]:
        rasters = sorted(p for p in place.iterdir() if p.suffix.lower() in _RASTERS and p.is_file())
        by_stem = {p.stem.lower(): p for p in rasters}
        for stem in [s for s in by_stem if s == "ms" or s.endswith("_ms")]:
            start = stem.removesuffix("ms")
            if f"{start}pan" in by_stem:
                found.append(_of_stems(start, by_stem, place))
    return found


def _of_stems(start: str, by_stem: dict[str, Path], place: Path) -> SceneFiles:
    truth = next((by_stem[f"{start}{t}"] for t in _TRUTHS if f"{start}{t}" in by_stem), None)
    known = {f"{start}ms", f"{start}pan", *(f"{start}{t}" for t in _TRUTHS)}
    others = [s for s in by_stem if s.endswith("_ms") and s.removesuffix("ms") != start] if start else []
    deeper = tuple(s.removesuffix("ms") for s in others if s.startswith(start))
    fused = [
        p
        for s, p in by_stem.items()
        if s.startswith(start) and s not in known and not (deeper and s.startswith(deeper))
    ]
    return SceneFiles(
        id=start.rstrip("_") or place.name,
        ms=(str(by_stem[f"{start}ms"]),),
        pan=str(by_stem[f"{start}pan"]),
        fused=tuple(map(str, fused)),
        reference=str(truth) if truth else None,
    )
