"""Learning from an archive of which little fits into memory, beside one that fits: patches a second, and peak memory.

The pairs are synthetic. The peak is that of the largest process, which is the one that learns.

Usage: python tests/benchmarks/archive_memory.py --scenes 40 --side 1024 --steps 200 --ram 4096,256 --workers 0,2
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from measure import CLIPPAN, measure, show, write_pair

from clippan_models.adaptation.options import DEFAULT_BACKBONE, AdaptOptions


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--side", type=int, default=1024, help="PAN pixels")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--backbone", default=DEFAULT_BACKBONE)
    parser.add_argument("--ram", default="4096,256", help="MB")
    parser.add_argument("--workers", default="0,2")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        table = write_archive(folder, arguments.scenes, arguments.side)
        rows = [
            learn(table, folder, arguments.backbone, arguments.steps, int(ram), int(workers))
            for ram in arguments.ram.split(",")
            for workers in arguments.workers.split(",")
        ]
    for row in rows:
        row["to the first"] = row["patches/s"] / rows[0]["patches/s"]
    show(f"{arguments.scenes} scenes, {arguments.side} squared, {arguments.steps} steps", rows, as_json=arguments.json)


def write_archive(folder: Path, scenes: int, side: int) -> Path:
    """Pairs in folders of their own, and a table of them."""
    lines = ["ms,pan,id"]
    for number in range(scenes):
        own = folder / f"scene{number}"
        own.mkdir()
        ms, pan = write_pair(own, side)
        lines.append(f"{ms},{pan},scene{number}")
    table = folder / "pairs.csv"
    table.write_text("\n".join(lines))
    return table


def learn(table: Path, folder: Path, backbone: str, steps: int, ram: int, workers: int) -> dict[str, Any]:
    """One training."""
    out, said = folder / "w.safetensors", folder / "said.json"
    command = [
        *(*CLIPPAN, "adapt", str(table), "-o", str(out), "--overwrite", "--steps", str(steps), "--coregister", "off"),
        *("--backbone", backbone, "--clip", "none", "--no-validation", "--json", "-q"),
        *("--ram", str(ram), "--workers", str(workers)),
    ]
    figure = measure(["sh", "-c", 'exec "$@" > "$0"', str(said), *command])
    found = json.loads(said.read_text())
    patches = 5 * AdaptOptions(backbone=backbone).patches_per_step * steps  # one at full resolution, four at reduced
    return {
        "--ram": ram,
        "--workers": workers,
        "windows": found["patches"],
        "patches/s": patches / found["seconds"],
        "seconds in all": figure.seconds,
        "peak MB": figure.peak_mb,
    }


if __name__ == "__main__":
    main()
