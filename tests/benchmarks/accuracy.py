"""Accuracy against truth: each triplet (triplets.py) is an ordinary scene whose truth only scores.

Each run is a method with options of `clippan sharpen`. Scores leave out 16 PAN pixels at the border. With --align, each
image is first moved to where the truth lies, as `clippan assess --align` does. Prints a Markdown table of means over
the seeds, and JSON with --json.

Usage: python tests/benchmarks/accuracy.py FOLDER --run "exp" --run "gsa" --run "clippan --clip none" --seeds 0,1,2
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from measure import CLIPPAN
from triplets import PEAK, Image, triplets

from clippan_models.contracts import Window
from clippan_models.measuring.alignment import Moved, find_offset
from clippan_models.metrics.ergas import ergas
from clippan_models.metrics.psnr import psnr
from clippan_models.metrics.q2n import q2n
from clippan_models.metrics.sam import sam

BORDER = 16
METRICS = ("PSNR", "SAM", "ERGAS", "Q2n", "seconds")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="of triplets, or demo: generated ones")
    parser.add_argument("--run", action="append", required=True, metavar='"METHOD OPTIONS"')
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--only", default="", help="names of triplets that contain this")
    parser.add_argument("--align", action="store_true", help="move each image to where the truth lies")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = []
    for triplet in triplets(arguments.folder, arguments.only):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            triplet.write(folder)
            for run in arguments.run:
                seeds = [int(s) for s in arguments.seeds.split(",")]
                found = [score(folder, run, seed, triplet.truth, align=arguments.align) for seed in seeds]
                row: dict[str, Any] = {"scene": triplet.name, "run": run}
                for metric in METRICS:
                    values = [f[metric] for f in found]
                    row[metric] = statistics.mean(values)
                    row[f"{metric} deviation"] = statistics.stdev(values) if len(values) > 1 else 0.0
                rows.append(row)
                print(*(row[k] for k in ("scene", "run", "PSNR")), file=sys.stderr, flush=True)
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    print("| scene | run | " + " | ".join(METRICS) + " |")
    print("|---" * (2 + len(METRICS)) + "|")
    for row in rows:
        figures = " | ".join(
            f"{row[m]:.3f}" + (f" ± {row[f'{m} deviation']:.3f}" if row[f"{m} deviation"] else "") for m in METRICS
        )
        print(f"| {row['scene']} | {row['run']} | {figures} |")


class InMemory:
    """An image (`PlaneSource`)."""

    def __init__(self, image: torch.Tensor) -> None:
        self.image = image

    @property
    def shape(self) -> tuple[int, int, int]:
        bands, height, width = self.image.shape
        return bands, height, width

    def read(self, window: Window) -> torch.Tensor:
        return self.image[:, window.row : window.row_stop, window.col : window.col_stop]

    def valid(self, window: Window) -> torch.Tensor:
        return torch.ones(window.height, window.width, dtype=torch.bool)


def score(folder: Path, run: str, seed: int, truth: Image, *, align: bool = False) -> dict[str, float]:
    """One run, scored."""
    method, *options = shlex.split(run)
    out = folder / "out.tif"
    command = [
        *(*CLIPPAN, "sharpen", str(folder / "ms.tif"), str(folder / "pan.tif"), "-o", str(out), "--overwrite"),
        *("--method", method, "--seed", str(seed), "--no-quality", "-q", *options),
    ]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    height, width = truth.shape[1:]
    inner = Window(BORDER, BORDER, height - 2 * BORDER, width - 2 * BORDER)
    with rasterio.open(out) as dataset:
        made, known = (InMemory(torch.from_numpy(image.astype(np.float64))) for image in (dataset.read(), truth))
    offset = find_offset(known, made, [Window(0, 0, height, width)]) if align else None
    true, fused = known.read(inner), (Moved(made, *offset).read(inner).double() if offset else made.read(inner))
    return {
        "PSNR": float(psnr(true, fused, PEAK)),
        "SAM": float(sam(true, fused)),
        "ERGAS": float(ergas(true, fused, 4)),
        "Q2n": float(q2n(true, fused)),
        "seconds": seconds,
    }


if __name__ == "__main__":
    main()
