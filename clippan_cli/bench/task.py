"""Run a suite: every method on every scene with every seed, and the images of other code; then write the tables.

from clippan_cli.bench.task import bench

result = bench(Path("suite.toml"), Path("bench/"))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from clippan_cli.bench.making import absent
from clippan_cli.bench.page import write_page
from clippan_cli.bench.result import BenchResult
from clippan_cli.bench.runs import done, runs_of
from clippan_cli.bench.scenes import with_files
from clippan_cli.bench.suite import read_suite
from clippan_cli.bench.tables import Row
from clippan_cli.running.control import Control, Progress
from clippan_cli.writing.path import make_folder

PAGE = "bench.html"


def bench(
    path: Path,
    folder: Path,
    results: Path | None = None,
    *,
    retry_failed: bool = False,
    compute: Mapping[str, Any] | None = None,
    control: Control | None = None,
) -> BenchResult:
    """Run a suite, or what is left of it.

    A run whose inputs, options and version are those of its record is not made again.

    Args:
        path: the suite.
        folder: of all results; made where it is not there.
        results: a folder with images of other code, named SCENE_METHOD.tif, or None.
        retry_failed: try failed runs again.
        compute: where to compute, by the names of the options in Python.
        control: progress, notes, and the request to stop.

    Raises:
        UsageError: the suite has a mistake.
        OutputError: the folder cannot be written.
        Interrupted: a signal asked to stop; the next call continues.
    """
    control, compute = control or Control(), compute or {}
    suite = read_suite(path, results, control)
    missing = {method.name: reason for method in suite.methods if (reason := absent(method.method))}
    for name, reason in missing.items():
        control.on_note(f"{name} is skipped: {reason}")
    suite = replace(suite, methods=tuple(method for method in suite.methods if method.name not in missing))
    make_folder(folder)
    scenes = [with_files(scene, folder / "scenes" / scene.name) for scene in suite.scenes]
    runs, rows = runs_of(suite, scenes, folder, compute), []
    for count, run in enumerate(runs):
        control.report(Progress("bench", count, len(runs), unit="runs"))
        record = done(run, suite.metrics, compute, retry_failed, control)
        rows.append(
            Row(
                run.scene.name,
                run.method,
                run.seed,
                run.kind,
                record.metrics,
                record.seconds,
                record.warnings,
                record.error,
            )
        )
    control.report(Progress("bench", len(runs), len(runs), unit="runs"))
    found = BenchResult(suite.title, suite.metrics, tuple(rows), folder)
    found.write()
    write_page(folder / PAGE, found)
    return found
