"""Brings the weights of a CLIP into the Hugging Face cache, where `--clip` finds them, and verifies them.

The only place of clippan that downloads anything. All of it goes through huggingface_hub, so its environment variables
count: HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN. A file is downloaded by its commit, which leaves alone what the
cache has recorded of branches.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from huggingface_hub import HfFileMetadata, constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import (
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import tqdm

from clippan_cli.running.control import Control, Progress
from clippan_models.errors import OutputError, UsageError, WeightsError, in_one_line
from clippan_models.guidance.encoder import cached_weights, pretrained_location
from clippan_models.guidance.options import AUTO_PRETRAINED
from clippan_models.guidance.pinned import PINNED
from clippan_models.store.files import sha256_of
from clippan_models.store.hub_cache import cached_file

DEFAULT_MODEL = ":".join(AUTO_PRETRAINED)

_COMMIT, _SHA256 = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{64}")
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}
# Versions of huggingface_hub have different HTTP clients; the errors of each are bases of the hub's own. ValueError is
# raised for an HF_ENDPOINT that is not an address.
_TROUBLE = cast("tuple[type[Exception], ...]", (OSError, ValueError, *HfHubHTTPError.__bases__))

Witness = Literal["clippan", "user", "hub"]
_WITNESSES: dict[Witness, str] = {
    "clippan": "as clippan knows it",
    "user": "as given",
    "hub": "as Hugging Face states it",
}


@dataclass(frozen=True)
class FetchOptions:
    """Which weights.

    Attributes:
        model: "MODEL:PRETRAINED", as open_clip names them.
        revision: commit, branch or tag; None: the one clippan knows, else what the cache has, else `main`.
        sha256: that the file must have; None: the one clippan knows, else what Hugging Face states.
    """

    model: str = DEFAULT_MODEL
    revision: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        name, _, pretrained = self.model.partition(":")
        if not name or not pretrained:
            raise UsageError(f"{self.model!r} is not MODEL:PRETRAINED, such as {DEFAULT_MODEL}")
        if self.revision is not None and not self.revision.strip():
            raise UsageError("the revision is empty; give a commit, a branch or a tag")
        if self.sha256 is not None and not _SHA256.fullmatch(self.sha256.lower()):
            raise UsageError(f"{self.sha256!r} is not a SHA-256, which has 64 hexadecimal digits")


@dataclass(frozen=True)
class Fetched:
    """Weights that are in the cache and have been verified.

    Attributes:
        model: "MODEL:PRETRAINED".
        repository: on Hugging Face.
        file: its name there.
        revision: the commit.
        sha256: of the file's bytes.
        sha256_from: who says that it should be so.
        size: in bytes.
        path: in the cache.
        downloaded: False if it was there already.
        notes: what was decided.
    """

    model: str
    repository: str
    file: str
    revision: str
    sha256: str
    sha256_from: Witness
    size: int
    path: Path
    downloaded: bool
    notes: tuple[str, ...]

    @property
    def witness(self) -> str:
        """Who says that the SHA-256 should be so, in words."""
        return _WITNESSES[self.sha256_from]


@dataclass(frozen=True)
class _Wanted:
    """A file called by one of `names`, and the SHA-256 that it must have; None: the one that Hugging Face states."""

    repository: str
    names: tuple[str, ...]
    revision: str | None
    sha256: str | None = None
    sha256_from: Witness = "hub"


def fetch_clip(options: FetchOptions, control: Control | None = None) -> Fetched:
    """Bring the weights of a CLIP into the cache, unless they are there, and verify them.

    Raises:
        Interrupted: a signal has asked to stop; nothing is left of what was being fetched.
        OutputError: the cache cannot be written.
        UsageError: a model or a revision that does not exist.
        WeightsError: weights that cannot be fetched, or that are not what they should be; those are removed.
    """
    control, notes = control or Control(), list[str]()

    def note(text: str) -> None:
        notes.append(text)
        control.on_note(text)

    model, pretrained = options.model.split(":", 1)
    wanted = _wanted(options, *pretrained_location(model, pretrained))
    with _errors_in_one_line(wanted):
        if wanted.revision is None:
            path = cached_weights(model, pretrained)
        else:
            path = cached_file(wanted.repository, wanted.names, [_commit(wanted)])
        found = None if path is None else _verify_cached(path, wanted, note)
        path, sha256 = found or _download(wanted, control)
    taken = cached_weights(model, pretrained)
    if taken != path:
        note(f"--clip {options.model} takes {taken}, which is in the cache too and is preferred")
    return Fetched(
        model=options.model,
        repository=wanted.repository,
        file=path.name,
        revision=path.parent.name,
        sha256=sha256,
        sha256_from=wanted.sha256_from,
        size=path.stat().st_size,
        path=path,
        downloaded=found is None,
        notes=tuple(notes),
    )


def _wanted(options: FetchOptions, repository: str, names: tuple[str, ...]) -> _Wanted:
    wanted, pin = _Wanted(repository, names, options.revision), PINNED.get(repository)
    if pin is not None and options.revision in (None, pin.revision):
        wanted = _Wanted(repository, names, pin.revision, pin.sha256, "clippan")
    return replace(wanted, sha256=options.sha256.lower(), sha256_from="user") if options.sha256 else wanted


def _commit(wanted: _Wanted) -> str:
    """The commit of a revision; where a branch is now, only Hugging Face knows."""
    revision = wanted.revision or "main"
    return revision if _COMMIT.fullmatch(revision) else str(_look_up(wanted)[1].commit_hash)


def _verify_cached(path: Path, wanted: _Wanted, note: Callable[[str], None]) -> tuple[Path, str] | None:
    """A file of the cache with its SHA-256 if it is as it should be; a damaged one is removed."""
    found, stated = sha256_of(path), _stated_in_cache(path)
    expected = wanted.sha256 or stated
    if found == expected:
        return path, found
    if wanted.sha256_from == "user" and found == stated:  # the mistake may be in what was typed
        raise WeightsError(f"{path} is intact, but its SHA-256 is {found} and not the given {expected}")
    if expected is not None:
        _remove(path)
        note(f"{path} was damaged and has been removed; it is fetched again")
    return None


def _download(wanted: _Wanted, control: Control) -> tuple[Path, str]:
    """The file from Hugging Face with its SHA-256, verified."""
    name, stated = _look_up(wanted)
    stated_sha256 = stated.etag if stated.etag and _SHA256.fullmatch(stated.etag) else None
    expected = wanted.sha256 or stated_sha256
    what, says = f"{name} in {wanted.repository}", _WITNESSES[wanted.sha256_from]
    if expected is None:
        raise WeightsError(f"Hugging Face states no SHA-256 of {what}; give --sha256")
    if stated_sha256 not in (None, expected):
        raise WeightsError(f"{what} has the SHA-256 {stated_sha256}, not {expected} {says}; nothing was fetched")
    bar = _reporting_to(control)
    path = Path(hf_hub_download(wanted.repository, name, revision=stated.commit_hash, tqdm_class=bar))
    found = sha256_of(path)
    if found != expected:
        _remove(path)
        raise WeightsError(f"{what} was downloaded with the SHA-256 {found}, not {expected} {says}; it was removed")
    return path, found


def _look_up(wanted: _Wanted) -> tuple[str, HfFileMetadata]:
    """The first of the names that the repository has, and what Hugging Face states of that file."""
    revision = wanted.revision or "main"
    for name in wanted.names:
        with suppress(RemoteEntryNotFoundError):
            found = get_hf_file_metadata(hf_hub_url(wanted.repository, name, revision=revision))
            if found.commit_hash is None:
                raise ValueError("it does not answer like Hugging Face")
            return name, found
    names = " and no ".join(wanted.names)
    raise WeightsError(f"{wanted.repository} has no {names} at revision {revision}; clippan reads no other format")


def _stated_in_cache(path: Path) -> str | None:
    """What Hugging Face stated of a file in the cache, which is a link to a file of that name; None without links."""
    name = Path(os.readlink(path)).name if path.is_symlink() else ""
    return name if _SHA256.fullmatch(name) else None


def _remove(path: Path) -> None:
    """Take a file out of the cache, with the bytes behind its link."""
    if path.is_symlink():
        (path.parent / os.readlink(path)).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


@contextmanager
def _errors_in_one_line(wanted: _Wanted) -> Iterator[None]:
    """Turn what huggingface_hub raises, logs and warns of into one line for the user."""
    repository, logger = wanted.repository, logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Not enough free disk space")
            yield
    except UserWarning as error:
        raise OutputError(
            f"{in_one_line(error)} Free some space, or set HF_HOME to a folder on another disk"
        ) from error
    except OfflineModeIsEnabled as error:
        raise WeightsError(
            f"{repository} is not on this machine and HF_HUB_OFFLINE does not allow a download; unset it, or copy the "
            f"folder models--{repository.replace('/', '--')} from another machine into {constants.HF_HUB_CACHE}"
        ) from error
    except RevisionNotFoundError as error:
        raise UsageError(f"{repository} on {constants.ENDPOINT} has no revision {wanted.revision!r}") from error
    except _TROUBLE as error:
        reason = in_one_line(error)
        if isinstance(error, OSError) and error.errno in _DISK:
            raise OutputError(f"cannot write the cache: {reason}; HF_HOME sets another folder") from error
        if isinstance(error, HfHubHTTPError):
            reason = f"it answers with HTTP status {error.response.status_code}"
        raise WeightsError(
            f"cannot fetch {repository} from {constants.ENDPOINT}: {reason.rstrip('.')}; check the connection and the "
            "proxy (HF_TOKEN for a private repository, HF_ENDPOINT for a mirror) and run the command again"
        ) from error
    finally:
        logger.setLevel(level)


def _reporting_to(control: Control) -> type[tqdm]:
    """A progress bar for huggingface_hub that draws nothing itself, and that a signal stops."""

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs | {"disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            done, total = (math.ceil(size / 1e6) for size in (self.n, self.total or self.n))
            control.report(Progress("fetch", done, total, unit="MB"))

    return Bar
