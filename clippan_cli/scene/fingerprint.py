"""Checksums of what a result follows from: the files of a scene, the CLIP that a name stands for, and plain data."""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from clippan_cli.rasters.array_files import read_image
from clippan_cli.rasters.array_names import image_in_file
from clippan_cli.rasters.opening import files_of
from clippan_cli.rasters.options import Trust
from clippan_cli.rasters.source import open_source
from clippan_cli.rasters.stamps import stamp_of
from clippan_cli.rasters.zipped import archive_of, stamp_of_member
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_models.errors import ClippanError
from clippan_models.guidance.encoder import cached_weights
from clippan_models.guidance.options import AUTO, AUTO_PRETRAINED
from clippan_models.store.files import sha256_of


def digest_of(parameters: dict[str, Any]) -> str:
    """SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(parameters, sort_keys=True, default=str).encode()).hexdigest()


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file, or the checksum of one in an archive or in a file of arrays; empty where it cannot be read."""
    if archive_of(str(path)) is not None:
        return stamp_of_member(str(path))
    if image_in_file(str(path)) is not None:
        return hashlib.sha256(read_image(str(path)).tobytes()).hexdigest()
    try:
        return sha256_of(Path(path))
    except OSError:
        return ""


def pixels_of(files: SceneFiles, read: ReadOptions) -> list[list[str]]:
    """The name of each file of a scene, with checksums of what is in it."""
    return [[Path(name).name, *_content(name, read.pair.trust)] for name in (*files.names, *files.quality)]


def chosen_clip(name: str) -> str:
    """Which CLIP a name stands for on this machine: what `auto` takes depends on what was fetched."""
    if name != AUTO:
        return name
    return str(cached_weights(*AUTO_PRETRAINED) or "embedded").rpartition("/")[2]


def _content(name: str, trust: Trust) -> list[str]:
    """What a raster is made of: its file, those beside it that GDAL reads with it, and those that a VRT names."""
    try:
        with ExitStack() as stack:
            source = open_source([name], "MS", trust, stack)
            files = {name, *(file for dataset in source.datasets for file in files_of(name, dataset))}
    except ClippanError:
        return [stamp_of(name)]  # what cannot be opened may be of any size
    local = {file: file_sha256(file) for file in sorted(files)}
    return [f"{Path(file).name}:{digest or file}" for file, digest in local.items()]
