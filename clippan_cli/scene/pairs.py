"""Find scenes: in a folder, in a CSV file, or in STAC items."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clippan_cli.rasters.names import windows_path_here
from clippan_cli.rasters.options import Trust
from clippan_cli.running.control import Control
from clippan_cli.scene.files import PairTable, SceneFiles
from clippan_cli.scene.matching import pairs_of_folder
from clippan_cli.scene.names import safe_name, scene_name, with_unique_ids
from clippan_cli.scene.stac import ENDINGS, pairs_of_stac
from clippan_cli.scene.tables import FileRow, read_file_table
from clippan_models.errors import InputError


def names_many_scenes(names: Sequence[str]) -> bool:
    """Whether the arguments name many scenes rather than images: one folder, or one CSV file."""
    return len(names) == 1 and (Path(names[0]).is_dir() or names[0].lower().endswith(".csv"))


def find_pairs(path: Path, trust: Trust, control: Control) -> PairTable:
    """The scenes of a folder and those below it, of a CSV file, or of STAC items.

    A CSV file has the columns ms and pan, and may have id (or name), fused, reference and sensor. Several files stand
    in one cell with semicolons between, relative to the CSV or by their address: bands or tiles of MS, tiles of PAN.

    Args:
        path: the folder, the CSV (`-`: from the standard input), or the JSON of STAC.
        trust: what may be opened besides local rasters.
        control: progress and the request to stop.

    Raises:
        InputError: it cannot be read, or holds no pair.
        Interrupted: a signal asked to stop.
    """
    if path.is_dir():
        table = pairs_of_folder(path, trust, control)
    elif path.suffix.lower() == ".csv" or str(path) == "-":
        table = PairTable(with_unique_ids([_of_row(row) for row in read_file_table(path, ("ms", "pan"))]))
    elif path.suffix.lower() in ENDINGS:
        table = pairs_of_stac(path)
    else:
        raise InputError(
            windows_path_here(str(path))
            or f"{path} is neither a folder nor a CSV file with the columns ms, pan and perhaps id, nor a STAC JSON "
            "file"
        )
    return table.checked(path)


def _of_row(row: FileRow) -> SceneFiles:
    ms, pan = row.files("ms"), row.files("pan")
    if not ms or not pan:
        raise InputError(f"{row.table}, line {row.line}: one or more files are needed under ms, and under pan")
    return SceneFiles(
        ms,
        pan[0],
        id=safe_name(row.text("id") or row.text("name") or scene_name(ms[0])),
        reason=f"line {row.line} of {row.table.name}",
        fused=row.files("fused"),
        reference=next(iter(row.files("reference")), None),
        sensor=row.text("sensor") or None,
        pan_tiles=pan[1:],
    )
