"""Images to write, and how to write them, here or in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.crs import CRS

from clippan_cli.rasters.metadata import RasterMetadata
from clippan_cli.writing.grid import OutputGrid
from clippan_cli.writing.options import Driver, OutputOptions
from clippan_cli.writing.writer import SafeWriter
from clippan_models.contracts import Window

DRIVERS: tuple[Driver, ...] = ("gtiff", "cog")
OLD = b"the file that was here before"


def grid_of(width: int = 700, height: int = 600, count: int = 3, dtype: Any = "uint16", **changes: Any) -> OutputGrid:
    place: dict[str, Any] = {"crs": CRS.from_epsg(32631), "transform": Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000)}
    return OutputGrid(width, height, count, dtype, **(place | changes))


def pixels_of(grid: OutputGrid, seed: int = 0) -> NDArray[Any]:
    values = np.random.default_rng(seed).random((grid.count, grid.height, grid.width))
    top = 2 ** (grid.nbits or 8) - 2
    pixels: NDArray[Any] = (values * top + 1).astype(grid.dtype)
    return pixels


def half_valid(grid: OutputGrid) -> NDArray[np.bool_]:
    valid = np.ones((grid.height, grid.width), bool)
    valid[:, : grid.width // 2] = False
    return valid


def windows_of(grid: OutputGrid, side: int) -> Iterator[Window]:
    for row in range(0, grid.height, side):
        for col in range(0, grid.width, side):
            yield Window(row, col, min(side, grid.height - row), min(side, grid.width - col))


def fill(
    writer: SafeWriter, grid: OutputGrid, data: NDArray[Any], valid: NDArray[np.bool_] | None = None, side: int = 512
) -> None:
    for window in windows_of(grid, side):
        rows, cols = window.inside(grid.whole)
        writer.write(window, data[:, rows, cols], None if valid is None else valid[rows, cols])


def save(
    path: Path,
    grid: OutputGrid,
    options: OutputOptions,
    valid: NDArray[np.bool_] | None = None,
    metadata: RasterMetadata | None = None,
) -> tuple[NDArray[Any], int]:
    data = pixels_of(grid)
    with SafeWriter(path, grid, options, metadata) as writer:
        fill(writer, grid, data, valid)
        size = writer.commit()
    return data, size


def names_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


WRITE_AN_IMAGE = """
    import json, os, resource, signal, sys, time
    job = json.loads(sys.argv[1])
    sys.path[:] = job["path"]
    import numpy as np
    from pathlib import Path
    from clippan_cli.writing.options import OutputOptions
    from clippan_cli.writing.grid import OutputGrid
    from clippan_cli.writing.writer import SafeWriter
    from clippan_models.contracts import Window
    from clippan_models.errors import OutputError

    def pause(stage, share=0.0):
        if stage == job["pause"]:
            print("paused", flush=True)
            time.sleep(60)

    grid = OutputGrid(1024, 1024, 4, "uint16", mask=job["mask"])
    noise = np.random.default_rng(0).integers(0, 65536, (4, 256, 1024)).astype("uint16")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if job["limit"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["limit"], job["limit"]))
    options = OutputOptions(job["driver"], overwrite=True, threads=job["threads"])
    try:
        with SafeWriter(Path(job["target"]), grid, options) as writer:
            for row in range(0, 1024, 256):
                writer.write(Window(row, 0, 256, 1024), noise)
            pause("written")
            writer.commit(pause)
    except OutputError as error:
        print(error)
        sys.exit(error.exit_code)
"""


def start_process(target: Path, preexec_fn: Callable[[], None] | None = None, **changes: Any) -> subprocess.Popen[str]:
    job: dict[str, Any] = {"target": str(target), "driver": "cog", "threads": 1, "mask": False, "limit": 0, "pause": ""}
    arguments = json.dumps(job | changes | {"path": sys.path})
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(WRITE_AN_IMAGE), arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=preexec_fn,
    )
