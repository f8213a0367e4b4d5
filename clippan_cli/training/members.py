"""The scenes of an archive that belong together, and what was found out about each before the training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from clippan_cli.running.control import Control, Progress
from clippan_cli.scene.estimation import TRAINING_WINDOWS
from clippan_cli.scene.files import LeftOut, PairTable, ReadOptions, SceneFiles
from clippan_cli.scene.scene import open_scene
from clippan_cli.training.session import Session
from clippan_cli.training.survey import Survey, SurveyScene
from clippan_cli.weights.cards import scene_card
from clippan_models.adaptation.options import CLASSICAL_TEACHERS
from clippan_models.adaptation.patches import training_core
from clippan_models.errors import ClippanError, InputError, Interrupted, ResourceError, in_one_line, why_lost
from clippan_models.store.card import ModelCard, mismatch

_CLIP_IMAGES = 64  # that stage I sees, of all scenes


@dataclass(frozen=True)
class Member:
    """A pair that can be learned from.

    Attributes:
        files: of the scene.
        read: how to read them.
        card: what it is.
        core: side in PAN pixels of the windows that it wants to be sampled by.
    """

    files: SceneFiles
    read: ReadOptions
    card: ModelCard
    core: int


@dataclass(frozen=True)
class Surveyed:
    """A pair that can be learned from, and what was found out about it."""

    member: Member
    survey: Survey


def find_members(table: PairTable, read: ReadOptions, control: Control) -> tuple[list[Member], list[LeftOut]]:
    """The pairs that are alike in sensor, bands, bit depth and ratio with most others, and why the rest is left out.

    Raises:
        InputError: there is none.
    """
    found: list[Member] = []
    left_out: list[LeftOut] = []
    for number, pair in enumerate(table.pairs, start=1):
        control.report(Progress("open", number, len(table.pairs), unit="scenes"))
        try:
            with ExitStack() as stack:
                scene = open_scene(pair, read, Control(stop_signal=control.stop_signal), stack)
                found.append(Member(pair, read, scene_card(scene), training_core(scene.nominal.sampling)))
        except Exception as error:  # one bad scene must not cost the others
            left_out.append(LeftOut(pair.pan, why_lost(error)))
    if not found:
        raise _nothing_to_learn_from(left_out)
    kinds = Counter((member.card.sensor, len(member.card.bands), member.card.bits) for member in found)
    (usual, _), *_ = kinds.most_common(1)
    first = next(m for m in found if (m.card.sensor, len(m.card.bands), m.card.bits) == usual)
    members = []
    for member in found:
        difference = mismatch(first.card, member.card)
        if difference is None:
            members.append(member)
        else:
            left_out.append(LeftOut(member.files.pan, f"unlike most others: {difference}"))
    return members, left_out


def survey_scenes(members: Sequence[Member], guided: bool, session: Session) -> tuple[list[Surveyed], list[LeftOut]]:
    """Survey every scene; several processes share the work, and all get all of it.

    Args:
        members: the scenes.
        guided: stage I needs images of the scenes.
        session: a classical teacher that it asks for is fitted to each scene.

    Raises:
        InputError: no scene could be read.
        ResourceError: there is too little memory to read them.
    """
    processes, control = session.processes, session.control
    numbers = range(processes.rank, len(members), processes.count)
    tasks = _survey_tasks(members, session.options.adapt.teacher, _CLIP_IMAGES if guided else 0)
    answers = [session.readers.start(tasks[number], control) for number in numbers]

    def survey() -> Iterator[Surveyed | LeftOut]:
        for done, (number, answer) in enumerate(zip(numbers, answers, strict=True), start=1):
            member = members[number]
            control.report(Progress("scenes", done, len(numbers), note=member.files.id, unit="scenes"))
            try:
                yield Surveyed(member, answer.result())
            except (Interrupted, ResourceError):
                raise
            except ClippanError as error:
                yield LeftOut(member.files.pan, in_one_line(error))

    parts = processes.gathered(processes.together(lambda: list(survey())))
    together = [parts[number % processes.count][number // processes.count] for number in range(len(members))]
    left_out = [one for one in together if isinstance(one, LeftOut)]
    surveyed = [one for one in together if isinstance(one, Surveyed)]
    if not surveyed:
        raise _nothing_to_learn_from(left_out)
    return surveyed, left_out


def _survey_tasks(members: Sequence[Member], teacher: str, images: int) -> list[SurveyScene]:
    """A task for each scene; `images` for stage I come evenly from all."""
    core = max(member.core for member in members)
    classical = teacher if teacher in CLASSICAL_TEACHERS else None
    shown = {round(number * len(members) / images) for number in range(images)} if images else set()
    each = max(1, images // len(members))
    return [
        SurveyScene(
            member.files,
            member.read,
            core,
            TRAINING_WINDOWS,
            classical,
            each if number in shown else 0,
            alone=len(members) == 1,
        )
        for number, member in enumerate(members)
    ]


def _nothing_to_learn_from(left_out: Sequence[LeftOut]) -> InputError:
    return InputError(f"there is no scene to learn from; {left_out[0].path}: {left_out[0].reason}")
