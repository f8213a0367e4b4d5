"""What the benchmarks share: a large synthetic pair, and the times and peak memory of whole processes."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine

CLIPPAN = (sys.executable, "-m", "clippan_cli")


@dataclass(frozen=True)
class Measured:
    """Wall seconds, peak memory in MB, and seconds of all CPUs of one process, its children included."""

    seconds: float
    peak_mb: float
    cpu_seconds: float


def measure(command: list[str], environment: dict[str, str] | None = None) -> Measured:
    """Run a command to its end.

    Raises:
        SystemExit: it failed.
    """
    started = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, **(environment or {})}
    ) as process:
        complaints = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {complaints.decode()}")
    return Measured(time.perf_counter() - started, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


def median(runs: list[Measured]) -> Measured:
    """The median of each figure."""
    figures = zip(*((r.seconds, r.peak_mb, r.cpu_seconds) for r in runs), strict=True)
    return Measured(*(statistics.median(figure) for figure in figures))


def write_pair(folder: Path, side: int, bands: int = 4, ratio: int = 4) -> tuple[Path, Path]:
    """A pair of `side` x `side` PAN pixels: smooth terrain, edges and noise, so that it compresses like an image."""
    ms, pan = folder / f"ms_{side}.tif", folder / f"pan_{side}.tif"
    fine = Affine.translation(500_000, 5_400_000) @ Affine.scale(0.5, -0.5)
    _write(pan, side, 1, fine, 0.25)
    _write(ms, side // ratio, bands, fine @ Affine.scale(ratio), 1.0)
    return ms, pan


def _write(path: Path, side: int, bands: int, transform: Affine, step: float) -> None:
    if path.exists():
        return
    rng = np.random.default_rng(side + bands)
    layout: dict[str, Any] = {"tiled": True, "blockxsize": 512, "blockysize": 512, "dtype": "uint16"}
    with rasterio.open(
        path, "w", driver="GTiff", width=side, height=side, count=bands, crs="EPSG:32633", transform=transform, **layout
    ) as dataset:
        x = np.arange(side) * step
        for top in range(0, side, 512):
            y = np.arange(top, min(top + 512, side))[:, None] * step
            field = 600 + 200 * np.sin(x / 97) * np.cos(y / 61) + 150 * (np.sin(x / 9) * np.sin(y / 7) > 0.3)
            for band in range(1, bands + 1):
                image = field * (0.7 + 0.1 * band) + rng.normal(0, 12, field.shape)
                window = rasterio.windows.Window(0, top, side, field.shape[0])
                dataset.write(np.clip(image, 1, 2047).astype(np.uint16), band, window=window)


def show(title: str, rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print rows as a Markdown table, or as JSON."""
    if as_json:
        print(json.dumps({"benchmark": title, "rows": rows}, indent=2))
        return
    print(f"{title}\n")
    print("| " + " | ".join(rows[0]) + " |")
    print("|---" * len(rows[0]) + "|")
    for row in rows:
        print("| " + " | ".join(f"{v:.2f}" if isinstance(v, float) else str(v) for v in row.values()) + " |")
