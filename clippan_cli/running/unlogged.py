"""Keep from stderr that rasterio cannot log what GDAL says."""

from __future__ import annotations

import sys
from functools import cache
from types import TracebackType

_LOG = "rasterio._env.log_error"


@cache  # once in a process
def ignore_what_cannot_be_logged() -> None:
    """Let Python print no traceback where GDAL quotes bytes of a file that are not UTF-8, as in metadata in GBK.

    rasterio takes the words of GDAL for UTF-8, in a function that cannot raise; its first line goes by the hook for
    uncaught errors, without a traceback. Where such words matter, GDAL also fails, and we say why.
    """
    uncaught, unraisable = sys.excepthook, sys.unraisablehook

    def show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if kind is not UnicodeDecodeError or traceback is not None:
            uncaught(kind, error, traceback)

    def show_unraisable(ignored: sys.UnraisableHookArgs) -> None:
        if ignored.object != _LOG:
            unraisable(ignored)

    sys.excepthook, sys.unraisablehook = show, show_unraisable
