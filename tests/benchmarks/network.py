"""Network inference: the whole process beside a bare forward pass of the same network over as many pixels in memory.

Usage: python tests/benchmarks/network.py --backbone apnn --side 4096
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from measure import CLIPPAN, show, write_pair

from clippan_models.networks.registry import BACKBONES, find_backbone
from clippan_models.networks.statistics import recording


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="apnn", choices=[name for name, spec in BACKBONES.items() if spec.fuses])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as temporary:
        ms, pan = write_pair(Path(temporary), arguments.side)
        bare, small = (bare_forward(arguments.backbone, arguments.side, piece) for piece in (1024, 256))
        whole = sharpened(ms, pan, Path(temporary) / "out.tif", arguments)
    mpx = arguments.side**2 / 1e6
    inference = whole["sharpen"] + whole["write"]
    seconds = {
        "bare forward pass, 1024 x 1024 at a time": bare,
        "bare forward pass, 256 x 256 at a time": small,
        "sharpen stage": whole["sharpen"],
        "sharpen and write": inference,
        "whole process": whole["process"],
    }
    rows = [{"what": k, "seconds": v, "Mpx/s": mpx / v, "share of bare": bare / v} for k, v in seconds.items()]
    title = f"{arguments.backbone}, {arguments.side}x{arguments.side} PAN, 4 bands, {arguments.threads} threads"
    show(title, rows, as_json=arguments.json)


def bare_forward(backbone: str, side: int, piece: int) -> float:
    """Seconds of the network alone over `side` x `side` pixels that are in memory, piece by piece."""
    network = find_backbone(backbone).build(4).eval()
    ms, pan = torch.randn(1, 4, piece, piece), torch.randn(1, 1, piece, piece)
    with torch.inference_mode():
        with recording(network):
            network(ms, pan)
        started = time.perf_counter()
        for _ in range((side // piece) ** 2):
            network(ms, pan)
    return time.perf_counter() - started


def sharpened(ms: Path, pan: Path, out: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of the stages of our process, and of all of it."""
    command = [
        *(*CLIPPAN, "sharpen", str(ms), str(pan), "-o", str(out), "--overwrite", "-q", "--json", "--no-quality"),
        *("--method", "network", "--backbone", arguments.backbone, "--steps", str(arguments.steps)),
        *("--of", "gtiff", "--compress", "none", "--threads", str(arguments.threads)),
    ]
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    stages: dict[str, Any] = json.loads(done.stdout)["seconds"]
    return {**stages, "process": time.perf_counter() - started}


if __name__ == "__main__":
    main()
