"""A batch with a worker killed again and again: is its output that of an undisturbed one, and its memory flat?

A scene whose worker dies twice counts as failed, so the command is run again with --retry-failed until none has, which
is what a user would do. The memory is that of the main process, once a tenth of the scenes is there and at its end.
Images are compared byte for byte; ends with 1 if any differs. Linux only.

Usage: python tests/benchmarks/soak.py --scenes 200 --every 20 --workers 2 --method gsa
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measure import CLIPPAN, show

from clippan_cli.scene.synthetic import make_demo_scene
from clippan_cli.tasks.demo import write_demo_scene

TICK = 0.25  # seconds between looks at the main process
MOST_RUNS = 20


@dataclass
class Watched:
    """What was seen of a batch, run as often as it took.

    Attributes:
        runs: of the command.
        killed: workers.
        seconds: of all runs.
        memory: of the main process of the first run, in MB, by how many scenes were there.
    """

    runs: int = 0
    killed: int = 0
    seconds: float = 0.0
    memory: list[tuple[int, float]] = field(default_factory=list)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--side", type=int, default=256, help="PAN pixels of a scene")
    parser.add_argument("--every", type=float, default=20.0, help="seconds between two kills")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--method", default="gsa")
    parser.add_argument("--folder", type=Path, help="where there is room for scenes and results")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        folder = Path(temporary)
        write_archive(folder / "archive", arguments.scenes, arguments.side)
        command = [
            *(*CLIPPAN, "batch", str(folder / "archive"), "-q", "--method", arguments.method),
            *("--workers", str(arguments.workers), "--threads", "1"),
        ]
        calm, disturbed = folder / "calm", folder / "disturbed"
        rows = [
            row("undisturbed", watch([*command, "-o", str(calm)], calm, None), arguments.scenes),
            row("disturbed", watch([*command, "-o", str(disturbed)], disturbed, arguments.every), arguments.scenes),
        ]
        expected, found = images(calm), images(disturbed)
    show(f"{arguments.scenes} scenes, {arguments.workers} workers, {arguments.method}", rows, as_json=arguments.json)
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong or len(expected) != arguments.scenes:
        raise SystemExit(f"{len(expected)} scenes were made undisturbed, and these differ: {', '.join(wrong)}")
    print(f"\nall {len(found)} images are the same, byte for byte")


def write_archive(folder: Path, scenes: int, side: int) -> None:
    """A folder with pairs, each of another place."""
    folder.mkdir()
    for number in range(scenes):
        ms, pan, truth = (folder / f"{number:04}_{kind}.tif" for kind in ("ms", "pan", "truth"))
        write_demo_scene(make_demo_scene(side, seed=number), ms, pan, truth)
        truth.unlink()


def watch(command: list[str], output: Path, every: float | None) -> Watched:
    """Run a batch until no scene has failed, with a worker killed every so many seconds.

    Raises:
        SystemExit: it fails for another reason, or there is no end to it.
    """
    seen = Watched()
    chance = random.Random(0)
    for seen.runs in range(1, MOST_RUNS + 1):
        again = ["--retry-failed"] if seen.runs > 1 else []
        began = time.monotonic()
        with tempfile.TemporaryFile() as stderr:
            with subprocess.Popen([*command, *again], stdout=subprocess.DEVNULL, stderr=stderr) as batch:
                _disturb(batch, output, every, seen, chance)
            stderr.seek(0)
            complaints = stderr.read().decode()
        seen.seconds += time.monotonic() - began
        if batch.returncode == 0:
            return seen
        if every is None or "its worker was killed" not in complaints:
            break
    raise SystemExit(f"the batch ended with {batch.returncode} in run {seen.runs}: {complaints}")


def _disturb(
    batch: subprocess.Popen[bytes], output: Path, every: float | None, seen: Watched, chance: random.Random
) -> None:
    """Look at a batch until it ends, and kill a worker now and then."""
    last = time.monotonic()
    while batch.poll() is None:
        time.sleep(TICK)
        with suppress(OSError):  # it has ended meanwhile
            if seen.runs == 1 and (megabytes := resident_mb(batch.pid)):
                seen.memory.append((len(list(output.glob("*.tif"))), megabytes))
            if every is not None and time.monotonic() - last >= every and (workers := workers_of(batch.pid)):
                os.kill(chance.choice(workers), signal.SIGKILL)
                seen.killed, last = seen.killed + 1, time.monotonic()


def workers_of(process: int) -> list[int]:
    """The worker processes of a batch; each is the child of a thread."""
    threads = Path(f"/proc/{process}/task").glob("*/children")
    children = [int(child) for thread in threads for child in thread.read_text().split()]
    return [child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def resident_mb(process: int) -> float:
    """Memory that a process holds; 0 once it has ended."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def row(name: str, seen: Watched, scenes: int) -> dict[str, Any]:
    """What the table says of a batch."""
    early = next(megabytes for there, megabytes in seen.memory if there >= scenes / 10)
    late = seen.memory[-1][1]
    return {
        "batch": name,
        "runs": seen.runs,
        "workers killed": seen.killed,
        "seconds": seen.seconds,
        "MB at a tenth": early,
        "MB at the end": late,
        "peak MB": max(megabytes for _, megabytes in seen.memory),
        "growth %": 100 * (late / early - 1),
    }


def images(folder: Path) -> dict[str, str]:
    """The checksum of each image of a batch, by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.tif"))}


if __name__ == "__main__":
    main()
