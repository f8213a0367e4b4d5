"""The runs of a suite: a method on a scene with a seed, or an image of other code; each with a record in its folder."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from clippan_cli import __version__
from clippan_cli.bench.making import draws_at_random, key_of, make, packages_with
from clippan_cli.bench.scenes import OpenScene
from clippan_cli.bench.suite import Method, Metrics, Result, Suite, is_external
from clippan_cli.options.compute import compute_options
from clippan_cli.options.scene import read_options
from clippan_cli.quality.options import AssessOptions
from clippan_cli.report.files import write_text
from clippan_cli.running.control import Control
from clippan_cli.running.warnings import codes_of
from clippan_cli.scene.files import SceneFiles
from clippan_cli.scene.fingerprint import digest_of, file_sha256, pixels_of
from clippan_cli.tasks.assess import assess
from clippan_cli.writing.path import make_folder
from clippan_models.errors import ClippanError, InputError, OutputError, ResourceError, why_lost
from clippan_models.outside import read_json

LARGEST_RECORD = 2**20
"""Bytes."""

Kind = Literal["with truth", "without truth"]


@dataclass(frozen=True)
class Run:
    """What is to be measured.

    Attributes:
        scene: with its files.
        method: its name in the tables.
        seed: None where nothing is drawn at random.
        folder: of its image and its record.
        image: to measure: one that other code has made, or the one that this run makes.
        options: how the method makes it, or None where other code has made it.
    """

    scene: OpenScene
    method: str
    seed: int | None
    folder: Path
    image: Path
    options: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """Of a run in messages."""
        return f"{self.scene.name}, {self.method}" + ("" if self.seed is None else f", seed {self.seed}")

    @property
    def kind(self) -> Kind:
        """Of the table that it stands in."""
        return "without truth" if self.scene.truth is None else "with truth"

    @property
    def record(self) -> Path:
        """The file that remembers how it went."""
        return self.folder / "record.json"


@dataclass(frozen=True)
class Record:
    """How a run went.

    Attributes:
        key: SHA-256 of all that the figures follow from.
        metrics: every index by name; empty where it failed.
        seconds: of the method, wall time; None where other code has made the image.
        warnings: codes of what is doubtful.
        error: what failed, in a line; empty where nothing did.
        exit_code: of that failure.
        packages: of others that had a part in the image, with their versions.
    """

    key: str
    metrics: dict[str, float | None]
    seconds: float | None = None
    warnings: tuple[str, ...] = ()
    error: str = ""
    exit_code: int = 0
    packages: dict[str, str] = field(default_factory=dict)


def runs_of(suite: Suite, scenes: list[OpenScene], folder: Path, compute: Mapping[str, Any]) -> list[Run]:
    """All runs, in the order of the suite."""
    made = [run for scene in scenes for method in suite.methods for run in _runs(scene, method, folder, compute)]
    by_name = {scene.name: scene for scene in scenes}
    return made + [_given(result, by_name[result.scene], folder) for result in suite.results]


def _runs(scene: OpenScene, method: Method, folder: Path, compute: Mapping[str, Any]) -> Iterator[Run]:
    seeds: tuple[int | None, ...] = method.seeds if draws_at_random(method.method) else (None,)
    for seed in seeds:
        own = folder / "runs" / scene.name / method.name / ("" if seed is None else f"seed{seed}")
        shared = {} if is_external(method.method) else {**compute, **scene.options}
        options = {**shared, **method.options, "method": method.method}
        options |= {} if seed is None else {"seed": seed}
        yield Run(scene, method.name, seed, own, own / "fused.tif", options)


def _given(result: Result, scene: OpenScene, folder: Path) -> Run:
    return Run(scene, result.method, None, folder / "runs" / scene.name / result.method, Path(result.file))


def done(run: Run, control: Control, *, metrics: Metrics, compute: Mapping[str, Any], retry: bool) -> Record:
    """The record of a run: one of earlier, if it was made of the same, else a new one.

    Args:
        run: the run.
        control: progress and the request to stop.
        metrics: what is measured.
        compute: where to measure, by the names of the options in Python.
        retry: do not believe a failure of earlier.

    Raises:
        Interrupted: a signal asked to stop.
        OutputError: the record cannot be written.
    """
    control.check()
    make_folder(run.folder)
    key = ""
    try:
        key = _key(run, metrics)
        known = _read(run.record)
        if known is not None and known.key == key and not (known.error and _may_pass(known, retry)):
            return known
        control.on_note(run.name)
        with control.without_warnings() as warnings, control.without_facts():
            seconds = None if run.options is None else _make(run, run.options, control)
            found = _measure(run, metrics, compute, control)
        packages = {} if run.options is None else packages_with(run.options)
        record = Record(key, found, seconds, tuple(sorted(set(codes_of(warnings)))), packages=packages)
    except Exception as error:  # a method that fails must not cost the others
        told = why_lost(error)
        record = Record(key, {}, error=told, exit_code=error.exit_code if isinstance(error, ClippanError) else 1)
    return _written(run, record)


def given_up(run: Run, error: ResourceError) -> Record:
    """The record of a run that has cost too many workers; without a key, so that the next call tries it again.

    Raises:
        OutputError: the record cannot be written.
    """
    make_folder(run.folder)
    return _written(run, Record("", {}, error=str(error), exit_code=error.exit_code))


def _written(run: Run, record: Record) -> Record:
    write_text(run.record, json.dumps(asdict(record), indent=1, allow_nan=False) + "\n")
    return record


def _may_pass(record: Record, retry: bool) -> bool:
    """A full disk may be empty now; the rest would fail again."""
    return retry or record.exit_code == OutputError.exit_code


def _make(run: Run, options: Mapping[str, Any], control: Control) -> float:
    """Make the image of a run; the seconds that it took."""
    started = time.perf_counter()
    make(run.scene.files, options, run.image, control)
    return time.perf_counter() - started


def _measure(run: Run, metrics: Metrics, compute: Mapping[str, Any], control: Control) -> dict[str, float | None]:
    options = AssessOptions(
        compute=compute_options(compute),
        reference=run.scene.truth,
        peak=metrics.peak,
        border=metrics.border,
        align=metrics.align and run.scene.truth is not None,
    )
    report = assess(run.scene.files, read_options(run.scene.options), [str(run.image)], options, control)
    found = report.given[0].metrics
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def _key(run: Run, metrics: Metrics) -> str:
    """SHA-256 of the inputs of a run, its options, and the version."""
    read, truth = read_options(run.scene.options), run.scene.truth
    if run.options is None:
        made = [file_sha256(run.image), pixels_of(run.scene.files, read)]
    else:
        made = [key_of(run.scene.files, run.options)]
    parameters = {
        "version": __version__,
        "made": made,
        "read": asdict(read),
        "truth": None if truth is None else pixels_of(SceneFiles((), truth), read),
        "measured": [metrics.border, metrics.peak, metrics.align],
    }
    return digest_of(parameters)


def _read(path: Path) -> Record | None:
    """A record; None where there is none, or a damaged one."""
    try:
        return msgspec.convert(read_json(path, "a record", LARGEST_RECORD), Record)
    except (InputError, msgspec.ValidationError, UnicodeEncodeError):
        return None
