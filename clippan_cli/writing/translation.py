"""The copy of a GeoTIFF as a COG, made in a process of its own, and the metadata that GDAL would lose in it."""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import rasterio
import rasterio.shutil

from clippan_cli.rasters.gdal_errors import LIBTIFF_FAILURE, environment
from clippan_cli.rasters.metadata import DEFAULT_DOMAIN, RasterMetadata

_HIDDEN_BAND_DOMAIN = "clippan-default-band-domain"
_CHILD = (
    "import json, sys; job = json.load(sys.stdin); sys.path[:] = job.pop('path'); "
    "from clippan_cli.writing.translation import copy_to_cog; copy_to_cog(**job)"
)


def copy_in_child(source: Path, target: Path, options: Mapping[str, str], on_wait: Callable[[], None]) -> str | None:
    """Copy a GeoTIFF to a COG; the answer is what went wrong, or None. `on_wait` is called meanwhile; it may raise.

    A call into GDAL that lasts minutes cannot be interrupted and prints to our stderr; a process can be killed and
    has a stderr of its own. It gets our module path, and not its working folder in front of that (-P).
    """
    job = {"path": sys.path, "source": str(source), "target": str(target), "options": dict(options)}
    try:
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # this process handles Ctrl-C
        )
    except OSError as error:
        return f"cannot start a process for the translation to COG: {error.strerror}"
    with child:
        try:
            words = _wait_for(child, json.dumps(job | {"parent": os.getpid()}), on_wait)
        except BaseException:
            child.kill()
            raise
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    failures = [failure["reason"] for failure in map(LIBTIFF_FAILURE.match, lines) if failure]
    if child.returncode < 0:
        return f"the translation to COG was killed by signal {-child.returncode}"
    if child.returncode > 0 and not failures:
        return lines[-1] if lines else f"the translation to COG ended with exit code {child.returncode}"
    return failures[0] if failures else None


def hide_band_tags(metadata: RasterMetadata) -> RasterMetadata:
    """Move the default tags of the bands into a domain with a name of its own.

    When GDAL is told to copy all domains into a COG, it skips just the default domain of the bands (seen with 3.10),
    and setting tags afterwards would break the layout of the COG. `reveal_band_tags` moves them back.
    """
    hidden = tuple(
        {_HIDDEN_BAND_DOMAIN if domain == DEFAULT_DOMAIN else domain: found for domain, found in tags.items()}
        for tags in metadata.band_tags
    )
    return replace(metadata, band_tags=hidden)


def reveal_band_tags(path: Path, count: int) -> None:
    """Blank the name of the hidden domain in the XML of the file; a tag without domain is in the default one.

    The blanks keep every byte of the file at its place.
    """
    name = f' domain="{_HIDDEN_BAND_DOMAIN}"'.encode()
    if count == 0:
        return
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        position = content.find(name)
        # The metadata lies ahead of the pixels; stopping after the last tag spares searching through them.
        while count and position >= 0:
            content[position : position + len(name)] = b" " * len(name)
            count -= 1
            position = content.find(name, position) if count else -1


def copy_to_cog(source: str, target: str, options: Mapping[str, str], parent: int) -> None:
    """What the child does: one file to another by GDAL's COG driver, in bounded memory.

    Opening the COG driver for writing instead would hold the whole image in memory.
    """
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    big = options.get("BIGTIFF", "IF_SAFER")
    # Nothing needs a side file here, and the overviews are first built in a file that has to be BigTIFF in time, too.
    with environment(), rasterio.Env(GDAL_PAM_ENABLED=False, BIGTIFF_OVERVIEW=big):
        rasterio.shutil.copy(Path(source), Path(target), driver="COG", **options)


def _wait_for(child: subprocess.Popen[str], job: str, on_wait: Callable[[], None]) -> str:
    question: str | None = job
    while True:
        on_wait()
        try:
            return child.communicate(question, timeout=0.2)[1]
        except subprocess.TimeoutExpired:
            question = None


def _end_with(parent: int) -> None:
    """End this process when its parent is gone: nobody would remove what it goes on to write."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
