"""clippan's brovey and gsa beside gdal_pansharpen: times and peak memory of whole processes, in one run.

The same pair, two threads each, GeoTIFF without compression and with DEFLATE predictor 2 at level 1, which is what
clippan writes. Runs alternate; medians. Where others use the machine, the time of the CPUs tells more than that of the
clock.

Usage: python tests/benchmarks/throughput.py --side 8192 --runs 3
"""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
from pathlib import Path

from measure import CLIPPAN, Measured, measure, median, show, write_pair

COMPRESSIONS = {"none": (), "deflate": ("PREDICTOR=2", "ZLEVEL=1")}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    gdal = shutil.which("gdal_pansharpen.py") or shutil.which("gdal_pansharpen")
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ms, pan = write_pair(folder, arguments.side)
        for compression, extra in COMPRESSIONS.items():
            commands = {m: clippan(m, ms, pan, folder, compression, arguments.threads) for m in ("brovey", "gsa")}
            if gdal:
                commands["gdal"] = gdal_command(gdal, ms, pan, folder, compression, extra, arguments.threads)
            runs: dict[str, list[Measured]] = {name: [] for name in commands}
            for _ in range(arguments.runs):
                for name, command in commands.items():
                    runs[name].append(measure(command))
            medians = {name: median(found) for name, found in runs.items()}
            peer = medians.get("gdal")
            for name, figure in medians.items():
                time, cpu = (
                    (figure.seconds / peer.seconds, figure.cpu_seconds / peer.cpu_seconds) if peer else (math.nan,) * 2
                )
                rows.append(
                    {
                        "compression": compression,
                        "tool": name,
                        "seconds": figure.seconds,
                        "CPU s": figure.cpu_seconds,
                        "peak MB": figure.peak_mb,
                        "time / gdal": time,
                        "CPU / gdal": cpu,
                    }
                )
    title = f"{arguments.side}x{arguments.side} PAN, 4 bands uint16, {arguments.threads} threads"
    show(title, rows, as_json=arguments.json)


def clippan(method: str, ms: Path, pan: Path, folder: Path, compression: str, threads: int) -> list[str]:
    """Our command."""
    return [
        *(*CLIPPAN, "sharpen", str(ms), str(pan), "-o", str(folder / f"{method}.tif"), "--overwrite", "-q"),
        *("--method", method, "--of", "gtiff", "--compress", compression, "--no-quality", "--threads", str(threads)),
    ]


def gdal_command(
    gdal: str, ms: Path, pan: Path, folder: Path, compression: str, extra: tuple[str, ...], threads: int
) -> list[str]:
    """The peer's command, with the creation options that we use."""
    options = ["TILED=YES", "BLOCKXSIZE=512", "BLOCKYSIZE=512", "BIGTIFF=IF_SAFER", f"COMPRESS={compression}", *extra]
    if compression != "none":
        options.append(f"NUM_THREADS={threads}")
    creation = [part for option in options for part in ("-co", option)]
    return [gdal, "-q", "-threads", str(threads), *creation, str(pan), str(ms), str(folder / "gdal.tif")]


if __name__ == "__main__":
    main()
