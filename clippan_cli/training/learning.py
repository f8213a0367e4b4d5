"""Train one network on the scenes of an archive, alone or as one of several processes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from clippan_cli.running.compute import limited_threads, share_heap
from clippan_cli.running.control import Control
from clippan_cli.running.distributed import process_group
from clippan_cli.running.options import ComputeOptions
from clippan_cli.running.warnings import RunWarning
from clippan_cli.scene.files import LeftOut, PairTable, ReadOptions
from clippan_cli.training.log import training_log
from clippan_cli.training.members import Member, Surveyed, find_members, survey_scenes
from clippan_cli.training.options import ArchiveOptions
from clippan_cli.training.readers import Readers
from clippan_cli.training.result import ArchiveResult
from clippan_cli.training.resume import CheckpointFile
from clippan_cli.training.session import Session
from clippan_cli.training.supervision import adapt_judge, adapt_teacher, finishing, guide_for
from clippan_cli.training.windows import archive_scenes, window_cache
from clippan_cli.weights.cards import load_fitting, with_learning
from clippan_models.adaptation.archive import split_scenes
from clippan_models.adaptation.batches import ArchiveBatches
from clippan_models.adaptation.clip_adaptation import Judge
from clippan_models.adaptation.fusion import mean_normalisation
from clippan_models.adaptation.scene import Guide
from clippan_models.adaptation.teacher import Teacher
from clippan_models.adaptation.trainer import Adapted, Trainer, new_network
from clippan_models.errors import ClippanError, Interrupted, shown
from clippan_models.networks.registry import find_fusing_backbone
from clippan_models.store.card import ModelCard
from clippan_models.store.checkpoint import Checkpoint

_MOST_READERS = 4  # they are quicker than the training


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network, before it is measured and written.

    Attributes:
        result: what is known of it.
        checkpoint: the network with its card.
        held_out: the scenes that chose its step; an archive of one scene has no other.
        compute: on what it was trained.
    """

    result: ArchiveResult
    checkpoint: Checkpoint
    held_out: tuple[Member, ...]
    compute: ComputeOptions


@dataclass(frozen=True)
class _Archive:
    """An archive that is ready for the training; `train` and `held_out` are numbers of its scenes."""

    scenes: Sequence[Surveyed]
    train: Sequence[int]
    held_out: Sequence[int]
    left_out: Sequence[LeftOut]
    initial: Checkpoint | None
    guide: Guide | None
    judge: Judge | None
    file: CheckpointFile

    def members(self, numbers: Sequence[int]) -> tuple[Member, ...]:
        return tuple(self.scenes[number].member for number in numbers)

    @property
    def bands(self) -> int:
        return len(self.scenes[0].member.card.bands)


def learn(table: PairTable, read: ReadOptions, options: ArchiveOptions, control: Control) -> TrainedNetwork:
    """Train a network on the pairs of a table; processes that torchrun has started do so together.

    Args:
        table: the pairs.
        read: how to read them.
        options: how to learn.
        control: progress, notes and the request to stop; what was learned until then is saved.

    Raises:
        ClippanError: one of its children.
    """
    share_heap()
    with (
        process_group(options.compute) as (processes, compute),
        limited_threads(compute.thread_count),
        Readers(_reader_count(options, compute)) as readers,
    ):
        session = Session(options, processes, readers, control)
        archive = _open(table, read, session)
        trainer = _trainer(archive, session)
        before = trainer.losses_by_scene()
        if archive.file.found is not None:
            trainer.resume(archive.file.found)
        with control.timed("adapt"):
            adapted = _train(trainer, archive.file, session)
        after = trainer.losses_by_scene()
    names = [member.files.id for member in archive.members(archive.held_out)]
    result = ArchiveResult(
        output=options.output,
        card=_card(archive, options, adapted),
        learned_from=tuple(member.files.id for member in archive.members(archive.train)),
        held_out={name: (before[name], after[name]) if name in before else None for name in names},
        left_out=(*table.left_out, *archive.left_out),
        adapted=adapted,
        patches=sum(len(one.survey.windows) for one in archive.scenes),
        resumed_at=archive.file.found.step if archive.file.found else 0,
        warnings=tuple(control.warnings),
    )
    normalisation = mean_normalisation([archive.scenes[n].survey.prior for n in archive.train])
    checkpoint = Checkpoint(options.adapt.backbone, archive.bands, adapted.network, normalisation, card=result.card)
    return TrainedNetwork(
        result, checkpoint, archive.members(archive.held_out), replace(options.compute, device=str(processes.device))
    )


def _open(table: PairTable, read: ReadOptions, session: Session) -> _Archive:
    """Survey the scenes, and adapt CLIP to them."""
    options, control = session.options, session.control
    members, unlike = find_members(table, read, control)
    weights, backbone = options.weights, options.adapt.backbone
    initial = None if weights is None else load_fitting(weights, members[0].card, backbone, control)
    file = CheckpointFile(session, members)
    guide = guide_for(members[0], session)
    with control.timed("scenes"):
        scenes, broken = survey_scenes(members, guide is not None, session)
    control.warn(*_doubts(scenes))
    left_out = (*unlike, *broken)
    for item in left_out:
        control.on_note(f"left out: {item.path}: {item.reason}")
    file.check_scenes([one.member.files.id for one in scenes])
    train, held_out = split_scenes(len(scenes), options.adapt.seed)
    judge = adapt_judge(guide, [scenes[number] for number in train], session)
    scenes = [replace(one, survey=replace(one.survey, images=None)) for one in scenes]  # they served the judge only
    return _Archive(scenes, train, held_out, left_out, initial, guide, judge, file)


def _doubts(scenes: Sequence[Surveyed]) -> Iterator[RunWarning]:
    """What is doubtful about the scenes; what is said of many is told once."""
    names: dict[RunWarning, list[str]] = {}
    for scene in scenes:
        for warning in scene.survey.warnings:
            names.setdefault(warning, []).append(scene.member.files.id)
    for warning, (first, *others) in names.items():
        yield warning.about(f"{first} and {len(others)} more" if others else first)


def _trainer(archive: _Archive, session: Session) -> Trainer:
    """The training of the network, after that of its teacher."""
    options, processes = session.options.adapt, session.processes
    windows = window_cache(archive.scenes, session)
    train, validation = archive_scenes(archive.scenes, windows, (archive.train, archive.held_out))
    with session.control.timed("teacher"):
        teacher = adapt_teacher(train, validation, archive.bands, session)
    priors = [one.survey.prior for one in archive.scenes]
    if archive.initial is None:
        network = new_network(find_fusing_backbone(options.backbone), archive.bands, options.seed, session.device)
    else:
        network = archive.initial.network.to(session.device)
    before = Teacher(copy.deepcopy(network).eval(), options, session.device) if options.loss.consistency else None
    windows.finish_with(finishing(priors, archive.judge, teacher, before, session.device))
    batches = ArchiveBatches(train, validation, options, processes, session.scenes_per_step)
    return Trainer(network, batches, options, archive.judge, processes)


def _train(trainer: Trainer, file: CheckpointFile, session: Session) -> Adapted:
    """Do all steps that are left; what was learned until an error or a request to stop is saved."""
    options = session.options
    try:
        with training_log(trainer, options.tensorboard, session.control.on_note) as log:

            def on_step(stage: str, step: int, steps: int, loss: float) -> None:
                log.add(loss)
                if file.save_if_due(trainer):
                    log.flush()
                session.on_step(stage, step, steps, loss)

            trainer.run(on_step)
    except Exception as stop:
        if not trainer.step:
            raise
        file.save(trainer)
        left = f"step {trainer.step} of {options.adapt.steps} is in {shown(options.checkpoint)}; --resume continues"
        if isinstance(stop, Interrupted):
            raise Interrupted(stop.signal_number, left) from stop
        if isinstance(stop, ClippanError):
            raise type(stop)(f"{stop}; {left}") from stop
        raise
    file.save(trainer)  # what follows may be stopped, and must not cost what was learned
    return trainer.result()


def _reader_count(options: ArchiveOptions, compute: ComputeOptions) -> int:
    """Processes that read the scenes."""
    if options.workers is not None:
        return options.workers
    return 0 if compute.thread_count == 1 else min(compute.thread_count, _MOST_READERS)


def _card(archive: _Archive, options: ArchiveOptions, adapted: Adapted) -> ModelCard:
    scenes = [archive.scenes[number] for number in archive.train]
    gains = torch.tensor([one.survey.observation.ms_gain for one in scenes]).mean(0).tolist()
    named = tuple(f"{one.member.files.id} ({one.member.card.scenes[0]})" for one in scenes)
    card = replace(
        scenes[0].member.card, scenes=named, mtf_gains=tuple(round(g, 4) for g in gains), licence=options.licence
    )
    return with_learning(card, options.adapt, adapted, archive.guide, archive.initial.sha256 if archive.initial else "")
