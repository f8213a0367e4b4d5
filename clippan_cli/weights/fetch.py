"""Brings the weights of a CLIP into the Hugging Face cache, where `--clip` finds them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from clippan_cli.running.control import Control
from clippan_cli.weights import hub
from clippan_models.errors import UsageError, WeightsError
from clippan_models.guidance.encoder import AUTO_PRETRAINED, pretrained_location
from clippan_models.guidance.pinned import PINNED

DEFAULT_MODEL = ":".join(AUTO_PRETRAINED)

_CHUNK_BYTES = 1 << 24

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
        if self.sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", self.sha256):
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
    path: str
    downloaded: bool
    notes: tuple[str, ...]

    @property
    def witness(self) -> str:
        """Who says that the SHA-256 should be so, in words."""
        return _WITNESSES[self.sha256_from]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def fetch_clip(options: FetchOptions, control: Control | None = None) -> Fetched:
    """Bring the weights of a CLIP into the cache, unless they are there, and verify them.

    Raises:
        Interrupted: a signal has asked to stop; of what was being fetched, nothing is left.
        OutputError: the cache cannot be written.
        UsageError: a model or a revision that does not exist.
        WeightsError: weights that cannot be had, or that are not what they should be; those are removed.
    """
    control = control or Control()
    repository, names = pretrained_location(*options.model.split(":", 1))
    fetch = _Fetch(options, repository, names, control)
    return fetch.from_cache() or fetch.from_hub()


class _Fetch:
    """What is known of the wanted file; it grows along the way."""

    def __init__(self, options: FetchOptions, repository: str, names: tuple[str, ...], control: Control) -> None:
        self.options, self.repository, self.names, self.control = options, repository, names, control
        pin = PINNED.get(repository)
        known = pin is not None and options.revision in (None, pin.revision)
        self.revision = pin.revision if pin is not None and known else options.revision
        self.sha256: str | None = None
        self.witness: Witness = "hub"
        if options.sha256 is not None:
            self.sha256, self.witness = options.sha256.lower(), "user"
        elif pin is not None and known:
            self.sha256, self.witness = pin.sha256, "clippan"
        self.notes: list[str] = []

    def from_cache(self) -> Fetched | None:
        """The file in the cache if it is as it should be; one that is damaged is removed."""
        if self.revision is not None and not hub.is_commit(self.revision):
            self.revision = hub.look_up(self.repository, self.names, self.revision).commit
        path = hub.cached(self.repository, self.names, self.revision or "main")
        if path is None:
            return None
        stated = hub.stated_sha256(path)
        expected = self.sha256 or stated
        found = _sha256(path, self.control)
        if found == expected:
            return self._done(path, found, downloaded=False)
        if self.witness == "user" and found == stated:  # intact; the mistake may be in what was typed
            raise WeightsError(f"{path} is intact, but its SHA-256 is {found} and not the given {expected}")
        if expected is not None:
            hub.remove(path)
            self._note(f"{path} was damaged and has been removed; it is fetched again")
        return None

    def from_hub(self) -> Fetched:
        """The file from Hugging Face, verified before anything finds it in the cache."""
        file = hub.look_up(self.repository, self.names, self.revision or "main")
        expected = self.sha256 or file.sha256
        if expected is None:
            raise WeightsError(f"Hugging Face states no SHA-256 of {file.name} in {file.repository}; give --sha256")
        if file.sha256 not in (None, expected):
            raise WeightsError(
                f"{file.name} in {file.repository} has the SHA-256 {file.sha256}, not {expected} "
                f"{_WITNESSES[self.witness]}; nothing was fetched"
            )
        path = hub.download(file, self.control)
        found = _sha256(path, self.control)
        if found != expected:
            hub.remove(path)
            raise WeightsError(
                f"{file.name} from {file.repository} came with the SHA-256 {found}, not {expected} "
                f"{_WITNESSES[self.witness]}; it was removed from the cache"
            )
        return self._done(path, found, downloaded=True)

    def _done(self, path: Path, sha256: str, *, downloaded: bool) -> Fetched:
        if (former := hub.make_main(path)) is not None:
            self._note(f"the cache took commit {former} of {self.repository} for main, and now this one")
        return Fetched(
            model=self.options.model,
            repository=self.repository,
            file=path.name,
            revision=hub.commit_of(path),
            sha256=sha256,
            sha256_from=self.witness,
            size=path.stat().st_size,
            path=str(path),
            downloaded=downloaded,
            notes=tuple(self.notes),
        )

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.control.on_note(text)


def _sha256(path: Path, control: Control) -> str:
    digest, done, size = hashlib.sha256(), 0, path.stat().st_size
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                done += len(chunk)
                control.report(hub.megabytes("verify", done, size))
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error
    return digest.hexdigest()
