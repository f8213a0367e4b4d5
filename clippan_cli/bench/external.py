"""Programs of others that sharpen, behind one interface: MS and PAN in, an image on the grid of PAN out.

Options are those of the program, as its own manual spells them; clippan passes them on.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from typing import Any

import rasterio

from clippan_cli.rasters.grids import GRID_TOLERANCE, corners_apart
from clippan_cli.rasters.opening import open_dataset
from clippan_cli.rasters.options import Trust
from clippan_cli.running.control import Control
from clippan_models.errors import (
    ClippanError,
    InputError,
    OutputError,
    ResourceError,
    UsageError,
    printable,
    shown,
    unknown_name,
)

Options = Mapping[str, Any]

TIMEOUT = 3600.0
"""Seconds that a program may take."""

_OPTION = re.compile(r"[A-Za-z][\w.-]*")
_VERSION = re.compile(r"\d+(\.\d+)+\S*")
_ERROR = re.compile(r"\b(error|fatal)\b", re.IGNORECASE)
_LONGEST_LINE = 500
_OTB_TYPES = {"uint8": "uint8", "int16": "int16", "uint16": "uint16", "int32": "int32", "uint32": "uint32"}
_GRASS_TYPES = {"uint8": "Byte", "uint16": "UInt16", "int16": "Int16"}


@dataclass(frozen=True)
class Task:
    """What a program is to do.

    Attributes:
        ms: MS, all bands in one raster.
        pan: PAN.
        output: the GeoTIFF to write, in a folder of its own.
        options: of the program.
    """

    ms: Path
    pan: Path
    output: Path
    options: Options


@dataclass(frozen=True)
class ExternalProgram:
    """A program of others that sharpens.

    Attributes:
        name: in suites and tables.
        title: what it is.
        executables: names that it can have on the search path, the first that is there counts.
        arguments: of its command line, without the executable.
        asks_version: arguments for which it prints its version.
    """

    name: str
    title: str
    executables: tuple[str, ...]
    arguments: Callable[[Task], list[str]]
    asks_version: tuple[str, ...] = ("--version",)

    @property
    def executable(self) -> str | None:
        """Its path; None where it is not installed."""
        return next(filter(None, map(shutil.which, self.executables)), None)

    @property
    def absent(self) -> str | None:
        """Why it cannot run, in a line; None where it can."""
        names = " or ".join(self.executables)
        return None if self.executable else f"{self.title} is not installed: there is no {names} on the search path"

    def version(self) -> str:
        """The version that it states; empty where it states none.

        Raises:
            ResourceError: it is not installed.
        """
        try:
            asked = [self._found(), *self.asks_version]
            told = subprocess.run(asked, capture_output=True, text=True, errors="replace", timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        found = _VERSION.search(told.stdout + told.stderr)
        return found[0].rstrip(",.;") if found else ""

    def command(self, task: Task) -> list[str]:
        """Its command line.

        Raises:
            ResourceError: it is not installed.
            UsageError: it has no such option, or does not take such images.
        """
        for name in task.options:
            if not _OPTION.fullmatch(name):
                raise UsageError(f"{self.name} cannot have an option called {name!r}; leave out the dashes before it")
        return [self._found(), *self.arguments(task)]

    def _found(self) -> str:
        if self.executable is None:
            raise ResourceError(str(self.absent))
        return self.executable


def find_program(name: str) -> ExternalProgram:
    """The program of a name.

    Raises:
        UsageError: clippan knows none of that name; the message lists those it knows.
    """
    if name in PROGRAMS:
        return PROGRAMS[name]
    raise unknown_name("external program", name, list(PROGRAMS))


def run_external(
    name: str,
    ms: Path,
    pan: Path,
    output: Path,
    options: Options | None = None,
    *,
    timeout: float = TIMEOUT,
    control: Control | None = None,
) -> float:
    """Sharpen with a program of others; the seconds that it took, wall time of the whole process.

    Args:
        name: of the program.
        ms: MS, all bands in one raster.
        pan: PAN.
        output: the GeoTIFF to write; an existing one is replaced once the new one is checked.
        options: of the program, by their names without dashes; a list gives an option several times, True is a flag.
        timeout: seconds until it is stopped.
        control: the request to stop.

    Raises:
        ClippanError: it failed; the message ends with the last line that it wrote of an error, or at all.
        Interrupted: a signal asked to stop; the program was stopped, too.
        InputError: what it made is not an image on the grid of PAN with the bands of MS.
        OutputError: the output cannot be written.
        ResourceError: it is not installed, or it took too long.
        UsageError: clippan knows no such program, or the program no such option.
    """
    program = find_program(name)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as folder:
            task = Task(ms.resolve(), pan.resolve(), Path(folder) / "sharp.tif", options or {})
            command = program.command(task)
            seconds = _run(name, command, Path(folder), timeout, control or Control())
            _check(name, task)
            os.replace(task.output, output)
    except OSError as error:
        raise OutputError(f"cannot write {shown(output)}: {error.strerror or error}") from error
    return seconds


def _run(name: str, command: Sequence[str], folder: Path, timeout: float, control: Control) -> float:
    """Run a program to its end; the seconds that it took."""
    with (folder / "messages").open("w+b") as messages:
        started = time.perf_counter()
        try:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages, start_new_session=True
            )
        except OSError as error:
            raise ResourceError(f"{name} cannot be started: {error.strerror}: {command[0]}") from error
        try:
            while child.poll() is None:
                control.check()
                if time.perf_counter() - started > timeout:
                    raise ResourceError(f"{name} was stopped after {timeout:g} s without a result")
                with suppress(subprocess.TimeoutExpired):
                    child.wait(0.05)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, SIGKILL)  # what it may have started, too
            child.wait()
        seconds = time.perf_counter() - started
        if child.returncode:
            messages.seek(0)
            raise ClippanError(f"{name} failed{_end(child.returncode)}: {_last_words(messages.read())}")
    return seconds


def _end(code: int) -> str:
    return f" by signal {-code}" if code < 0 else f" with exit code {code}"


def _last_words(messages: bytes) -> str:
    lines = [" ".join(line.split()) for line in messages.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.search(line)]  # some tell of their tidying up last
    told = (errors or lines or ["it does not say why"])[-1]
    return printable(told)[:_LONGEST_LINE]


def _check(name: str, task: Task) -> None:
    """Refuse what is not an image on the grid of PAN with the bands of MS."""
    if not task.output.is_file():
        raise InputError(f"{name} ended without an error, but wrote no image")
    with _opened(task.ms) as ms, _opened(task.pan) as pan, _opened(task.output) as made:
        if made.count != ms.count:
            raise InputError(f"{name} made {made.count} bands of an MS of {ms.count}")
        if made.shape != pan.shape:
            sizes = ["{} x {}".format(*dataset.shape) for dataset in (made, pan)]
            raise InputError(f"{name} made an image of {sizes[0]} pixels of a PAN of {sizes[1]}")
        apart = corners_apart(~pan.transform @ made.transform, rasterio.Affine.identity(), made.width, made.height)
        if apart > GRID_TOLERANCE:
            raise InputError(f"{name} made an image whose corners are {apart:.2f} PAN pixels from those of PAN")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with rasterio.Env(), open_dataset(str(path), Trust()) as dataset:
        yield dataset


def _given(options: Options, dash: str) -> list[str]:
    """Options as arguments: `{"r": "cubic", "w": [1, 2], "q": True} -> ["-r", "cubic", "-w", "1", "-w", "2", "-q"]`."""
    return [
        part for name, value in _each(options) for part in ([dash + name] if value is True else [dash + name, value])
    ]


def _each(options: Options) -> Iterator[tuple[str, Any]]:
    for name, given in options.items():
        for value in given if isinstance(given, list | tuple) else [given]:
            if value is not False:
                yield name, True if value is True else str(value)


def _gdal_pansharpen(task: Task) -> list[str]:
    return ["-q", "-of", "GTiff", *_given(task.options, "-"), str(task.pan), str(task.ms), str(task.output)]


def _gdal_raster_pansharpen(task: Task) -> list[str]:
    files = [str(task.pan), str(task.ms), str(task.output)]
    return ["raster", "pansharpen", "-q", "--of", "GTiff", *_given(task.options, "--"), *files]


def _orthority(task: Task) -> list[str]:
    options = {"compress": "deflate", "no-write-mask": True} | dict(task.options)  # its default for 8 bits is JPEG
    files = ["--pan", str(task.pan), "--multispectral", str(task.ms), "--out-file", str(task.output)]
    return ["sharpen", *files, *_given(options, "--")]


def _orfeo(task: Task) -> list[str]:
    with _opened(task.ms) as ms:
        pixel = _OTB_TYPES.get(ms.dtypes[0], "float")
    files = ["-inp", str(task.pan), "-inxs", str(task.ms), "-out", str(task.output), pixel]
    return [*files, *_given(task.options, "-")]


def _grass(task: Task) -> list[str]:
    """A session in a project for this run only. GRASS sharpens three bands, in 8 bits, which are stretched back."""
    with _opened(task.ms) as ms, _opened(task.pan) as pan:
        if ms.count != 3:
            raise UsageError(f"i.pansharpen of GRASS sharpens three bands, and MS has {ms.count}")
        largest = max(float(dataset.read().max()) for dataset in (ms, pan))
        kind = _GRASS_TYPES.get(ms.dtypes[0], "Float32")
    options = {"bitdepth": max(8, int(largest).bit_length())} | dict(task.options)
    stretch = (2 ** int(options["bitdepth"]) - 1) / 255
    named = ["=".join(map(str, option)) for option in _each(options) if option[1] is not True]
    colours = ("red", "green", "blue")
    lines = [
        ["r.in.gdal", f"input={task.ms}", "output=ms"],
        ["r.in.gdal", f"input={task.pan}", "output=pan"],
        ["g.region", "raster=pan"],
        ["i.pansharpen", *(f"{c}=ms.{i}" for i, c in enumerate(colours, 1)), "pan=pan", "output=made", *named],
        *(["r.mapcalc", f"expression=sharp.{i} = made_{c} * {stretch!r}"] for i, c in enumerate(colours, 1)),
        ["i.group", "group=sharp", "input=sharp.1,sharp.2,sharp.3"],
        ["r.out.gdal", "-f", "-c", "input=sharp", f"output={task.output}", "format=GTiff", f"type={kind}"],
    ]
    script = task.output.with_name("session.sh")
    script.write_text("set -e\n" + "\n".join(map(shlex.join, lines)) + "\n")
    return ["--tmp-location", str(task.pan), "--exec", "sh", str(script)]


_ALL = (
    ExternalProgram(
        "gdal_pansharpen", "GDAL's weighted Brovey", ("gdal_pansharpen.py", "gdal_pansharpen"), _gdal_pansharpen
    ),
    ExternalProgram(
        "gdal-raster-pansharpen", "GDAL's weighted Brovey, from 3.12 on", ("gdal",), _gdal_raster_pansharpen
    ),
    ExternalProgram("orfeo", "Orfeo ToolBox", ("otbcli_BundleToPerfectSensor",), _orfeo, asks_version=("-help",)),
    ExternalProgram("grass", "GRASS", ("grass", "grass84", "grass83", "grass82"), _grass),
    ExternalProgram("orthority", "orthority's Gram-Schmidt", ("oty",), _orthority),
)

PROGRAMS: dict[str, ExternalProgram] = {program.name: program for program in _ALL}
