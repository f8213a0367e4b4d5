"""Find the pairs of a folder: which rasters are the MS and the PAN of one scene, and which were made of them.

A file with one band can be a PAN, one with several an MS. Two files make a pair where their pixel sizes relate as those
of PAN and MS do, their footprints overlap, and their times or their names say that they belong together. Files without
a CRS make a pair where their names say so: `NAME_ms.tif` and `NAME_pan.tif` in one folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from shapely import Polygon, STRtree

from clippan_cli.rasters.footprint import acquired, date_in, footprint, pixel_metres
from clippan_cli.rasters.metadata import PROVENANCE_DOMAIN, named_domains, origin_of
from clippan_cli.rasters.options import Trust
from clippan_cli.rasters.source import RasterSource, open_source
from clippan_cli.running.control import Control, Progress
from clippan_cli.scene.files import LeftOut, PairTable, SceneFiles
from clippan_cli.scene.listing import files_below, image_told_by, rasters_among
from clippan_cli.scene.names import (
    is_no_half,
    name_without_role,
    named_by_folder,
    says_its_role,
    scene_id,
    with_unique_ids,
    without_tile,
)
from clippan_cli.scene.parts import Image, join_parts
from clippan_models.errors import why_lost

_FUSED_ENDINGS = (".tif", ".tiff")
_TRUTHS = ("gt", "truth", "reference")
_RATIOS = (1.2, 16.5)  # PAN pixels per MS pixel of any camera, with some room
_OVERLAP = 0.5  # share of the smaller footprint that both must cover
_TILE_OVERLAP = 0.9  # share of the larger one, where a name says that an image is one tile of several
_SECONDS = 2.0

ProductsBelow = Callable[[Sequence[Path]], tuple[list[SceneFiles], list[LeftOut]]]
"""Of some files, the scenes that one of them names as a whole, and the files that are in none with the reason."""


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


def pairs_of_folder(folder: Path, trust: Trust, control: Control, products: ProductsBelow | None = None) -> PairTable:
    """The pairs of a folder and those below it, each with the images that were made of it; every other raster left out.

    Args:
        folder: a folder, or an archive as one.
        trust: what may be opened besides local rasters.
        control: progress and the request to stop.
        products: finds the scenes that a file names as a whole: their files are not paired once more.

    Raises:
        Interrupted: a signal asked to stop.
    """
    files, left_out = files_below(folder)
    scenes, no_products = ([], []) if products is None else products(files)
    left_out += no_products
    taken = {Path(name) for scene in scenes for name in (*scene.names, *scene.quality)}
    taken |= {Path(item.path) for item in no_products}
    paths = rasters_among(file for file in files if file not in taken)
    images: list[Image] = []
    origins: dict[Path, frozenset[str]] = {}
    for number, path in enumerate(paths, start=1):
        control.report(Progress("look", number, len(paths), unit="files"))
        if is_no_half(path.name):
            left_out.append(LeftOut(str(path), "its name says that it is neither MS nor PAN"))
            continue
        try:
            found = _look(path, trust)
        except Exception as error:  # one bad file must not cost the others
            left_out.append(LeftOut(str(path), why_lost(error), unpaired=says_its_role(path.name)))
            continue
        if isinstance(found, Image):
            images.append(found)
        else:
            origins[path] = found
            left_out.append(LeftOut(str(path), "it was made by clippan"))
    drawn = [i for i in images if _is_quicklook(i.path, origins)]
    left_out += [LeftOut(str(image.path), "it was made by clippan") for image in drawn]
    images = [image for image in images if image not in drawn]
    whole = join_parts(images, lambda files: _look_at_parts(files, trust))
    left_out += whole.left_out
    on_map, off_map = ([i for i in whole.images if bool(i.area.is_empty) == bare] for bare in (False, True))
    pairs, alone = _join([i for i in on_map if i.bands > 1], [i for i in on_map if i.bands == 1])
    more, rest = _join_by_name(off_map)
    named = with_unique_ids(named_by_folder([*scenes, *pairs, *more], folder))
    complete = _with_fused(sorted(named, key=lambda pair: pair.id), paths, origins)
    known = {name for pair in complete for name in (*pair.fused, pair.reference)}
    alone = [replace(item, unpaired=item.unpaired and item.path not in known) for item in [*alone, *rest]]
    return PairTable(complete, tuple(sorted([*left_out, *alone], key=lambda item: item.path)))


def _is_quicklook(path: Path, made: Mapping[Path, object]) -> bool:
    """Whether a picture is named like an image beside it that clippan has made."""
    return path.suffix.lower() == ".png" and any(path.with_suffix(ending) in made for ending in _FUSED_ENDINGS)


def _look(path: Path, trust: Trust) -> Image | frozenset[str]:
    """A raster, or the names of the files that clippan made it of."""
    with ExitStack() as stack:
        source = open_source([str(path)], "MS", trust, stack)
        if tags := source.grid.tags(ns=PROVENANCE_DOMAIN):
            return origin_of(tags)
        return _image_of(source)


def _look_at_parts(files: Sequence[Path], trust: Trust) -> Image:
    """Several files as one image."""
    with ExitStack() as stack:
        return _image_of(open_source([str(file) for file in files], "MS", trust, stack))


def _image_of(source: RasterSource) -> Image:
    grid, files = source.grid, tuple(map(Path, source.names))
    path = files[0]
    image = image_told_by(path)
    key = name_without_role(str(without_tile(image)) if image else source.names[0])
    if grid.crs is None:
        return Image(path, key, source.count, 0.0, Polygon(), None, files)
    place = grid.transform, source.width, source.height, grid.crs
    time = acquired(tags_of(source), path.name)
    return Image(path, key, source.count, pixel_metres(*place), footprint(*place), time, files)


def tags_of(source: RasterSource) -> dict[str, str]:
    """All tags of the files of an image by their names, whatever their domain."""
    tags: dict[str, str] = {}
    for dataset in source.datasets:
        for domain in named_domains(dataset):
            tags.update(dataset.tags(ns=domain))
        tags = {**dataset.tags(), **tags}  # what a domain of its own says counts more
    return tags


def _join(sharp: Sequence[Image], pans: Sequence[Image]) -> tuple[list[SceneFiles], list[LeftOut]]:
    """Pairs of MS and PAN that choose each other, and why the others found none."""
    touching = _touching(sharp, pans)
    fits, against = _matches(sharp, pans, touching)
    pans_of, sharp_of = Counter(m for m, _ in fits), Counter(p for _, p in fits)
    sure = {
        (m, p): match
        for (m, p), match in fits.items()
        if match.sure or (pans_of[m] == sharp_of[p] == 1 and match.same_folder)
    }
    best_pan, best_sharp = _best_partners(sure), _best_partners({(p, m): match for (m, p), match in sure.items()})
    mutual = {m: best[0] for m, best in best_pan.items() if len(best) == 1 and best_sharp[best[0]] == [m]}
    pairs = [_scene(sharp[m], pans[p], sure[m, p].reason) for m, p in sorted(mutual.items())]

    pans_at, sharp_at = _partners(fits), _partners((p, m) for m, p in fits)

    def names(images: Sequence[Image], numbers: Iterable[int]) -> str:
        return ", ".join(images[number].path.name for number in numbers)

    alone: list[LeftOut] = []
    for m, ms in enumerate(sharp):
        best = best_pan.get(m, [])
        if m in mutual:
            continue
        if len(best) == 1:
            rivals = names(sharp, (n for n in best_sharp[best[0]] if n != m))
            reason = f"{names(pans, best)} fits {rivals} as well or better"
        elif best:
            reason = f"{names(pans, best)} fit it equally well; name its PAN in a CSV file"
        elif m in pans_at:
            reason = f"neither its name nor its time matches {names(pans, pans_at[m])}, which overlaps it"
        else:
            reason = against.get(ms.path, "no file of one band overlaps it at a finer pixel size")
        covered = any(p in mutual.values() for p in touching.get(m, ()))
        alone += ms.left_out(reason, unpaired=says_its_role(ms.path.name) or not covered)
    for p in set(range(len(pans))) - set(mutual.values()):
        reason = against.get(pans[p].path, "no file of several bands overlaps it at a coarser pixel size")
        touched = names(sharp, sharp_at.get(p, []))
        spare = any(m in mutual for m in sharp_at.get(p, ()))
        alone += pans[p].left_out(f"not the PAN of {touched}" if touched else reason, unpaired=not spare)
    return pairs, alone


def _scene(ms: Image, pan: Image, reason: str) -> SceneFiles:
    first, *others = map(str, pan.files)
    return SceneFiles(tuple(map(str, ms.files)), first, scene_id(str(ms.path)), reason, pan_tiles=tuple(others))


def _touching(sharp: Sequence[Image], pans: Sequence[Image]) -> dict[int, list[int]]:
    """For each MS the PANs whose footprints it touches."""
    tree = STRtree([pan.area for pan in pans])
    return {m: sorted(int(i) for i in tree.query(ms.area, predicate="intersects")) for m, ms in enumerate(sharp)}


def _matches(
    sharp: Sequence[Image], pans: Sequence[Image], touching: Mapping[int, Sequence[int]]
) -> tuple[dict[tuple[int, int], _Match], dict[Path, str]]:
    """How well each MS fits each PAN that it touches, and for files that touch but do not fit, the first reason."""
    fits: dict[tuple[int, int], _Match] = {}
    against: dict[Path, str] = {}
    for m, ms in enumerate(sharp):
        for p in touching[m]:
            match, reason = _compare(ms, pans[p])
            if match is not None:
                fits[m, p] = match
            else:
                against.setdefault(ms.path, f"{pans[p].path.name}: {reason}")
                against.setdefault(pans[p].path, f"{ms.path.name}: {reason}")
    return fits, against


def _join_by_name(images: Sequence[Image]) -> tuple[list[SceneFiles], list[LeftOut]]:
    """Pairs of images without a CRS: the only two of a folder whose names differ in the words ms and pan alone."""
    groups: dict[tuple[Path, str], list[Image]] = {}
    for image in images:
        groups.setdefault((image.path.parent, image.key), []).append(image)
    pairs, alone = [], []
    for group in groups.values():
        pan, ms = ([i for i in group if (i.bands == 1) == single] for single in (True, False))
        if len(pan) == len(ms) == 1:
            pairs.append(_scene(ms[0], pan[0], "names agree; no CRS"))
        else:
            reason = "it has no CRS; name its pair in a CSV file"
            alone += [out for i in group for out in i.left_out(reason, unpaired=says_its_role(i.path.name))]
    return pairs, alone


def _with_fused(
    pairs: Sequence[SceneFiles], paths: Sequence[Path], origins: Mapping[Path, frozenset[str]]
) -> tuple[SceneFiles, ...]:
    """Pairs with their fused images, and the truth where there is one.

    Beside `NAME_ms.tif` (or `ms.tif`), each other `NAME_*.tif` is a fused image, and `NAME_gt`, `NAME_truth` or
    `NAME_reference` the truth. What clippan has made of the files of a pair in the same folder belongs to it as well.
    """
    taken = {Path(name) for pair in pairs for name in pair.names}
    fused: dict[str, list[str]] = {pair.id: [] for pair in pairs}
    truths: dict[str, str] = {}
    for path in paths:
        if path in taken or path.suffix.lower() not in _FUSED_ENDINGS:
            continue
        owner = _owner(path, origins.get(path, frozenset()), pairs)
        if owner is None:
            continue
        if path.stem.lower().removeprefix(_prefix(owner) or "") in _TRUTHS:
            truths.setdefault(owner.id, str(path))
        else:
            fused[owner.id].append(str(path))
    return tuple(replace(pair, fused=tuple(fused[pair.id]), reference=truths.get(pair.id)) for pair in pairs)


def _owner(path: Path, origin: frozenset[str], pairs: Sequence[SceneFiles]) -> SceneFiles | None:
    """The pair that an image was made of: by its tags, else by the longest name of a pair that its own begins with."""
    beside = [pair for pair in pairs if Path(pair.ms[0]).parent == path.parent]
    by_origin = [pair for pair in beside if origin == {Path(name).name for name in pair.names}]
    if by_origin:
        return by_origin[0]
    starts = [(start, pair) for pair in beside if (start := _prefix(pair)) is not None]
    by_name = [(len(start), pair) for start, pair in starts if path.stem.lower().startswith(start)]
    return max(by_name, key=lambda item: item[0])[1] if by_name else None


def _prefix(pair: SceneFiles) -> str | None:
    """What the names of images of a pair begin with: NAME_ beside NAME_ms, nothing beside ms; None for other names."""
    stem = Path(pair.ms[0]).stem.lower()
    return stem.removesuffix("ms") if stem == "ms" or stem.endswith("_ms") else None


def _best_partners(matches: Mapping[tuple[int, int], _Match]) -> dict[int, list[int]]:
    """For each first number the second ones of the highest rank."""
    best = {}
    for one, others in _partners(matches).items():
        top = max(matches[one, other].rank for other in others)
        best[one] = [other for other in others if matches[one, other].rank == top]
    return best


def _partners(edges: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    """The second numbers of edges by their first ones."""
    found: dict[int, list[int]] = {}
    for one, other in edges:
        found.setdefault(one, []).append(other)
    return found


def _compare(ms: Image, pan: Image) -> tuple[_Match | None, str]:
    """How well two images that touch fit; None where they do not, with what speaks against it."""
    ratio = ms.pixel / pan.pixel
    if not _RATIOS[0] <= ratio <= _RATIOS[1]:
        return None, f"pixels of {pan.pixel:.3g} m and {ms.pixel:.3g} m are not those of PAN and MS"
    overlap = ms.area.intersection(pan.area).area / min(ms.area.area, pan.area.area)
    if overlap < _OVERLAP:
        return None, f"only {overlap:.0%} of the smaller one overlaps"
    of_larger = ms.area.intersection(pan.area).area / max(ms.area.area, pan.area.area)
    if of_larger < _TILE_OVERLAP and (ms.in_tiles or pan.in_tiles):
        return None, f"as tiles they share only {of_larger:.0%} of their area: tiles are missing, or make no one image"
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
