"""Hugging Face and its cache on this machine; the only place of clippan that downloads anything.

All goes through huggingface_hub, so its environment variables count: HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    FileMetadataError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from clippan_cli.running.control import Control, Progress
from clippan_models.errors import ClippanError, OutputError, UsageError, WeightsError

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}
# The HTTP client is another one in each line of huggingface_hub. Its errors are what those of the hub are made of.
# ValueError is what they raise for an HF_ENDPOINT that is no address.
_TROUBLE: tuple[type[Exception], ...] = (OSError, ValueError)
_TROUBLE += cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__)


@dataclass(frozen=True)
class HubFile:
    """What Hugging Face states of a file.

    Attributes:
        repository: "owner/name".
        name: of the file.
        commit: the revision it was asked for, as a commit.
        sha256: of its bytes; None if Hugging Face does not say.
        size: in bytes; None if Hugging Face does not say.
    """

    repository: str
    name: str
    commit: str
    sha256: str | None
    size: int | None


def is_commit(revision: str) -> bool:
    """Whether a revision is a full commit, which never changes, and not a branch or a tag."""
    return _COMMIT.fullmatch(revision) is not None


def look_up(repository: str, names: Sequence[str], revision: str) -> HubFile:
    """Ask Hugging Face for the first of these files that is there at a revision.

    Raises:
        UsageError: there is no such revision.
        WeightsError: none of the files is there, or Hugging Face cannot be asked.
    """
    for name in names:
        with _hub_errors(repository, revision), suppress(EntryNotFoundError):
            found = get_hf_file_metadata(hf_hub_url(repository, name, revision=revision))
            if found.commit_hash is None or not is_commit(found.commit_hash):
                raise FileMetadataError("it does not answer as Hugging Face does")
            sha256 = found.etag if found.etag is not None and _SHA256.fullmatch(found.etag) else None
            return HubFile(repository, name, found.commit_hash, sha256, found.size)
    raise WeightsError(
        f"{repository} has no {' and no '.join(names)} at revision {revision}; clippan reads no other format"
    )


def cached(repository: str, names: Sequence[str], revision: str) -> Path | None:
    """The first of these files that is in the cache at a revision; a branch is where it was when last asked for."""
    for name in names:
        found = try_to_load_from_cache(repository, name, revision=revision)
        if isinstance(found, str):
            return Path(found)
    return None


def commit_of(path: Path) -> str:
    """The commit that a file in the cache belongs to."""
    return path.parent.name


def stated_sha256(path: Path) -> str | None:
    """What Hugging Face stated of a file in the cache; None if the cache does not tell.

    The cache keeps the bytes in a file that is called so, where the system has symbolic links.
    """
    name = Path(os.path.realpath(path)).name
    return name if _SHA256.fullmatch(name) else None


def download(file: HubFile, control: Control) -> Path:
    """Bring a file into the cache; its path there. Nothing is at that path until the file is complete.

    Raises:
        Interrupted: a signal has asked to stop.
        OutputError: the cache cannot be written.
        WeightsError: the download broke off.
    """
    _check_room(file)
    with _hub_errors(file.repository, file.commit, "the download broke off; run the command again"):
        path = hf_hub_download(file.repository, file.name, revision=file.commit, tqdm_class=_reporting_to(control))
    return Path(path)


def remove(path: Path) -> None:
    """Take a file out of the cache, with the bytes behind its link.

    Raises:
        OutputError: the cache cannot be written.
    """
    with _written_cache():
        for each in (Path(os.path.realpath(path)), path):
            each.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()  # unless it holds other files of that commit


def make_main(path: Path) -> str | None:
    """Have the cache take a file's commit for `main`, where open_clip and `--clip` look; the former commit, if another.

    Raises:
        OutputError: the cache cannot be written.
    """
    commit, reference = commit_of(path), path.parents[2] / "refs" / "main"
    former = reference.read_text().strip() if reference.is_file() else None
    if former == commit:
        return None
    with _written_cache():
        reference.parent.mkdir(exist_ok=True)
        beside = reference.with_name(f"main.{os.getpid()}.tmp")
        beside.write_text(commit)
        beside.replace(reference)
    return former


def _check_room(file: HubFile) -> None:
    folder = Path(constants.HF_HUB_CACHE)
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(there).free
    if file.size is not None and free < file.size:
        raise OutputError(
            f"{file.name} needs {file.size / 1e6:.0f} MB and {folder} has {free / 1e6:.0f} MB free; "
            "make room, or set HF_HOME to a folder on another disk"
        )


@contextmanager
def _hub_errors(repository: str, revision: str, otherwise: str | None = None) -> Iterator[None]:
    """Turn what huggingface_hub raises and logs into one line for the user."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise WeightsError(
            f"{repository} is not on this machine and HF_HUB_OFFLINE forbids to fetch it; unset it, or copy the folder "
            f"models--{repository.replace('/', '--')} from another machine into {constants.HF_HUB_CACHE}"
        ) from error
    except RevisionNotFoundError as error:
        raise UsageError(f"{repository} on {constants.ENDPOINT} has no revision {revision!r}") from error
    except RepositoryNotFoundError as error:
        raise WeightsError(
            f"{repository} is not on {constants.ENDPOINT}, or not for everyone; set HF_TOKEN if you may read it"
        ) from error
    except _TROUBLE as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            raise _unwritable(error) from error
        advice = otherwise or "check the connection and the proxy, or set HF_ENDPOINT to a mirror"
        raise WeightsError(
            f"cannot fetch {repository} from {constants.ENDPOINT}: {_reason(error)}; {advice}"
        ) from error
    finally:
        logger.setLevel(level)


def _reason(error: BaseException) -> str:
    if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        return _reason(error.__cause__)  # it only says that there is none in the cache either
    if isinstance(error, HfHubHTTPError):
        return f"it answers with HTTP status {error.response.status_code}"
    return str(error).partition("\n")[0].rstrip(".") or type(error).__name__


@contextmanager
def _written_cache() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritable(error) from error


def _unwritable(error: OSError) -> ClippanError:
    reason = error.strerror or str(error)
    return OutputError(f"cannot write {error.filename or constants.HF_HUB_CACHE}: {reason}; HF_HOME sets another place")


def _reporting_to(control: Control) -> type[Any]:
    """A class that huggingface_hub takes for a progress bar, and that passes on what it is told."""

    class Bar:
        def __init__(self, *_: object, total: float | None = None, initial: float = 0, **__: object) -> None:
            self.n, self.total, self.initial = initial, total, initial
            self.started = time.monotonic()

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            speed = (self.n - self.initial) / max(time.monotonic() - self.started, 1e-3)
            control.report(megabytes("fetch", self.n, self.total or self.n, f"MB, {speed / 1e6:.1f} MB/s"))

        def set_postfix_str(self, *_: object, **__: object) -> None:
            pass

        def refresh(self) -> None:
            pass

        def close(self) -> None:
            pass

    return Bar


def megabytes(stage: str, done: float, total: float, note: str = "MB") -> Progress:
    """Progress of bytes, in whole megabytes; all of them only when it is done."""
    return Progress(stage, int(done / 1e6) if done < total else -int(-total // 1e6), -int(-total // 1e6), note=note)
