"""Find scenes wherever a user points: a product, a folder of any, a table, a catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from clippan_cli.products.product import ProductReader
from clippan_cli.products.registry import readers
from clippan_cli.rasters.options import Trust
from clippan_cli.running.control import Control
from clippan_cli.scene.files import LeftOut, PairTable, SceneFiles
from clippan_cli.scene.matching import pairs_of_folder
from clippan_cli.scene.names import with_unique_ids
from clippan_cli.scene.pairs import find_pairs
from clippan_models.errors import InputError, UsageError, why_lost

_SHOWN = 5  # scenes that a message names


def find_scenes(path: Path, trust: Trust, control: Control) -> PairTable:
    """The scenes of a product, of a folder and those below it, of a CSV file, or of STAC items.

    Args:
        path: a folder, the main file of a product, a CSV (`-`: from the standard input), or the JSON of STAC.
        trust: what may be opened besides local rasters.
        control: progress, notes and the request to stop.

    Raises:
        InputError: it cannot be read, or holds no pair.
        Interrupted: a signal asked to stop.
    """
    _, notes = readers()
    for note in notes:
        control.on_note(note)
    if path.is_dir():
        return _below(path, trust, control).checked(path)
    reader = _reader_of(path)
    if reader is None:
        return find_pairs(path, trust, control)
    table = reader.read(path, partial(_below, trust=trust, control=control))
    return PairTable(with_unique_ids(table.pairs), table.left_out).checked(path)


def find_scene(path: Path, trust: Trust, control: Control) -> SceneFiles:
    """The one scene of a product.

    Args:
        path: as for `find_scenes`.
        trust: what may be opened besides local rasters.
        control: progress, notes and the request to stop.

    Raises:
        UsageError: it is a single raster.
        InputError: it cannot be read, or holds no scene, several, or one that is incomplete.
        Interrupted: a signal asked to stop.
    """
    if not path.is_dir() and _reader_of(path) is None and path.suffix.lower() != ".csv":
        raise UsageError(
            f"expected two files, MS then PAN, or one product, but got {path}; use --ms and --pan for bands and tiles"
        )
    table = find_scenes(path, trust, control)
    if len(table.pairs) > 1:
        shown = ", ".join(f"{pair.id} ({Path(pair.ms[0]).name})" for pair in table.pairs[:_SHOWN])
        more = f" and {len(table.pairs) - _SHOWN} more" if len(table.pairs) > _SHOWN else ""
        raise InputError(
            f"{path} holds {len(table.pairs)} scenes: {shown}{more}; name MS and PAN of one, or use clippan batch"
        )
    if table.unpaired:
        item = table.unpaired[0]
        raise InputError(f"{path} is not one complete scene: {item.path}: {item.reason}; name MS and PAN instead")
    (scene,) = table.pairs
    control.on_note(f"{path}: MS is {_in_short(scene.ms)}, PAN is {_in_short(scene.pans)}")
    return scene


def _in_short(names: Sequence[str]) -> str:
    first = Path(names[0]).name
    return first if len(names) == 1 else f"{first} and {len(names) - 1} more files"


def _reader_of(path: Path) -> ProductReader | None:
    """The first reader that knows the name of a file."""
    return next((reader for reader in readers()[0] if reader.recognises(path)), None)


def _below(folder: Path, trust: Trust, control: Control) -> PairTable:
    """The scenes in a folder, or an archive as one: those of products, and pairs among all other rasters."""

    def products(files: Sequence[Path]) -> tuple[list[SceneFiles], list[LeftOut]]:
        scenes: list[SceneFiles] = []
        left_out: list[LeftOut] = []
        for table in _whole_products(files, trust, control):
            known = {name for scene in scenes for name in scene.names}
            fresh = [scene for scene in table.pairs if known.isdisjoint(scene.names)]  # an MTL may come in three forms
            scenes += fresh
            left_out += table.left_out if fresh or not table.pairs else ()
        return scenes, left_out

    return pairs_of_folder(folder, trust, control, products)


def _whole_products(files: Sequence[Path], trust: Trust, control: Control) -> Iterator[PairTable]:
    """What each file holds that names all of a product; a bad one costs its own product."""
    for path in files:
        reader = _reader_of(path)
        if reader is None or not reader.is_whole:
            continue
        if path.suffix.lower() == ".zip" and path.with_suffix("").is_dir():
            reason = "the folder with its name beside it is read instead"
            yield PairTable((), (LeftOut(str(path), reason),))
            continue
        try:
            yield reader.read(path, partial(_below, trust=trust, control=control))
        except Exception as error:
            yield PairTable((), (LeftOut(str(path), why_lost(error), unpaired=True),))
