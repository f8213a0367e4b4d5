"""Files that exist whole or not at all, and their checksums."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clippan_models.outside import open_regular
from clippan_models.store.temporary import new_token, part_path


@contextmanager
def written_whole(path: Path, *, synced: bool = False) -> Iterator[Path]:
    """A temporary path beside `path`; it is renamed to `path` if the block succeeds, and removed otherwise.

        with written_whole(path) as partial:
            partial.write_text(text)

    Args:
        path: replaced if it exists; of a symbolic link, the file behind it. A pipe or a device is not replaced.
        synced: wait until the content is on the disk, so that it survives a power failure.

    Raises:
        OSError: the file cannot be written; `path` is as it was.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    partial = part_path(path, new_token())
    try:
        yield partial
        if synced:
            with partial.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal.

    Raises:
        OSError: the file cannot be read, or is none but a pipe or a device.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
