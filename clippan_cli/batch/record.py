"""The record of each scene of a batch: from which inputs, parameters and version it was made, and how that went."""

from __future__ import annotations

import json
import os
import stat
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from clippan_cli import __version__
from clippan_cli.rasters.metadata import PROVENANCE_DOMAIN, origin_of
from clippan_cli.rasters.names import public_name
from clippan_cli.rasters.options import Declared, Trust
from clippan_cli.rasters.source import open_source
from clippan_cli.rasters.vector import files_of_vector
from clippan_cli.report.files import write_text
from clippan_cli.running.warnings import RunWarning
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.fingerprint import chosen_clip, digest_of, file_sha256, pixels_of
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.sharpening.packages import packages_of
from clippan_cli.writing.path import make_folder
from clippan_models.errors import ClippanError, InputError, OutputError
from clippan_models.methods.registry import find_method
from clippan_models.outside import read_json

FOLDER = ".clippan-batch"
"""Within the folder of the outputs."""

LARGEST_RECORD = 2**20
"""Bytes."""

Status = Literal["running", "done", "failed"]


@dataclass(frozen=True)
class Job:
    """One scene to sharpen.

    Attributes:
        files: of the scene.
        read: how to read them.
        options: what to make of it.
        key: SHA-256 of all that the result follows from, see `with_key`; empty where it is not known.
    """

    files: SceneFiles
    read: ReadOptions
    options: SharpenOptions
    key: str = ""

    @property
    def record(self) -> Path:
        """The file in which the batch remembers it."""
        return self.options.output.parent / FOLDER / f"{self.options.output.stem}.json"

    @property
    def results(self) -> list[Path]:
        """The files that it makes: the image, and perhaps the quicklook and the STAC item."""
        named = (self.options.output, self.options.quicklook, self.options.stac)
        return [path for path in named if path is not None]

    def absolute(self) -> Job:
        """The same job for a process with another working directory."""
        files, read, options = self.files, self.read, self.options
        guidance = options.guidance
        return replace(
            self,
            files=replace(
                files,
                ms=tuple(map(_absolute, files.ms)),
                pan=_absolute(files.pan),
                pan_tiles=tuple(map(_absolute, files.pan_tiles)),
                ms_declared=_with_absolute(files.ms_declared),
                pan_declared=_with_absolute(files.pan_declared),
            ),
            read=replace(read, aoi=read.aoi and read.aoi.absolute(), sensor=_absolute(read.sensor)),
            options=replace(
                options,
                output=options.output.absolute(),
                quicklook=options.quicklook and options.quicklook.absolute(),
                stac=options.stac and options.stac.absolute(),
                weights=options.weights and options.weights.absolute(),
                guidance=replace(guidance, clip=_absolute(guidance.clip)),
            ),
        )


@dataclass(frozen=True)
class Record:
    """How a scene went.

    Attributes:
        key: of the job, see `with_key`.
        status: "running" from before the first byte is written.
        ours: there was no output, or one of this batch, when it began: it may be replaced.
        output_sha256: of the finished file.
        quicklook_sha256: of the picture, where it was asked for.
        error: what failed, in a line.
        exit_code: of that failure.
        seconds: wall time.
        quality: indices without reference.
        warnings: what was doubtful.
        stac_sha256: of the STAC item, where it was asked for.
        packages: of others that had a part in it, with their versions.
    """

    key: str
    status: Status
    ours: bool = False
    output_sha256: str = ""
    quicklook_sha256: str = ""
    error: str = ""
    exit_code: int = 0
    seconds: float = 0.0
    quality: dict[str, float] | None = None
    warnings: tuple[RunWarning, ...] = ()
    stac_sha256: str = ""
    packages: dict[str, str] = field(default_factory=dict)

    def wrote(self, job: Job, path: Path) -> bool:
        """Whether a file is what the job left there when it was done."""
        known = {
            job.options.output: self.output_sha256,
            job.options.quicklook: self.quicklook_sha256,
            job.options.stac: self.stac_sha256,
        }
        return path.is_file() and file_sha256(path) == known[path]


def with_key(job: Job) -> Job:
    """A job with its key: a hash of the bytes of its inputs, the parameters, and the versions.

    Where the result goes, whether it may replace another, is drawn or described is no part of the key, and neither is
    the number of threads where the pixels do not depend on it.
    """
    read, options = job.read, job.options
    compute, learns = options.compute, find_method(options.method).learns
    areas = [] if read.aoi is None else files_of_vector(read.aoi)
    used = [options.weights, *areas, *(Path(name) for name in (read.sensor, options.guidance.clip))]
    parameters: dict[str, Any] = {
        "version": __version__,
        "read": asdict(replace(read, aoi=None)),
        "options": asdict(
            replace(
                options,
                output=Path(),
                quicklook=None,
                stac=None,
                weights=None,
                save_weights=None,
                encoding=replace(options.encoding, overwrite=False),
                compute=replace(compute, threads=compute.thread_count if learns else None),
            )
        ),
        "pixels": pixels_of(job.files, read),
        "declared": [asdict(replace(said, quality=())) for said in (job.files.ms_declared, job.files.pan_declared)],
        "clip": chosen_clip(options.guidance.clip) if find_method(options.method).language else None,
        "files": [file_sha256(path) for path in used if path is not None and path.is_file()],
        **packages_of(options),
    }
    return replace(job, key=digest_of(parameters))


def read_record(job: Job) -> Record | None:
    """The record of a scene; None where there is none, or a damaged one."""
    try:
        return msgspec.convert(read_json(job.record, "a record", LARGEST_RECORD), Record)
    except (InputError, msgspec.ValidationError, UnicodeEncodeError):  # the last: half of a character
        return None


def write_record(job: Job, record: Record) -> None:
    """Remember how a scene went.

    A link in its place, which anybody may have put there, is replaced, and not the file to which it leads.

    Raises:
        OutputError: the record cannot be written.
    """
    make_folder(job.record.parent)
    with suppress(OSError):
        if not stat.S_ISREG(os.lstat(job.record).st_mode):
            job.record.unlink()
    write_text(job.record, json.dumps(asdict(record), indent=1) + "\n")


def is_finished(job: Job, record: Record | None) -> bool:
    """The results are what this job would make: made by the same key, and not changed since."""
    if record is None or record.status != "done" or record.key != job.key:
        return False
    return all(record.wrote(job, path) for path in job.results)


def has_failed_for_good(job: Job, record: Record | None) -> bool:
    """The same would fail again; a full disk, or a file in the way, may be gone."""
    if record is None or record.status != "failed" or record.key != job.key:
        return False
    return record.exit_code != OutputError.exit_code


def may_replace(job: Job, record: Record | None) -> bool:
    """There are no results yet, or they belong to this batch; where the record is damaged, the image tells."""
    there = [path for path in job.results if os.path.lexists(path)]
    if not all(path.is_file() for path in there):
        return False
    if record is None:
        return not there or (os.path.lexists(job.record) and _is_made_of(job.options.output, job.files))
    if record.status == "done":
        return all(record.wrote(job, path) for path in there)
    return record.ours or not there


def _is_made_of(path: Path, files: SceneFiles) -> bool:
    """Whether an image says that clippan made it of files with these names."""
    with suppress(ClippanError), ExitStack() as stack:
        tags = open_source([str(path)], "fused", Trust(), stack).grid.tags(ns=PROVENANCE_DOMAIN)
        return origin_of(tags) == {Path(public_name(name)).name for name in files.names}
    return False


def _with_absolute(declared: Declared) -> Declared:
    return replace(declared, quality=tuple(replace(each, file=_absolute(each.file)) for each in declared.quality))


def _absolute(name: str) -> str:
    """Where a file is; what is not a file here, such as an address or the name of a sensor, stays as it is."""
    path = Path(name)
    return str(path.absolute()) if path.is_file() else name
