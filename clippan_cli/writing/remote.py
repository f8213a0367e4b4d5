"""Outputs on object stores: each is written in a working folder, verified there, and uploaded as a whole.

An object appears under its key once the store has all of it. An upload that fails or is stopped is aborted: the store
keeps the object that was there, and none of the parts.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from clippan_cli.rasters.names import address_of, s3_endpoint
from clippan_cli.running.control import Control, Progress
from clippan_cli.running.extras import needed_by
from clippan_models.errors import ClippanError, OutputError, in_one_line

_PIECE = 2**20  # bytes between looks at the request to stop
_SMALLEST_PART, _MOST_PARTS = 8 * 2**20, 9_000  # S3 takes 10,000
_PARTS_AT_ONCE = 4
_PATIENCE = {"max_retries": 4, "retry_timeout": timedelta(minutes=2), "init_backoff": timedelta(milliseconds=200)}
_TIMEOUTS = {"connect_timeout": "20s", "timeout": "2min"}  # of a part
_TEXTS = (".html", ".json", ".csv")
_REFUSED = re.compile(r"<Code>(?P<code>[^<]*)</Code>\s*<Message>(?P<message>[^<]*)</Message>")
_STATUS = re.compile(r"status code: (\d{3} [A-Z][A-Za-z ]*)")


def output_name(path: Path) -> Path | str:
    """An output as it is shown: the address of an object, or the path of a file."""
    return address_of(path) or path


@dataclass(frozen=True)
class Target:
    """An object to write.

    Attributes:
        address: scheme://bucket/key.
        copy: the local file that becomes it.
    """

    address: str
    copy: Path

    @property
    def _bucket_and_key(self) -> tuple[str, str]:
        scheme, _, rest = self.address.partition("://")
        bucket, _, key = rest.partition("/")
        return f"{scheme}://{bucket}", key

    def check(self, overwrite: bool) -> None:
        """Refuse, before any work, an object that cannot or must not be written.

        Raises:
            OutputError: it exists and `overwrite` is not set, or the store does not take it.
        """
        _, key = self._bucket_and_key
        if not key:
            raise OutputError(f"{self.address} is a bucket; add a key, such as {self.address.rstrip('/')}/hrms.tif")
        if not overwrite and self._exists():
            raise OutputError(f"{self.address} exists; add --overwrite to replace it")
        with suppress(_OnlyTried):
            self._put(_only_tried(), _SMALLEST_PART)

    def upload(self, overwrite: bool, on_sent: Callable[[int], None]) -> None:
        """Upload the local file.

        Args:
            overwrite: whether an existing object may be replaced.
            on_sent: is called with the number of bytes that were read; may raise to abort.

        Raises:
            OutputError: the object has appeared meanwhile, or the store does not take it.
        """
        if not overwrite and self._exists():
            raise OutputError(f"{self.address} appeared meanwhile; add --overwrite to replace it")
        self._put(_pieces(self.copy, on_sent), max(_SMALLEST_PART, -(-self.copy.stat().st_size // _MOST_PARTS)))

    def _exists(self) -> bool:
        import obstore

        try:
            with _told(self.address):
                obstore.head(self._store(), self._bucket_and_key[1])
        except _Absent:
            return False
        return True

    def _put(self, pieces: Iterator[bytes], part: int) -> None:
        import obstore

        try:
            with _told(self.address):
                obstore.put(
                    self._store(),
                    self._bucket_and_key[1],
                    pieces,
                    use_multipart=True,
                    chunk_size=part,
                    max_concurrency=_PARTS_AT_ONCE,
                )
        except _Absent as error:
            raise OutputError(f"{self.address} cannot be written: {error}") from error

    def _store(self) -> Any:
        from obstore.store import from_url

        bucket, _ = self._bucket_and_key
        endpoint = s3_endpoint() if bucket.startswith("s3:") else ""
        where = {"endpoint": endpoint} if endpoint else {}
        client = {**_TIMEOUTS, "allow_http": endpoint.startswith("http://")}
        return from_url(bucket, client_options=client, retry_config=_PATIENCE, **where)  # type: ignore[call-overload]


@dataclass
class Outgoing:
    """The outputs of a run that belong on object stores; their copies go when the context ends.

    Attributes:
        overwrite: whether existing objects may be replaced.
        inputs: the names of what the run reads, which is never replaced.
        targets: all so far, in the order in which they are uploaded.
    """

    overwrite: bool
    inputs: Sequence[str]
    targets: list[Target] = field(default_factory=list)
    _by_prefix: dict[str, Path] = field(default_factory=dict)
    _folders: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        """Nothing is made before it is needed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the copies."""
        self._folders.close()

    @property
    def names(self) -> dict[str, str]:
        """The address of each copy."""
        return {str(target.copy): target.address for target in self.targets}

    def local(self, path: Path) -> Path:
        """Where to write an output on this machine; objects are checked now.

        Raises:
            OutputError: an object cannot or must not be written.
            UsageError: the packages for it are not installed.
        """
        address = address_of(path)
        if address is None:
            return path
        with needed_by(address, "cloud"):
            import obstore  # noqa: F401
        if address in map(address_of, (*self.inputs, *(target.address for target in self.targets))):
            raise OutputError(f"{address} is an input or another output of this run; choose another key")
        target = Target(address, self._folder_of(address.rpartition("/")[0]) / path.name)
        target.check(self.overwrite)
        self.targets.append(target)
        return target.copy

    def upload(self, control: Control) -> None:
        """Upload all that was written.

        Raises:
            OutputError: an object has appeared meanwhile, or a store does not take it; the copies are kept then, as the
                work would be lost with them.
            Interrupted: a signal has asked to stop.
        """
        if not self.targets:
            return
        self._call_by_addresses()
        try:
            self._upload(control)
        except OutputError as error:
            self._folders.pop_all()
            kept = ", ".join(map(str, self._by_prefix.values()))
            raise OutputError(f"{error}; the finished files are kept in {kept}") from error

    def _upload(self, control: Control) -> None:
        total, sent = sum(target.copy.stat().st_size for target in self.targets), 0

        def on_sent(count: int) -> None:
            nonlocal sent
            sent += count
            control.report(Progress("upload", round(100 * sent / total), 100, unit="%"))

        with control.timed("upload"):
            for target in self.targets:
                target.upload(self.overwrite, on_sent)

    def _folder_of(self, prefix: str) -> Path:
        """A working folder for the objects under a prefix, so that those that lie together do so here."""
        if prefix not in self._by_prefix:
            try:
                folder = tempfile.mkdtemp(prefix="clippan-", dir=os.environ.get("CPL_TMPDIR"))
            except OSError as error:
                raise OutputError(f"no folder for what is to be uploaded can be made: {error}; set TMPDIR") from error
            self._folders.callback(shutil.rmtree, folder, ignore_errors=True)
            self._by_prefix[prefix] = Path(folder)
        return self._by_prefix[prefix]

    def _call_by_addresses(self) -> None:
        """Have reports name the objects, and not the working folder that will be gone."""
        for text in (target.copy for target in self.targets if target.copy.suffix in _TEXTS):
            words = text.read_bytes()
            for prefix, folder in self._by_prefix.items():
                words = words.replace(os.fsencode(folder), prefix.encode())
            text.write_bytes(words)


class _Absent(Exception):
    """There is no such object, or no such bucket."""


class _OnlyTried(Exception):
    """Ends an upload that has only been begun to see whether the store takes it."""


def _only_tried() -> Iterator[bytes]:
    raise _OnlyTried
    yield b""


def _pieces(path: Path, on_sent: Callable[[int], None]) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
            on_sent(len(piece))


@contextmanager
def _told(address: str) -> Iterator[None]:
    """Tell in one line what a store has against an object."""
    try:
        yield
    except (ClippanError, _OnlyTried):
        raise
    except FileNotFoundError as error:
        raise _Absent(_reason(error)) from None
    except Exception as error:  # obstore's own classes, and those of Python
        raise OutputError(f"{address} cannot be written: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """Why a store has refused, without what it quotes of the request, as that may hold the name of a key."""
    text = str(error)
    if found := _REFUSED.search(text):
        return f"{found['message'].rstrip('.')} ({found['code']})"
    if status := _STATUS.search(text):
        return f"{status[1].strip()}; are the bucket, the region and the credentials right?"
    if "error sending request" in text:
        return "the server does not answer; are the network and the address of the server right?"
    return in_one_line(Exception(text.partition("Debug source:")[0]))
