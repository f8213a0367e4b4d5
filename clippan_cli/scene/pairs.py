"""Which files of an archive are the MS and the PAN of one scene.

A file with one band can be a PAN, one with several an MS. Two files make a pair where their pixel sizes relate as those
of PAN and MS do, their footprints overlap, and their times or their names say that they belong together.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from shapely import STRtree
from shapely.geometry.base import BaseGeometry

from clippan_cli.rasters.footprint import acquired, date_in, footprint, pixel_metres, without_time
from clippan_cli.rasters.metadata import PROVENANCE_DOMAIN
from clippan_cli.rasters.source import RasterSource, Trust, open_source
from clippan_cli.running.control import Control, Progress
from clippan_cli.scene.files import SceneFiles
from clippan_cli.scene.stac import ENDINGS, stac_items
from clippan_cli.scene.tables import is_address, read_file_table
from clippan_models.errors import ClippanError, InputError, in_one_line
from clippan_models.plain import plain

_ENDINGS = (".tif", ".tiff", ".jp2", ".ntf", ".nitf", ".img", ".pix", ".vrt", ".png", ".bil")
_RATIOS = (1.2, 16.5)  # PAN pixels per MS pixel of any camera, with some room
_OVERLAP = 0.5  # share of the smaller footprint that both must cover
_SECONDS = 2.0
_ROLES = {
    *("ms", "mss", "mul", "multi", "multispectral", "xs", "m", "bgrn", "rgbn", "mtd"),
    *("pan", "panchromatic", "p", "p1bs", "m1bs", "p2as", "m2as", "b8", "b08"),
}
_MS_ROLE, _PAN_ROLE = re.compile(r"^(ms|mss|mul|m)(\d*)$"), re.compile(r"^(pan|p)(\d*)$")


@dataclass(frozen=True)
class LeftOut:
    """A file that is in no pair, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class PairTable:
    """What an archive holds.

    Attributes:
        pairs: by id.
        left_out: every other raster.
    """

    pairs: tuple[SceneFiles, ...]
    left_out: tuple[LeftOut, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        pairs = [{"id": p.id, "ms": list(p.ms), "pan": p.pan, "reason": p.reason} for p in self.pairs]
        return {"pairs": pairs, "left_out": plain(self.left_out)}

    def as_csv(self) -> str:
        """A table that `find_pairs` reads; paths are absolute, so that it can lie anywhere."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["ms", "pan", "id"])
        for pair in self.pairs:
            names = (*pair.ms, pair.pan)
            absolute = [name if is_address(name) else str(Path(name).absolute()) for name in names]
            writer.writerow([";".join(absolute[:-1]), absolute[-1], pair.id])
        return out.getvalue()


def find_pairs(path: Path, trust: Trust, control: Control) -> PairTable:
    """The pairs of a CSV file with the columns ms, pan and perhaps id, of STAC items, or of all rasters in a folder.

    Args:
        path: the CSV, the JSON of STAC, or the folder; those below it count.
        trust: what may be opened besides local rasters.
        control: progress and the request to stop.

    Raises:
        InputError: it cannot be read, or holds no pair.
        Interrupted: a signal asked to stop.
    """
    if path.is_dir():
        table = _of_folder(path, trust, control)
    elif path.suffix.lower() == ".csv":
        table = _of_table(path)
    elif path.suffix.lower() in ENDINGS:
        table = _of_stac(path)
    else:
        raise InputError(
            f"{path} is neither a folder nor a CSV file with the columns ms, pan and perhaps id, nor the JSON of STAC"
        )
    if not table.pairs:
        first = f"; {table.left_out[0].path}: {table.left_out[0].reason}" if table.left_out else ""
        raise InputError(f"{path} holds no pair of MS and PAN{first}")
    return table


def _of_table(path: Path) -> PairTable:
    pairs = []
    for row in read_file_table(path, ("ms", "pan")):
        ms, pan = row.files("ms"), row.files("pan")
        if not ms or len(pan) != 1:
            raise InputError(f"{path}, line {row.line}: one or more files under ms and one under pan are needed")
        pairs.append(SceneFiles(ms, pan[0], _safe(row.text("id") or _stem(ms[0])), f"line {row.line} of {path.name}"))
    return PairTable(_named_apart(pairs))


def _of_stac(path: Path) -> PairTable:
    found = stac_items(path)
    pairs = [
        SceneFiles(ms, pan, _safe(name), f"an item of {path.name}") for name, ms, pan, missing in found if not missing
    ]
    left_out = tuple(LeftOut(name, missing) for name, _, _, missing in found if missing)
    return PairTable(_named_apart(pairs), left_out)


@dataclass(frozen=True)
class _Image:
    """A raster that can be half of a pair."""

    path: Path
    bands: int
    pixel: float
    area: BaseGeometry
    time: datetime | None

    @property
    def key(self) -> str:
        return _stem(str(self.path))


@dataclass(frozen=True)
class _Match:
    """How well a PAN fits an MS; the larger, the better, in the order of the fields."""

    named_alike: bool
    timed_alike: bool
    same_folder: bool
    overlap: float

    @property
    def sure(self) -> bool:
        return self.named_alike or self.timed_alike

    @property
    def rank(self) -> tuple[bool, bool, bool, float]:
        return self.named_alike, self.timed_alike, self.same_folder, round(self.overlap, 2)

    @property
    def reason(self) -> str:
        whys = [
            *(["names"] if self.named_alike else []),
            *(["times"] if self.timed_alike else []),
        ]
        return f"{' and '.join(whys) or 'the only two here that'} {'agree' if whys else 'overlap'}"


def _of_folder(folder: Path, trust: Trust, control: Control) -> PairTable:
    paths = sorted(p for p in folder.rglob("*") if _may_be_raster(p, folder))
    images: list[_Image] = []
    left_out: list[LeftOut] = []
    for number, path in enumerate(paths, start=1):
        control.report(Progress("look", number, len(paths)))
        try:
            images.append(_look(path, trust))
        except ClippanError as error:
            left_out.append(LeftOut(str(path), in_one_line(error)))
    pans = [image for image in images if image.bands == 1]
    sharp = [image for image in images if image.bands > 1]
    pairs, alone = _join(sharp, pans)
    named = _named_apart(_with_folders(pairs, folder))
    every = sorted([*left_out, *alone], key=lambda item: item.path)
    return PairTable(tuple(sorted(named, key=lambda pair: pair.id)), tuple(every))


def _may_be_raster(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.suffix.lower() in _ENDINGS and not hidden and path.is_file()


def _look(path: Path, trust: Trust) -> _Image:
    with ExitStack() as stack:
        source = open_source([str(path)], "MS", trust, stack)
        grid = source.grid
        if grid.tags(ns=PROVENANCE_DOMAIN):
            raise InputError("clippan has made it")
        if grid.crs is None:
            raise InputError("it has no CRS; name its pair in a CSV file")
        place = grid.transform, source.width, source.height, grid.crs
        time = acquired(_tags(source), path.name)
        return _Image(path, source.count, pixel_metres(*place), footprint(*place), time)


def _tags(source: RasterSource) -> dict[str, str]:
    tags: dict[str, str] = {}
    for dataset in source.datasets:
        for domain in dataset.tag_namespaces():
            if not domain.startswith("xml:"):
                tags.update(dataset.tags(ns=domain))
        tags = {**dataset.tags(), **tags}  # what a domain of its own says counts more
    return tags


def _join(sharp: Sequence[_Image], pans: Sequence[_Image]) -> tuple[list[SceneFiles], list[LeftOut]]:
    """Pairs of MS and PAN that choose each other, and why the others found none."""
    tree = STRtree([pan.area for pan in pans])
    fits: dict[tuple[int, int], _Match] = {}
    nearest: dict[Path, str] = {}
    for m, ms in enumerate(sharp):
        for p in sorted(int(i) for i in tree.query(ms.area, predicate="intersects")):
            match, against = _compare(ms, pans[p])
            if match is not None:
                fits[m, p] = match
            else:
                nearest.setdefault(ms.path, f"{pans[p].path.name}: {against}")
                nearest.setdefault(pans[p].path, f"{ms.path.name}: {against}")
    pans_of, sharp_of = Counter(m for m, _ in fits), Counter(p for _, p in fits)
    sure = {
        (m, p): match
        for (m, p), match in fits.items()
        if match.sure or (pans_of[m] == sharp_of[p] == 1 and match.same_folder)
    }
    best_pan, best_sharp = _best_partners(sure), _best_partners({(p, m): match for (m, p), match in sure.items()})
    touching = _partners(fits), _partners([(p, m) for m, p in fits])
    pairs, alone = [], []
    taken: set[int] = set()
    for m, ms in enumerate(sharp):
        best = best_pan.get(m, [])
        if len(best) == 1 and best_sharp[best[0]] == [m]:
            taken.add(best[0])
            pairs.append(SceneFiles((str(ms.path),), str(pans[best[0]].path), ms.key, sure[m, best[0]].reason))
        elif len(best) == 1:
            names = ", ".join(sharp[a].path.name for a in best_sharp[best[0]] if a != m)
            alone.append(LeftOut(str(ms.path), f"{pans[best[0]].path.name} fits {names} as well or better"))
        elif best:
            names = ", ".join(pans[p].path.name for p in best)
            alone.append(LeftOut(str(ms.path), f"{names} fit it alike; name its PAN in a CSV file"))
        elif unsure := [pans[p].path.name for p in touching[0].get(m, [])]:
            reason = f"neither name nor time ties it to {', '.join(unsure)}, which overlaps it"
            alone.append(LeftOut(str(ms.path), reason))
        else:
            reason = nearest.get(ms.path, "no file of one band overlaps it at a finer pixel size")
            alone.append(LeftOut(str(ms.path), reason))
    for p, pan in enumerate(pans):
        if p not in taken:
            touched = [sharp[m].path.name for m in touching[1].get(p, [])]
            reason = nearest.get(pan.path, "no file of several bands overlaps it at a coarser pixel size")
            alone.append(LeftOut(str(pan.path), f"not the PAN of {', '.join(touched)}" if touched else reason))
    return pairs, alone


def _partners(edges: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    """The second numbers of pairs by their first ones."""
    found: dict[int, list[int]] = {}
    for one, other in edges:
        found.setdefault(one, []).append(other)
    return found


def _best_partners(matches: Mapping[tuple[int, int], _Match]) -> dict[int, list[int]]:
    """For each first number the second ones of the highest rank."""
    best = {}
    for one, others in _partners(matches).items():
        top = max(matches[one, other].rank for other in others)
        best[one] = [other for other in others if matches[one, other].rank == top]
    return best


def _compare(ms: _Image, pan: _Image) -> tuple[_Match | None, str]:
    """How well two images that touch fit; None where they do not, with what speaks against it."""
    ratio = ms.pixel / pan.pixel
    if not _RATIOS[0] <= ratio <= _RATIOS[1]:
        return None, f"pixels of {pan.pixel:.3g} m and {ms.pixel:.3g} m are no PAN and MS"
    overlap = ms.area.intersection(pan.area).area / min(ms.area.area, pan.area.area)
    if overlap < _OVERLAP:
        return None, f"only {overlap:.0%} of the smaller one overlaps"
    timed = False
    if ms.time is not None and pan.time is not None:
        apart = abs((ms.time - pan.time).total_seconds())
        if apart > _SECONDS:
            return None, f"taken {_apart(apart)} apart"
        timed = True
    elif (dates := (date_in(ms.path.name), date_in(pan.path.name))) and None not in dates and dates[0] != dates[1]:
        return None, f"another date in its name, {dates[0]} and {dates[1]}"
    named = bool(ms.key) and ms.key == pan.key
    return _Match(named, timed, ms.path.parent == pan.path.parent, overlap), ""


def _apart(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 3600
        else f"{seconds / 3600:.1f} h"
        if seconds < 172_800
        else (f"{seconds / 86_400:.0f} days")
    )


def _stem(path: str) -> str:
    """What the names of MS and PAN of a scene have in common: without the words for their roles, and the time."""
    words = re.split(r"[^0-9a-z]+", without_time(Path(path).stem).lower())
    return "-".join(word for word in (_without_role(word) for word in words) if word)


def _without_role(word: str) -> str:
    for role in (_MS_ROLE, _PAN_ROLE):
        if match := role.match(word):
            return match[2]  # PAN1 and MS1 are the parts of one scene
    return "" if word in _ROLES else word


def _with_folders(pairs: Iterable[SceneFiles], folder: Path) -> list[SceneFiles]:
    """Pairs that would be called alike, called by their folders too."""
    found = list(pairs)
    count = Counter(pair.id for pair in found)
    named = []
    for pair in found:
        places = [*Path(pair.ms[0]).relative_to(folder).parent.parts, pair.id]
        stem = pair.id or _safe(Path(pair.ms[0]).stem)
        alike = count[pair.id] > 1 or not pair.id
        named.append(replace(pair, id=_safe("-".join(part for part in places if part)) if alike else stem))
    return [replace(pair, id=pair.id or _safe(Path(pair.ms[0]).stem)) for pair in named]


def _named_apart(pairs: Sequence[SceneFiles]) -> tuple[SceneFiles, ...]:
    """Pairs with ids of their own: the second of a name is called NAME-2; on some systems A and a are one file."""
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


def _safe(name: str) -> str:
    """A name that is one on every system."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-")[:100]
