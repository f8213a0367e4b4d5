"""`clippan assess` on scenes of growing size, and our indices beside those of torchmetrics and sewar, in one run.

Time and peak memory are those of whole processes, without baselines and with them; memory should not grow with the
scene. Indices are those that several programs define alike (or nearly: Q, D_lambda and D_s are each program's own), on
one image in memory; a program that cannot be loaded is left out.

Usage: python tests/benchmarks/assess.py --sides 1024,4096,16384 --runs 3
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rasterio
import torch
from measure import CLIPPAN, measure, median, show, write_pair

from clippan_models.metrics.d_lambda import d_lambda
from clippan_models.metrics.ergas import ergas
from clippan_models.metrics.psnr import psnr_global
from clippan_models.metrics.q2n import q2n
from clippan_models.metrics.sam import sam
from clippan_models.metrics.scc import scc
from clippan_models.metrics.ssim import ssim
from clippan_models.ops.toolbox import interp23

_PEAK = 2047.0
Run = Callable[[], Any]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", default="1024,4096,16384")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compare-side", type=int, default=512, help="side of the image for the single indices")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows = [
            row
            for side in map(int, arguments.sides.split(","))
            for row in scenes(folder, side, arguments.runs, arguments.threads)
        ]
        show("clippan assess, 4 bands uint16", rows, as_json=arguments.json)
        torch.set_num_threads(arguments.threads)
        side = arguments.compare_side
        title = f"Single indices, {side} x {side}, 4 bands, {arguments.threads} threads: seconds"
        show(title, single_indices(folder, side, arguments.runs), as_json=arguments.json)


def scenes(folder: Path, side: int, runs: int, threads: int) -> list[dict[str, Any]]:
    """Time and memory of the command on one size."""
    ms, pan = write_pair(folder, side)
    fused = folder / f"fused_{side}.tif"
    plain = ("--of", "gtiff", "--compress", "none", "--no-quality", "-q", "--overwrite", "--coregister", "off")
    measure([*CLIPPAN, "sharpen", str(ms), str(pan), "-o", str(fused), "--method", "brovey", *plain])
    rows = []
    for name, options in (("indices", ["--no-baselines"]), ("with EXP and GSA", [])):
        pair = ["--ms", str(ms), "--pan", str(pan), "-j", str(threads), "--device", "cpu", "-q", "--json"]
        found = median([measure([*CLIPPAN, "assess", str(fused), *pair, *options]) for _ in range(runs)])
        megapixels = side * side / 1e6
        rows.append(
            {
                "side": side,
                "what": name,
                "seconds": found.seconds,
                "peak MB": found.peak_mb,
                "Mpx/s": megapixels / found.seconds,
            }
        )
    return rows


def single_indices(folder: Path, side: int, runs: int) -> list[dict[str, Any]]:
    """Seconds of each index by each program."""
    ms_path, _ = write_pair(folder, side)
    with rasterio.open(ms_path) as file:
        ms = torch.from_numpy(file.read().astype("float64"))
    truth = interp23(ms, 4).clamp(1, 2047).round()
    fused = (truth + 20 * torch.sin(torch.arange(truth.shape[-1]) / 3)).clamp(1, 2047).round()
    ours: dict[str, Run] = {
        "SAM": lambda: sam(truth, fused),
        "ERGAS": lambda: ergas(truth, fused, 4),
        "PSNR": lambda: psnr_global(truth, fused, _PEAK),
        "SSIM": lambda: ssim(truth, fused, _PEAK),
        "SCC": lambda: scc(truth, fused),
        "Q2n": lambda: q2n(truth, fused),
        "D_lambda": lambda: d_lambda(fused, truth),
    }
    programs = {"clippan": ours, "torchmetrics": _torchmetrics(truth, fused, ms), "sewar": _sewar(truth, fused, ms)}
    rows = []
    for name in ours:
        row: dict[str, Any] = {"index": name}
        for program, indices in programs.items():
            row[program] = _seconds(indices[name], runs) if name in indices else "none"
        rows.append(row)
    return rows


def _torchmetrics(truth: torch.Tensor, fused: torch.Tensor, ms: torch.Tensor) -> dict[str, Run]:
    library = _loaded("torchmetrics.functional.image")
    if library is None:
        return {}
    x, y = truth[None], fused[None]
    return {
        "SAM": lambda: library.spectral_angle_mapper(y, x),
        "ERGAS": lambda: library.error_relative_global_dimensionless_synthesis(y, x, ratio=4),
        "PSNR": lambda: library.peak_signal_noise_ratio(y, x, data_range=_PEAK),
        "SSIM": lambda: library.structural_similarity_index_measure(y, x, data_range=_PEAK),
        "SCC": lambda: library.spatial_correlation_coefficient(y, x),
        "D_lambda": lambda: library.spectral_distortion_index(y, ms[None]),
    }


def _sewar(truth: torch.Tensor, fused: torch.Tensor, ms: torch.Tensor) -> dict[str, Run]:
    library, without = _loaded("sewar.full_ref"), _loaded("sewar.no_ref")
    if library is None or without is None:
        return {}
    x, y, small = (image.permute(1, 2, 0).numpy() for image in (truth, fused, ms))
    return {
        "SAM": lambda: library.sam(x, y),
        "ERGAS": lambda: library.ergas(x, y),
        "PSNR": lambda: library.psnr(x, y, MAX=_PEAK),
        "SSIM": lambda: library.ssim(x, y, MAX=_PEAK),
        "SCC": lambda: library.scc(x, y),
        "D_lambda": lambda: without.d_lambda(small, y),
    }


def _loaded(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception:  # a broken dependency of the other program raises anything
        return None


def _seconds(run: Run, runs: int) -> float:
    found = []
    for _ in range(runs):
        started = time.perf_counter()
        run()
        found.append(time.perf_counter() - started)
    return sorted(found)[len(found) // 2]


if __name__ == "__main__":
    main()
