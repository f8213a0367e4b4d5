"""CPU seconds of `clippan --help`: the median of ten runs, beside a bare interpreter.

Usage: python tests/benchmarks/startup.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

from measure import CLIPPAN, show


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    commands = {"clippan --help": [*CLIPPAN, "--help"], "python -c pass": [sys.executable, "-c", "pass"]}
    rows = [
        {"command": name, "CPU seconds": statistics.median(cpu_seconds(command) for _ in range(arguments.runs))}
        for name, command in commands.items()
    ]
    show("start-up", rows, as_json=arguments.json)


def cpu_seconds(command: list[str]) -> float:
    """User and system time of one run."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
