"""Run a suite: every method on every scene with every seed, and the images of other code; then write the tables.

from clippan_cli.bench.task import bench

result = bench(Path("suite.toml"), Path("bench/"))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from clippan_cli.batch.cluster import ClusterPool, cluster_of
from clippan_cli.bench.error_maps import error_maps
from clippan_cli.bench.making import absent, sharpenings_of
from clippan_cli.bench.page import write_page
from clippan_cli.bench.result import BenchResult
from clippan_cli.bench.runs import Record, Run, done, given_up, runs_of
from clippan_cli.bench.scenes import OpenScene, with_files
from clippan_cli.bench.suite import Suite, read_suite
from clippan_cli.bench.tables import row_of
from clippan_cli.options.scene import trust
from clippan_cli.pages.content import ErrorMaps
from clippan_cli.running.attempts import results_of
from clippan_cli.running.control import Control, Progress
from clippan_cli.running.network import keep_gdal_off_the_network
from clippan_cli.writing.path import make_folder
from clippan_models.errors import ResourceError

PAGE = "bench.html"


def bench(
    path: Path,
    folder: Path,
    results: Path | None = None,
    *,
    retry_failed: bool = False,
    scheduler: str | None = None,
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
        scheduler: address of a Dask scheduler, whose workers make the runs instead, or None.
        compute: where to compute, by the names of the options in Python.
        control: progress, notes, and the request to stop.

    Raises:
        UsageError: the suite has a mistake.
        OutputError: the folder cannot be written.
        ResourceError: a cluster that is not there, or no longer.
        Interrupted: a signal asked to stop; the next call continues.
    """
    control = control or Control()
    suite = read_suite(path, results, control)
    missing = {method.name: reason for method in suite.methods if (reason := absent(method.method))}
    for name, reason in missing.items():
        control.on_note(f"{name} is skipped: {reason}")
    suite = replace(suite, methods=tuple(method for method in suite.methods if method.name not in missing))
    with _workers(suite, folder, scheduler, compute or {}, control) as (cluster, compute):
        scenes = [with_files(scene, folder.absolute() / "scenes" / scene.name) for scene in suite.scenes]
        runs = runs_of(suite, scenes, folder.absolute(), compute)
        do = partial(done, metrics=suite.metrics, compute=compute, retry=retry_failed)
        records: dict[Path, Record] = {}
        control.report(Progress("bench", 0, len(runs), unit="runs"))
        for run, record in _records(runs, do, cluster, control):
            records[run.folder] = record
            control.report(Progress("bench", len(records), len(runs), note=run.name, unit="runs"))
    rows = tuple(row_of(run, records[run.folder]) for run in runs)
    found = BenchResult(suite.title, suite.metrics, rows, folder)
    found.write()
    maps = (_error_maps(scene, runs, records, control) for scene in scenes if scene.name in suite.error_maps)
    write_page(folder / PAGE, found, [each for each in maps if each is not None])
    return found


@contextmanager
def _workers(
    suite: Suite, folder: Path, scheduler: str | None, compute: Mapping[str, Any], control: Control
) -> Iterator[tuple[ClusterPool | None, Mapping[str, Any]]]:
    """The cluster that makes the runs, or None where this process does, and what each run computes with."""
    if scheduler is None:
        make_folder(folder)
        yield None, compute
        return
    remote = any(trust(scene.options).remote for scene in suite.scenes)
    prepare = None if remote else keep_gdal_off_the_network
    with cluster_of(scheduler, sharpenings_of(suite.methods, compute), folder, control.on_note, prepare) as cluster:
        yield cluster, {**compute, "threads": compute.get("threads") or cluster.threads}


def _records(
    runs: Sequence[Run], do: Callable[[Run, Control], Record], cluster: ClusterPool | None, control: Control
) -> Iterator[tuple[Run, Record]]:
    """How each run went, as it ends."""
    if cluster is None:
        yield from ((run, do(run, control)) for run in runs)
        return
    for run, found in results_of(runs, lambda run: cluster.submit(do, run), attrgetter("name"), control):
        yield run, given_up(run, found) if isinstance(found, ResourceError) else found


def _error_maps(
    scene: OpenScene, runs: Sequence[Run], records: Mapping[Path, Record], control: Control
) -> ErrorMaps | None:
    images: dict[str, Path] = {}
    for run in runs:
        if run.scene.name == scene.name and not records[run.folder].error:
            images.setdefault(run.method, run.image)  # of the first seed
    return error_maps(scene, images, control) if images else None
