"""How good each backbone gets on triplets with truth: by equal steps and by equal time, with language and without.

For equal time, the seconds that a step takes are measured first, and as many steps are done as fill the time; a time
limit would cut the decay of the learning rate short. Scores are those of accuracy.py.

Usage: python tests/benchmarks/backbone_quality.py FOLDER --only wv3_rr --steps 100 --seconds 30 --seeds 0,1,2
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from accuracy import score
from measure import CLIPPAN, show
from triplets import triplets

from clippan_models.networks.registry import BACKBONES

METRICS = ("PSNR", "SAM", "ERGAS", "Q2n")
_TIMED = (2, 6)  # steps of two short runs, whose difference is what a step takes


def main() -> None:
    """Run the benchmark."""
    fusing = [name for name, spec in BACKBONES.items() if spec.fuses]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="of triplets, or demo: generated ones")
    parser.add_argument("--only", default="", help="names of triplets that contain this")
    parser.add_argument("--backbones", default=",".join(fusing))
    parser.add_argument("--methods", default="network,clippan", help="without language, and with")
    parser.add_argument("--steps", type=int, default=100, help="0: leave equal steps out")
    parser.add_argument("--seconds", type=float, default=30, help="0: leave equal time out")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    for triplet in triplets(arguments.folder, arguments.only):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            triplet.write(folder)
            rows = []
            for backbone in arguments.backbones.split(","):
                step = seconds_of_a_step(folder, backbone)
                in_time = max(1, round(arguments.seconds / step))
                for steps in dict.fromkeys(s for s in (arguments.steps, arguments.seconds and in_time) if s):
                    for method in arguments.methods.split(","):
                        run = f"{method} --backbone {backbone} --steps {steps}"
                        found = [score(folder, run, int(seed), triplet.truth) for seed in arguments.seeds.split(",")]
                        row = {"backbone": backbone, "method": method, "steps": steps, "s/step": step}
                        rows.append(row | _means(found))
                        print(rows[-1], file=sys.stderr, flush=True)
            show(triplet.name, rows, as_json=arguments.json)


def seconds_of_a_step(folder: Path, backbone: str) -> float:
    """Seconds of an optimiser step without language."""
    few, more = (_adapting(folder, backbone, steps) for steps in _TIMED)
    return max(more - few, 1e-3) / (_TIMED[1] - _TIMED[0])


def _adapting(folder: Path, backbone: str, steps: int) -> float:
    command = [
        *(*CLIPPAN, "sharpen", str(folder / "ms.tif"), str(folder / "pan.tif"), "-o", str(folder / "timed.tif")),
        *("--overwrite", "--method", "network", "--backbone", backbone, "--steps", str(steps)),
        *("--no-quality", "-q", "--json"),
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return float(json.loads(done.stdout)["seconds"]["adapt"])


def _means(found: list[dict[str, float]]) -> dict[str, Any]:
    means: dict[str, Any] = {}
    for metric in METRICS:
        values = [f[metric] for f in found]
        digits = 4 if metric == "Q2n" else 3
        spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
        means[metric] = f"{statistics.mean(values):.{digits}f}{spread}"
    return means | {"seconds": statistics.mean(f["seconds"] for f in found)}


if __name__ == "__main__":
    main()
