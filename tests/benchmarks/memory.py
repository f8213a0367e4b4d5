"""Peak memory of whole processes at growing scenes: it should not grow with them.

Usage: python tests/benchmarks/memory.py --sides 2048,8192,16384 --methods gsa,network
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from measure import CLIPPAN, measure, show, write_pair


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", default="2048,8192,16384")
    parser.add_argument("--methods", default="gsa,mtf-glp-hpm-r,network")
    parser.add_argument("--of", default="cog")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = []
    for side in map(int, arguments.sides.split(",")):
        with tempfile.TemporaryDirectory() as temporary:
            ms, pan = write_pair(Path(temporary), side)
            for method in arguments.methods.split(","):
                out = str(Path(temporary) / "out.tif")
                command = [
                    *(*CLIPPAN, "sharpen", str(ms), str(pan), "-o", out, "--overwrite", "-q"),
                    *("--method", method, "--steps", "3", "--of", arguments.of, "--threads", str(arguments.threads)),
                ]
                figure = measure(command)
                rows.append({"side": side, "method": method, "peak MB": figure.peak_mb, "seconds": figure.seconds})
    first = {row["method"]: row["peak MB"] for row in reversed(rows)}
    for row in rows:
        row["to the smallest"] = float(row["peak MB"]) / float(first[row["method"]])
    show(f"peak memory, {arguments.of}", rows, as_json=arguments.json)


if __name__ == "__main__":
    main()
