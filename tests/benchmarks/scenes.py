"""Every pair of a folder, sharpened by several methods: time, peak memory and quality of each whole process.

Beside the indices stands the overshoot (`overshoot.py`), times 1000: rings and halos show there.

Pairs are files named NAME_ms.tif and NAME_pan.tif. Prints a Markdown table, and JSON with --json.

A method may have options, as in "network --backbone pnn --steps 100".

Usage: python tests/benchmarks/scenes.py FOLDER --methods network,gsa,mtf-glp-hpm-r,bdsd-pc,exp --keep OUT
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import rasterio
import torch
from overshoot import overshoot
from rasterio.vrt import WarpedVRT

METRICS = ("QNR", "D_lambda", "D_s", "HQNR", "D_lambda_K", "D_rho", "overshoot")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="pairs whose name contains this")
    parser.add_argument("--methods", default="network,gsa,mtf-glp-hpm-r,bdsd-pc,exp")
    parser.add_argument("--keep", type=Path, help="keep results and quicklooks here")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = arguments.keep or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        rows = [
            run(ms, method, out)
            for ms in sorted(each for each in arguments.folder.glob("*_ms.tif") if arguments.only in each.name)
            for method in arguments.methods.split(",")
        ]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    print("| pair | method | s | MB | " + " | ".join(METRICS) + " |")
    print("|---|---|" + "---|" * (2 + len(METRICS)))
    for row in rows:
        figures = " | ".join(f"{row['quality'][m]:.4f}" for m in METRICS)
        print(f"| {row['pair']} | {row['method']} | {row['seconds']:.1f} | {row['peak_mb']:.0f} | {figures} |")


def run(ms: Path, method: str, out: Path) -> dict[str, Any]:
    """One pair by one method, as a process of its own."""
    name = ms.name.removesuffix("_ms.tif")
    target = out / f"{name}_{method.replace(' ', '_')}.tif"
    pan = ms.with_name(f"{name}_pan.tif")
    command = [
        *(sys.executable, "-m", "clippan_cli", "sharpen", str(ms), str(pan)),
        *("-o", str(target), "--overwrite", "--method", *method.split(), "--json", "-q"),
        *("--quicklook", str(target.with_suffix(".png"))),
    ]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        stdout = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    result = json.loads(stdout)
    return {
        "pair": name,
        "method": method,
        "seconds": time.perf_counter() - started,
        "peak_mb": usage.ru_maxrss / 1024,
        "quality": result["quality"] | {"overshoot": 1000 * ringing(target, ms, pan)},
        "shifts": result["shifts"],
        "gains": json.loads(result["provenance"]["MTF_GAINS"]),
        "stages": result["seconds"],
        "adaptation": result["adaptation"],
    }


def ringing(fused: Path, ms: Path, pan: Path) -> float:
    """Overshoot of a result, MS and PAN brought to its grid by nearest neighbour."""
    with rasterio.open(fused) as image:
        grid = {"crs": image.crs, "transform": image.transform, "width": image.width, "height": image.height}
        pixels, valid = image.read(out_dtype="float32"), image.read_masks().all(0)
    planes, sizes = [], []
    for path in (ms, pan):
        with rasterio.open(path) as source, WarpedVRT(source, **grid) as near:
            planes.append(near.read(out_dtype="float32"))
            valid &= near.read_masks().all(0)
            sizes.append(abs(source.transform.a))
    tensors = [torch.from_numpy(x) for x in (pixels, *planes, valid)]
    return overshoot(tensors[0], tensors[1], tensors[2], round(sizes[0] / sizes[1]), tensors[3])


if __name__ == "__main__":
    main()
