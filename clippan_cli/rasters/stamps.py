"""Whether files have changed since they were opened."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from clippan_cli.rasters.places import holder_of
from clippan_models.errors import InputError


def stamp_of(file: str) -> str:
    """Size, time of change and inode of a file; empty where it is not there, or not on this machine."""
    try:
        status = os.stat(holder_of(file))
    except (OSError, ValueError):
        return ""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"


@dataclass(frozen=True)
class Stamps:
    """The stamps of files by their names."""

    of: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def now(cls, files: Iterable[str]) -> Stamps:
        """The present ones."""
        return cls({file: stamp_of(file) for file in files})

    def with_more(self, files: Iterable[str]) -> Stamps:
        """These stamps, and the present ones of further files."""
        return Stamps({**self.now(files).of, **self.of})

    def check(self) -> None:
        """Refuse to go on with files that are no longer those that were opened.

        Raises:
            InputError: one has changed.
        """
        for file, stamp in self.of.items():
            if stamp_of(file) != stamp:
                raise InputError(f"{file} was changed while it was read; run again once it is complete")
