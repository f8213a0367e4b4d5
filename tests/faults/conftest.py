"""An unreliable system: the n-th call of a kind fails, or no file may grow beyond a number of bytes."""

from __future__ import annotations

import errno
import io
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import rasterio.io
from rasterio.errors import RasterioIOError

from tests.cli.conftest import desk, run_main

__all__ = ["desk", "run_main"]


@dataclass
class Faults:
    """Counts calls, and lets one of them fail.

    Attributes:
        monkeypatch: takes the faults back.
        kind: of call that fails: a function of `os`, "open" of a file in Python, or "read" of a raster.
        nth: call that fails, from 1.
        count: calls so far.
    """

    monkeypatch: pytest.MonkeyPatch
    kind: str = ""
    nth: int = 0
    count: int = 0

    @property
    def happened(self) -> bool:
        """The call that fails was made."""
        return self.count >= self.nth

    @contextmanager
    def at(self, kind: str, nth: int) -> Iterator[None]:
        """Let the n-th call of a kind fail within the block."""
        self.kind, self.nth, self.count = kind, nth, 0
        with self.monkeypatch.context() as patch:
            if kind == "read":
                reader = rasterio.io.DatasetReader
                patch.setattr(reader, "read", self._failing(reader.read, RasterioIOError("Read failed")))
            else:
                module, fault = io if kind == "open" else os, OSError(errno.EIO, os.strerror(errno.EIO))
                patch.setattr(module, kind, self._failing(getattr(module, kind), fault))
            yield

    def _failing(self, call: Callable[..., Any], fault: Exception) -> Callable[..., Any]:
        def unreliable(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self.nth:
                raise fault
            return call(*arguments, **options)

        return unreliable


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    """Faults that can be asked for."""
    return Faults(monkeypatch)


@contextmanager
def files_of_at_most(count: int) -> Iterator[None]:
    """Let the system refuse every byte of a file beyond so many, as a full disk does; GDAL's writes included."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
