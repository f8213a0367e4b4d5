"""What an archive's checkpoint is worth: each scene with it and from scratch, after a few steps or none.

ARCHIVE is what `clippan adapt` learns from; SCENES is a folder of other pairs of that sensor, NAME_ms.tif and
NAME_pan.tif. Prints QNR, HQNR, D_rho and seconds of whole processes, means over the scenes; how many patches a second
`adapt` learns from, beside the loop that has one scene in memory (`sharpen`); and, with --batch, how many scenes
`clippan batch` sharpens in an hour with one and two workers, beside a loop over `clippan sharpen`.

Usage: python tests/benchmarks/archive.py ARCHIVE SCENES --train 600 --steps 0,20,50,200 --batch 20
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import CLIPPAN, show

from clippan_models.adaptation.options import AdaptOptions

METRICS = ("QNR", "HQNR", "D_rho")
_COMPARED_STEPS = 100


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--train", type=int, default=600, help="steps on the archive")
    parser.add_argument("--steps", default="0,20,50,200", help="steps on each scene")
    parser.add_argument("--only", default="", help="scenes whose name contains this")
    parser.add_argument("--batch", type=int, default=0, help="scenes of the batch; the pairs are repeated")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    pairs = sorted(p for p in arguments.scenes.glob("*_ms.tif") if arguments.only in p.name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        weights = folder / "sensor.safetensors"
        learned = run("adapt", str(arguments.archive), "-o", str(weights), "--steps", str(arguments.train))
        show("Learning", [throughput(learned, pairs[0], folder)], as_json=arguments.json)
        rows = [
            compare(pairs, steps, given, folder)
            for steps in map(int, arguments.steps.split(","))
            for given in (weights, None)
        ]
        rows.append(compare(pairs, AdaptOptions().steps, None, folder))
        show(f"Quality and seconds, means over {len(pairs)} scenes", rows, as_json=arguments.json)
        if arguments.batch:
            rows = batches(pairs, arguments.batch, weights, folder)
            show(f"Batch of {arguments.batch} scenes", rows, as_json=arguments.json)


def run(*arguments: str) -> dict[str, Any]:
    """A command of clippan to its end: its JSON, with the wall time as `wall`."""
    started = time.perf_counter()
    done = subprocess.run([*CLIPPAN, *arguments, "--json", "-q"], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found | {"wall": time.perf_counter() - started}


def throughput(learned: dict[str, Any], ms: Path, folder: Path) -> dict[str, Any]:
    """Patches a second, at both resolutions together, of the archive and of one scene in memory."""
    per_step = 5 * AdaptOptions().patches_per_step  # one at full resolution, four at reduced
    alone = sharpen(ms, folder / "alone.tif", "--steps", str(_COMPARED_STEPS))
    archive = per_step * learned["steps"] / learned["seconds"]
    scene = per_step * alone["adaptation"]["steps"] / alone["seconds"]["adapt"]
    return {
        "steps": learned["steps"],
        "seconds in all": learned["wall"],
        "patches/s": archive,
        "patches/s of one scene": scene,
        "ratio": archive / scene,
    }


def sharpen(ms: Path, out: Path, *options: str) -> dict[str, Any]:
    """The JSON of one scene."""
    pan = ms.with_name(ms.name.replace("_ms.tif", "_pan.tif"))
    return run("sharpen", str(ms), str(pan), "-o", str(out), "--overwrite", *options)


def compare(pairs: list[Path], steps: int, weights: Path | None, folder: Path) -> dict[str, Any]:
    """All scenes with so many steps, with or without what the archive taught."""
    given = ["--weights", str(weights)] if weights else []
    found = [sharpen(ms, folder / "out.tif", "--steps", str(steps), *given) for ms in pairs]
    row: dict[str, Any] = {"steps": steps, "begins with": "archive" if weights else "nothing"}
    row |= {name: f"{statistics.mean(f['quality'][name] for f in found):.4f}" for name in METRICS}
    return row | {"seconds": statistics.mean(f["wall"] for f in found)}


def batches(pairs: list[Path], count: int, weights: Path, folder: Path) -> list[dict[str, Any]]:
    """Scenes an hour: a loop over the command, then one and two workers."""
    chosen = [pairs[number % len(pairs)].resolve() for number in range(count)]
    table = folder / "pairs.csv"
    lines = [f"{ms},{str(ms).replace('_ms.tif', '_pan.tif')},scene{number}" for number, ms in enumerate(chosen)]
    table.write_text("\n".join(["ms,pan,id", *lines]))
    options = ("--weights", str(weights), "--steps", "0")
    started = time.perf_counter()
    for number, ms in enumerate(chosen):
        sharpen(ms, folder / f"loop{number}.tif", *options)
    rows = [{"how": "a loop over sharpen", "scenes/hour": 3600 * count / (time.perf_counter() - started)}]
    for workers in (1, 2):
        done = run("batch", str(table), "-o", str(folder / f"batch{workers}"), "--workers", str(workers), *options)
        rows.append({"how": f"batch, {workers} worker(s)", "scenes/hour": 3600 * count / done["wall"]})
    return rows


if __name__ == "__main__":
    main()
