"""Names of temporary files beside their targets, and which of them a killed process has left."""

from __future__ import annotations

import os
import platform
import re
import secrets
import zlib
from contextlib import suppress
from pathlib import Path


def new_token() -> str:
    """A mark for the temporary files of one writer: the system that it runs on, its process, and chance."""
    return f"{_system_mark()}-{os.getpid()}-{secrets.token_hex(4)}"


def part_path(target: Path, token: str) -> Path:
    """Where content goes before it is at the target."""
    return target.with_name(f".{_short_name(target)}.{token}.part")


def abandoned_part(target: Path, name: str) -> str | None:
    """The ending after `.part` of a temporary file for this target whose process has ended; None for all others.

    Only names that are ours to the last letter, only of processes of this system: of another one that shares the
    folder we cannot know whether they run.
    """
    if ".part" not in name:
        return None
    ours = rf"\.{re.escape(_short_name(target))}\.{_system_mark()}-([1-9][0-9]{{0,9}})-[0-9a-f]{{8}}\.part(.*)"
    match = re.fullmatch(ours, name, re.DOTALL)
    return match[2] if match and not _is_running(int(match[1])) else None


def _short_name(target: Path) -> str:
    """The name, cut so that GDAL's endings still fit into the 143 bytes of the strictest file systems."""
    return os.fsencode(target.name)[:80].decode(errors="ignore")


def _system_mark() -> str:
    """Tells apart systems, containers included, whose process numbers have nothing to do with each other."""
    namespace = ""
    with suppress(OSError):  # Linux only
        namespace = os.readlink("/proc/self/ns/pid")
    return f"{zlib.crc32(f'{platform.node()} {namespace}'.encode()):08x}"


def _is_running(process: int) -> bool:
    if os.name != "posix":  # elsewhere, asking by a signal ends the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it runs for another user; no such number can exist
        return True
    return True
