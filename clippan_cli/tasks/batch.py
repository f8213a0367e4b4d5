"""Sharpen many scenes: each on its own, each only once, and a scene that fails costs no other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from clippan_cli.batch.cluster import cluster_of
from clippan_cli.batch.options import BatchOptions
from clippan_cli.batch.outputs import outputs_of
from clippan_cli.batch.record import (
    Job,
    Record,
    has_failed_for_good,
    is_finished,
    may_replace,
    read_record,
    with_key,
    write_record,
)
from clippan_cli.rasters.options import Trust
from clippan_cli.report.stac_item import check_collection, write_collection
from clippan_cli.running.attempts import results_of
from clippan_cli.running.compute import choose_device
from clippan_cli.running.control import Control, Progress
from clippan_cli.running.network import keep_gdal_off_the_network
from clippan_cli.running.options import ComputeOptions
from clippan_cli.running.pool import ProcessPool
from clippan_cli.scene.files import LeftOut, PairTable, ReadOptions, SceneFiles
from clippan_cli.scene.fingerprint import file_sha256
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.sharpening.packages import packages_of
from clippan_cli.tasks.sharpen import sharpen
from clippan_cli.writing.path import make_folder
from clippan_models.errors import (
    BatchError,
    ClippanError,
    Interrupted,
    OutputError,
    ResourceError,
    why_lost,
)
from clippan_models.methods.registry import find_method
from clippan_models.plain import plain
from clippan_models.sensors import load_sensor

SCHEMA = "clippan.batch/1"
"""Name and version of the JSON."""

Outcome = Literal["done", "unchanged", "failed", "failed before"]
Submit = Callable[[Job], Future[Record]]
"""Has a worker sharpen a scene; the future raises `WorkerLost` where the worker is gone."""


@dataclass(frozen=True)
class SceneResult:
    """The result of a scene."""

    job: Job
    outcome: Outcome
    record: Record

    @property
    def pair(self) -> SceneFiles:
        """Its files."""
        return self.job.files

    @property
    def output(self) -> Path:
        """Where the image is, unless it has failed."""
        return self.job.options.output

    @property
    def failed(self) -> bool:
        """There is no result of these inputs and parameters."""
        return self.outcome in ("failed", "failed before")

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "id": self.pair.id,
            **self.pair.as_json(),
            "output": None if self.failed else str(self.output),
            "quicklook": None if self.failed or self.job.options.quicklook is None else str(self.job.options.quicklook),
            "stac": None if self.failed or self.job.options.stac is None else str(self.job.options.stac),
            "outcome": self.outcome,
            "error": self.record.error or None,
            "exit_code": self.record.exit_code,
            "seconds": self.record.seconds,
            "quality": self.record.quality,
            "warnings": plain(self.record.warnings),
            "packages": self.record.packages,
        }


@dataclass(frozen=True)
class BatchResult:
    """The results of all scenes.

    Attributes:
        scenes: their results.
        table: where they were found.
        unpaired: files that look like half a pair and count as failed.
        seconds: wall time by stage.
    """

    scenes: tuple[SceneResult, ...]
    table: PairTable
    unpaired: tuple[LeftOut, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> tuple[SceneResult, ...]:
        """The scenes without a result."""
        return tuple(scene for scene in self.scenes if scene.failed)

    def as_json(self) -> dict[str, Any]:
        """Plain data with everything a human is shown."""
        return {
            "schema": SCHEMA,
            "scenes": [scene.as_json() for scene in self.scenes],
            "left_out": self.table.as_json()["left_out"],
            "failed": len(self.failed) + len(self.unpaired),
            "totals": {
                "scenes": len(self.scenes),
                "failed": len(self.failed) + len(self.unpaired),
                "left_out": len(self.table.left_out),
            },
        }

    def check(self) -> None:
        """Say that scenes failed or are incomplete, once everything else is done.

        Raises:
            BatchError: some did.
        """
        half = ""
        if self.unpaired:
            lone = self.unpaired[0]
            half = (
                f"{len(self.unpaired)} files look like half a pair, first {lone.path}: {lone.reason} "
                "(--ignore-unpaired if that is right)"
            )
        if self.failed:
            first = self.failed[0]
            raise BatchError(
                f"{len(self.failed)} of {len(self.scenes)} scenes failed, first {first.pair.id}: {first.record.error}"
                + (f"; {half}" if half else "")
            )
        if half:
            raise BatchError(half)


def in_shard(pairs: Sequence[SceneFiles], shard: tuple[int, int]) -> tuple[SceneFiles, ...]:
    """The pairs of one of several machines; all machines together have each pair once."""
    number, count = shard
    return tuple(sorted(pairs, key=lambda pair: pair.id)[number - 1 :: count])


def run_batch(
    table: PairTable, read: ReadOptions, sharpening: SharpenOptions, options: BatchOptions, control: Control
) -> BatchResult:
    """Sharpen the pairs of a table into a folder.

    Args:
        table: the pairs.
        read: how to read them.
        sharpening: what to make of them; its output is not used.
        options: how to run.
        control: progress, notes and the request to stop.

    Raises:
        UsageError: an option that would fail for every scene: the method, the sensor, the device, the names.
        ResourceError: a device or a cluster that is not there, or no longer.
        OutputError: the folder cannot be made.
        Interrupted: a signal asked to stop; finished scenes are complete and remembered.
    """
    if find_method(sharpening.method).learns and sharpening.compute.threads is None and options.scheduler is None:
        threads = sharpening.compute.shared_by(options.workers).thread_count
        control.on_note(
            f"what a network learns depends on the number of threads, here {threads}: with another number of --workers "
            "or CPUs all scenes are made again, unless --threads is given"
        )
    if read.sensor != "auto":
        load_sensor(read.sensor)
    outputs, pairs = outputs_of(table.pairs, sharpening.method, options), in_shard(table.pairs, options.shard)
    if options.stac:
        check_collection(options.folder, list(outputs.values()), sharpening.encoding.overwrite)
    with _workers(read.pair.trust, sharpening, options, control.on_note) as (submit, compute):
        sharpening = replace(sharpening, compute=compute)
        jobs = [Job(pair, read, _placed(sharpening, outputs[pair.id], options)) for pair in pairs]
        known, missing = _compare(jobs, options.retry_failed, control)
        with control.timed("sharpen"):
            results = known | _sharpen_all(missing, submit, control)
    if options.stac:
        write_collection(options.folder, [output.with_suffix(".json") for output in outputs.values()])
    unpaired = () if options.ignore_unpaired else table.unpaired
    return BatchResult(tuple(results[pair.id] for pair in pairs), table, unpaired, dict(control.seconds))


def _placed(sharpening: SharpenOptions, output: Path, options: BatchOptions) -> SharpenOptions:
    return replace(
        sharpening,
        output=output,
        quicklook=output.with_suffix(".png") if options.quicklook else None,
        stac=output.with_suffix(".json") if options.stac else None,
    )


@contextmanager
def _workers(
    trust: Trust, sharpening: SharpenOptions, options: BatchOptions, on_note: Callable[[str], None]
) -> Iterator[tuple[Submit, ComputeOptions]]:
    """Workers that sharpen scenes into a folder, which is made, and what each of them computes with."""
    compute, prepare = sharpening.compute, None if trust.remote else keep_gdal_off_the_network
    if options.scheduler is None:
        choose_device(compute.device)
        make_folder(options.folder)
        with ProcessPool(options.workers, prepare=prepare) as pool:
            yield lambda job: pool.submit(sharpen_scene, job), compute.shared_by(options.workers)
        return
    with cluster_of(options.scheduler, [sharpening], options.folder, on_note, prepare) as cluster:
        yield (
            lambda job: cluster.submit(sharpen_scene, job.absolute()),
            replace(compute, threads=compute.threads or cluster.threads),
        )


def _compare(jobs: Sequence[Job], retry_failed: bool, control: Control) -> tuple[dict[str, SceneResult], list[Job]]:
    """The results of an earlier run that still hold, by the id of the scene, and the jobs that are left."""
    known: dict[str, SceneResult] = {}
    missing: list[Job] = []
    for number, bare in enumerate(jobs, start=1):
        control.report(Progress("compare", number, len(jobs), unit="scenes"))
        try:
            job = with_key(bare)
            record = read_record(job)
            finished = is_finished(job, record)
        except Exception as error:  # one bad scene must not cost the others
            known[bare.files.id] = SceneResult(bare, "failed", _failed(bare, error))
            continue
        if record is not None and finished:
            known[job.files.id] = SceneResult(job, "unchanged", record)
        elif record is not None and has_failed_for_good(job, record) and not retry_failed:
            known[job.files.id] = SceneResult(job, "failed before", record)
        else:
            missing.append(job)
    return known, missing


def _failed(job: Job, error: Exception) -> Record:
    """What is remembered of a scene that is lost to an error.

    Raises:
        Interrupted: that is the error.
    """
    code = error.exit_code if isinstance(error, ClippanError) else 1
    return Record(job.key, "failed", error=why_lost(error), exit_code=code)


def _sharpen_all(jobs: Sequence[Job], submit: Submit, control: Control) -> dict[str, SceneResult]:
    """Have the workers do all jobs; the results by the id of the scene."""
    results: dict[str, SceneResult] = {}
    try:
        for job, found in results_of(jobs, submit, lambda job: job.files.id, control):
            record = _given_up(job, found) if isinstance(found, ResourceError) else found
            outcome: Outcome = "done" if record.status == "done" else "failed"
            results[job.files.id] = SceneResult(job, outcome, record)
            with control.warnings_of(job.files.id):
                control.warn(*record.warnings)
            if record.error:
                control.on_note(f"{job.files.id}: {record.error}")
            control.report(Progress("sharpen", len(results), len(jobs), note=job.files.id, unit="scenes"))
    except (Interrupted, ResourceError) as error:
        left = f"{len(results)} of {len(jobs)} scenes were sharpened; run the same command again to continue"
        if isinstance(error, Interrupted):
            raise Interrupted(error.signal_number, left) from error
        raise ResourceError(f"{error}; {left}") from error
    return results


def _given_up(job: Job, error: ResourceError) -> Record:
    """Remember that a scene has cost too many workers."""
    ours = may_replace(job, read_record(job))
    record = Record(job.key, "failed", ours, error=str(error), exit_code=error.exit_code)
    write_record(job, record)
    return record


def sharpen_scene(job: Job, control: Control) -> Record:
    """Sharpen a scene and remember how it went, in the process of a worker; what fails is told by the record.

    Raises:
        Interrupted: as `control` asked; nothing unfinished is left but a record that says "running".
    """
    started = time.monotonic()
    overwrite = job.options.encoding.overwrite
    try:
        overwrite = overwrite or may_replace(job, read_record(job))
        options = replace(job.options, encoding=replace(job.options.encoding, overwrite=overwrite))
        write_record(job, Record(job.key, "running", ours=overwrite))
        result = sharpen(job.files, job.read, options, control)
        record = Record(
            job.key,
            "done",
            ours=True,
            output_sha256=file_sha256(options.output),
            quicklook_sha256=file_sha256(options.quicklook) if options.quicklook else "",
            stac_sha256=file_sha256(options.stac) if options.stac else "",
            seconds=round(time.monotonic() - started, 2),
            quality=dict(result.quality.metrics) if result.quality else None,
            warnings=result.warnings,
            packages=packages_of(options),
        )
        write_record(job, record)
    except Exception as error:  # one bad scene must not cost the others
        seconds = round(time.monotonic() - started, 2)
        record = replace(_failed(job, error), ours=overwrite, seconds=seconds, warnings=tuple(control.warnings))
        with suppress(OutputError):  # where no record can be written, that may be what has failed
            write_record(job, record)
    return record
