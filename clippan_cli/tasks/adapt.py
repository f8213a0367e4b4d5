"""Learn from an archive of one sensor: weights for `sharpen --weights`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from clippan_cli import __version__
from clippan_cli.batch.record import chosen_clip, digest_of, file_sha256, pixels_of
from clippan_cli.running.compute import limited_threads
from clippan_cli.running.control import Control, Progress
from clippan_cli.running.distributed import is_first, joined
from clippan_cli.running.options import ComputeOptions
from clippan_cli.scene.files import LeftOut, PairTable, ReadOptions
from clippan_cli.sharpening.options import bare_sharpening
from clippan_cli.training.log import check_training_log, training_log
from clippan_cli.training.members import (
    Member,
    Surveyed,
    find_members,
    make_ready,
    survey_scenes,
    window_cache,
    windows_in_memory,
)
from clippan_cli.training.options import ArchiveOptions, ValidationOptions
from clippan_cli.training.readers import Readers
from clippan_cli.training.supervision import adapt_judge, adapt_teacher, finishing, guide_for
from clippan_cli.training.validation import Validation, validate
from clippan_cli.weights.cards import check_weights_path, with_learning, write_weights
from clippan_cli.writing.path import check_output_path
from clippan_models.adaptation.archive import ArchiveRun, ArchiveScene, split_scenes
from clippan_models.adaptation.loop import Adapted
from clippan_models.adaptation.processes import Processes
from clippan_models.adaptation.scene import Guide, new_network
from clippan_models.errors import (
    ClippanError,
    InputError,
    Interrupted,
    OutputError,
    UsageError,
    WeightsError,
    in_one_line,
    shown,
)
from clippan_models.networks.registry import find_fusing_backbone
from clippan_models.plain import plain
from clippan_models.store.card import ModelCard, mismatch
from clippan_models.store.checkpoint import Checkpoint, Normalisation, load_checkpoint
from clippan_models.store.snapshot import Progressed, load_snapshot, save_snapshot

_MOST_READERS = 4  # they are quicker than what learns from them
_KEY_SEPARATOR = "/"

SCHEMA = "clippan.adapt/1"
"""Name and version of the JSON."""


@dataclass(frozen=True)
class ArchiveResult:
    """What was learned.

    Attributes:
        output: the file of weights.
        card: what it says of itself.
        learned_from: names of the scenes.
        held_back: validation of each scene held back, before and after; None for those that did not choose the step.
        left_out: files that nothing was learned from, and why.
        adapted: how it went.
        patches: how many, of all scenes.
        resumed_at: the step of the snapshot that it went on from; 0 without.
        validation: what the weights make of the scenes held back, beside other methods, where it was asked for.
    """

    output: Path
    card: ModelCard
    learned_from: tuple[str, ...]
    held_back: dict[str, tuple[float, float] | None]
    left_out: tuple[LeftOut, ...]
    adapted: Adapted
    patches: int
    resumed_at: int
    validation: Validation | None = None

    @property
    def losses(self) -> dict[str, tuple[float, float]]:
        """The validation of each scene that chose the step."""
        return {name: found for name, found in self.held_back.items() if found is not None}

    def as_json(self) -> dict[str, Any]:
        """Plain data with everything a human is shown."""
        return {
            "schema": SCHEMA,
            "output": str(self.output),
            "card": plain(self.card),
            "learned_from": list(self.learned_from),
            "held_back": {
                name: found and {"before": found[0], "after": found[1]} for name, found in self.held_back.items()
            },
            "left_out": [asdict(item) for item in self.left_out],
            "patches": self.patches,
            "steps": self.adapted.steps,
            "best_step": self.adapted.best_step,
            "stopped": self.adapted.stopped,
            "seconds": round(self.adapted.seconds, 1),
            "resumed_at": self.resumed_at,
            "curve": [{"step": p.step, "total": p.total, **p.parts} for p in self.adapted.curve],
            "validation": self.validation.as_json() if self.validation else None,
        }


@dataclass(frozen=True)
class _Trained:
    result: ArchiveResult
    checkpoint: Checkpoint
    held: tuple[Member, ...]
    compute: ComputeOptions


def adapt_archive(
    table: PairTable, read: ReadOptions, options: ArchiveOptions, control: Control | None = None
) -> ArchiveResult:
    """Learn from the pairs of a table.

    Args:
        table: the pairs.
        read: how to read them.
        options: how to learn.
        control: progress, notes and the request to stop; what was learned until then is saved.

    Raises:
        ClippanError: one of its children; the output is then as it was before.
    """
    control = control or Control()
    _check(options, table)
    trained = _train(table, read, options, control)  # its patches are let go of: what follows needs the memory
    if not is_first():
        return trained.result
    result, checkpoint = trained.result, trained.checkpoint
    if options.validation is not None:
        result = replace(result, validation=_validate(trained, options, options.validation, control))
    if result.validation is not None:
        card = replace(result.card, validation={**result.card.validation, **result.validation.for_card()})
        result, checkpoint = replace(result, card=card), replace(checkpoint, card=card)
    write_weights(checkpoint, options.output)
    options.snapshot.unlink(missing_ok=True)
    return result


def _train(table: PairTable, read: ReadOptions, options: ArchiveOptions, control: Control) -> _Trained:
    """Everything that the processes do together."""
    with (
        joined(options.compute) as (processes, compute),
        limited_threads(compute.thread_count),
        ExitStack() as stack,
    ):
        device = processes.device
        members, unlike = find_members(table, read, control)
        start = _starting_point(options, members)
        bands, scenes_per_step = len(members[0].card.bands), _scenes_per_step(options, processes)
        key = _key(members, options, scenes_per_step)
        waiting = _waiting(options, key)
        if not processes.agree(int(digest_of({"key": key.options, "step": waiting and waiting.step})[:15], 16)):
            raise InputError("the processes do not see the same archive and snapshot: all need the same files")
        guide = guide_for(members[0], options.guidance, options.adapt, device, control)
        readers = stack.enter_context(Readers(_readers(options, compute)))
        with control.timed("scenes"):
            surveyed, broken = survey_scenes(
                members, options.adapt.teacher, guide is not None, readers, processes, control
            )
        for item in (*unlike, *broken):
            control.on_note(f"left out: {item.path}: {item.reason}")
        scenes = [one.member.files.id for one in surveyed]
        key = replace(key, scenes=digest_of({"scenes": scenes}))
        _check_scenes(waiting, key, options, scenes)
        train_numbers, held_numbers = split_scenes(len(surveyed), options.adapt.seed)
        judge = adapt_judge(guide, [surveyed[n] for n in train_numbers], device, control)
        surveyed = [replace(one, survey=replace(one.survey, images=None)) for one in surveyed]  # lets go of them
        windows = window_cache(surveyed, readers, windows_in_memory(surveyed, options.compute.ram_mb), control)
        ready = make_ready(surveyed, windows)
        train, held = [ready[n].train for n in train_numbers], [ready[n].held for n in held_numbers]
        with control.timed("teacher"):
            teacher = adapt_teacher(train, held, options.adapt, bands, processes, scenes_per_step, control)
        windows.finish_with(finishing([one.survey.prior for one in surveyed], judge, teacher, device))
        backbone = find_fusing_backbone(options.adapt.backbone)
        network = start.network.to(device) if start else new_network(backbone, bands, options.adapt.seed, device)
        run = ArchiveRun(network, train, held, options.adapt, device, judge, processes, scenes_per_step)
        before = run.per_scene()
        if waiting is not None:
            run.resume(waiting.progress)
        with control.timed("adapt"):
            adapted = _learn(run, options, key, waiting.progress.seconds if waiting else 0.0, control)
        after = run.per_scene()
        card = _card([surveyed[n] for n in train_numbers], options, adapted, guide, start.sha256 if start else "")
        checkpoint = Checkpoint(backbone.name, bands, adapted.network, _normalisation(train), card=card)
    held_members = tuple(surveyed[n].member for n in held_numbers)
    names = [member.files.id for member in held_members]
    result = ArchiveResult(
        output=options.output,
        card=card,
        learned_from=tuple(surveyed[n].member.files.id for n in train_numbers),
        held_back={name: (before[name], after[name]) if name in before else None for name in names},
        left_out=(*table.left_out, *unlike, *broken),
        adapted=adapted,
        patches=sum(len(one.survey.windows) for one in surveyed),
        resumed_at=waiting.step if waiting else 0,
    )
    return _Trained(result, checkpoint, held_members, replace(options.compute, device=str(device)))


def _validate(trained: _Trained, options: ArchiveOptions, how: ValidationOptions, control: Control) -> Validation:
    base = replace(
        bare_sharpening(options.output, "network", trained.compute),
        adapt=options.adapt,
        guidance=options.guidance,
        weights=options.weights,
    )
    unseen = not {member.files.id for member in trained.held} & set(trained.result.learned_from)
    try:
        return validate(trained.held, trained.checkpoint, base, how, control, unseen=unseen)
    except Interrupted as stop:
        left = f"all that was learned is in {shown(options.snapshot)}; --resume measures it, and writes the weights"
        raise Interrupted(stop.signal_number, left) from stop
    except Exception as error:  # whatever it is, it must not cost what was learned
        reason = in_one_line(error)
        control.on_note(f"the weights are not measured: {reason}")
        left_out = tuple(LeftOut(member.files.id, reason) for member in trained.held)
        return Validation((), len(trained.held), unseen, how.scratch_steps, left_out)


def _check(options: ArchiveOptions, table: PairTable) -> None:
    inputs = [Path(name) for pair in table.pairs for name in pair.names]
    others = [*inputs, *([options.weights] if options.weights else [])]
    check_weights_path(options.output, others, overwrite=options.overwrite)
    check_output_path(options.snapshot, inputs, overwrite=True)
    check_training_log(options.tensorboard)
    if options.snapshot.exists() and not options.resume and not options.overwrite:
        raise OutputError(
            f"{shown(options.snapshot)} waits to be gone on with: add --resume, or --overwrite to begin anew"
        )


def _starting_point(options: ArchiveOptions, members: Sequence[Member]) -> Checkpoint | None:
    if options.weights is None:
        return None
    start = load_checkpoint(options.weights)
    if start.backbone != options.adapt.backbone:
        raise WeightsError(f"{options.weights} holds the backbone {start.backbone}, not {options.adapt.backbone}")
    difference = None if start.card is None else mismatch(start.card, members[0].card)
    if start.bands != len(members[0].card.bands):
        difference = f"they are for {start.bands} MS bands, but the scenes have {len(members[0].card.bands)}"
    if difference is not None:
        raise WeightsError(f"the weights {options.weights} do not fit: {difference}")
    return start


def _scenes_per_step(options: ArchiveOptions, processes: Processes) -> int:
    chosen = processes.count if options.scenes_per_step is None else options.scenes_per_step
    if chosen < 1 or chosen % processes.count:
        raise UsageError(f"--scenes-per-step {chosen}: needs a multiple of the {processes.count} processes")
    return chosen


@dataclass(frozen=True)
class _Key:
    """Of all that the weights follow from.

    Attributes:
        options: the files, how they are read, how to learn, and the version.
        scenes: those that could be read; empty until that is known.
    """

    options: str
    scenes: str = ""


def _key(members: Sequence[Member], options: ArchiveOptions, scenes_per_step: int) -> _Key:
    used = [options.weights, Path(options.guidance.clip)]
    found = digest_of(
        {
            "version": __version__,
            "scenes": [[m.files.id, asdict(m.read), pixels_of(m.files, m.read)] for m in members],
            "adapt": asdict(replace(options.adapt, time_limit=None)),
            "guidance": asdict(options.guidance),
            "clip": chosen_clip(options.guidance),
            "scenes_per_step": scenes_per_step,
            "files": [file_sha256(path) for path in used if path is not None and path.is_file()],
        }
    )
    return _Key(found)


@dataclass(frozen=True)
class _Waiting:
    """A training that was broken off."""

    progress: Progressed
    key: _Key

    @property
    def step(self) -> int:
        return self.progress.step


def _waiting(options: ArchiveOptions, key: _Key) -> _Waiting | None:
    """The training that was broken off, if it is to go on."""
    if not options.resume or not options.snapshot.exists():
        return None
    progress, text = load_snapshot(options.snapshot)
    theirs = _Key(*text.split(_KEY_SEPARATOR, 1))
    if theirs.options != key.options and not options.force:
        raise InputError(
            f"the archive or the options have changed since {shown(options.snapshot)}: "
            "give those of before, or add --force to go on with the new ones, or --overwrite to begin anew"
        )
    return _Waiting(progress, theirs)


def _check_scenes(waiting: _Waiting | None, key: _Key, options: ArchiveOptions, scenes: Sequence[str]) -> None:
    if waiting is not None and waiting.key.scenes != key.scenes and not options.force:
        raise InputError(
            f"not the same scenes can be read as when {shown(options.snapshot)} was written, but {', '.join(scenes)}: "
            "mend the others, or add --force to go on with these, or --overwrite to begin anew"
        )


def _readers(options: ArchiveOptions, compute: ComputeOptions) -> int:
    """Processes that read the scenes."""
    if options.workers is not None:
        return options.workers
    return 0 if compute.thread_count == 1 else min(compute.thread_count, _MOST_READERS)


def _learn(run: ArchiveRun, options: ArchiveOptions, key: _Key, spent: float, control: Control) -> Adapted:
    """Do all steps that are left; a request to stop saves what was learned."""
    started = saved = time.monotonic()
    try:
        with training_log(run, options.tensorboard, control.on_note) as log:
            while not run.finished:
                loss = run.advance()
                log.add(loss)
                control.stop_signal = run.processes.largest(control.stop_signal or 0) or None
                now = time.monotonic()
                if now - saved >= options.snapshot_seconds:
                    _save(run, options, key, spent + now - started)
                    log.flush()
                    saved = now
                control.report(Progress("adapt", run.step, options.adapt.steps, note=f"loss {loss:.4f}"))
                limit = options.adapt.time_limit
                late = limit is not None and now - started > limit
                if run.processes.largest(late) and not run.finished:
                    run.stop("time limit")
    except Exception as stop:
        _save(run, options, key, spent + time.monotonic() - started)
        left = f"step {run.step} of {options.adapt.steps} is in {options.snapshot}; --resume goes on"
        if isinstance(stop, Interrupted):
            raise Interrupted(stop.signal_number, left) from stop
        if isinstance(stop, ClippanError):
            raise type(stop)(f"{stop}; {left}") from stop
        raise
    seconds = spent + time.monotonic() - started
    _save(run, options, key, seconds)  # what follows may be stopped, and must not cost what was learned
    return run.result(seconds)


def _save(run: ArchiveRun, options: ArchiveOptions, key: _Key, seconds: float) -> None:
    if run.processes.rank:
        return
    try:
        save_snapshot(run.progress(seconds), f"{key.options}{_KEY_SEPARATOR}{key.scenes}", options.snapshot)
    except OSError as error:
        raise OutputError(f"cannot write {shown(options.snapshot)}: {error.strerror or error}") from error


def _card(
    scenes: Sequence[Surveyed],
    options: ArchiveOptions,
    adapted: Adapted,
    guide: Guide | None,
    started_from: str,
) -> ModelCard:
    gains = torch.tensor([one.survey.observation.ms_gain for one in scenes]).mean(0).tolist()
    named = tuple(f"{one.member.files.id} ({one.member.card.scenes[0]})" for one in scenes)
    card = replace(
        scenes[0].member.card, scenes=named, mtf_gains=tuple(round(g, 4) for g in gains), licence=options.licence
    )
    return with_learning(card, options.adapt, adapted, guide, started_from)


def _normalisation(scenes: Sequence[ArchiveScene]) -> Normalisation:
    """The mean over the scenes of their own; for the record only."""
    priors = [scene.prior for scene in scenes]
    mean = torch.stack([p.ms_mean.flatten() for p in priors]).mean(0).tolist()
    std = torch.stack([p.ms_std.flatten() for p in priors]).mean(0).tolist()
    count = len(priors)
    return Normalisation(
        tuple(mean), tuple(std), sum(p.pan_mean for p in priors) / count, sum(p.pan_std for p in priors) / count
    )
