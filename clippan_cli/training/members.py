"""The scenes of an archive made ready to learn from: those that belong together, each in windows that can be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from clippan_cli.running.control import Control, Progress
from clippan_cli.scene.files import LeftOut, PairTable, ReadOptions, SceneFiles
from clippan_cli.scene.scene import TRAINING_WINDOWS, open_scene
from clippan_cli.training.readers import Readers
from clippan_cli.training.survey import ReadWindow, Survey, SurveyScene
from clippan_cli.weights.cards import scene_card
from clippan_models.adaptation.archive import ArchiveScene, strata_edges, strata_of
from clippan_models.adaptation.patches import patch_bytes
from clippan_models.adaptation.processes import Processes
from clippan_models.adaptation.scene import REDUCED_SIDE, held_windows
from clippan_models.adaptation.teacher import CLASSICAL_TEACHERS
from clippan_models.adaptation.window_cache import Pending, SceneWindows, WindowCache
from clippan_models.adaptation.windows import training_core
from clippan_models.errors import ClippanError, InputError, Interrupted, ResourceError, in_one_line
from clippan_models.store.card import ModelCard, mismatch

_SHARE = 0.5  # of --ram for the windows; the rest is for the network at work
_JUDGED_IMAGES = 64  # that stage I sees, of all scenes


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


@dataclass(frozen=True)
class Ready:
    """A scene with windows that can be read.

    Attributes:
        train: to learn from.
        held: to validate on; the same but where there is one scene only, whose windows are parted.
    """

    train: ArchiveScene
    held: ArchiveScene


def find_members(table: PairTable, read: ReadOptions, control: Control) -> tuple[list[Member], list[LeftOut]]:
    """The pairs that are alike in sensor, bands, bit depth and ratio with most others, and why the rest is left out.

    Raises:
        InputError: there is none.
    """
    found: list[Member] = []
    left_out: list[LeftOut] = []
    for number, pair in enumerate(table.pairs, start=1):
        control.report(Progress("open", number, len(table.pairs)))
        try:
            with ExitStack() as stack:
                scene = open_scene(pair, read, Control(stop_signal=control.stop_signal), stack)
                found.append(Member(pair, read, scene_card(scene), training_core(scene.nominal.sampling)))
        except Interrupted:
            raise
        except ClippanError as error:
            left_out.append(LeftOut(pair.pan, in_one_line(error)))
    if not found:
        raise InputError(f"no scene can be learned from; {left_out[0].path}: {left_out[0].reason}")
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


def windows_in_memory(surveyed: Sequence[Surveyed], ram_mb: int) -> int:
    """How many windows of all scenes together the memory allows for, as large as the largest."""
    return int(_SHARE * ram_mb * 1e6 / max(window_bytes(one.survey) for one in surveyed))


def window_bytes(survey: Survey) -> float:
    """Most that a window of a scene takes, with a teacher's image."""
    sampling = survey.observation.sampling
    full, reduced = (patch_bytes(sampling.bands, s, sampling.ratio) for s in (survey.windows[0].height, REDUCED_SIDE))
    return full + max(survey.reduced) * reduced


def survey_scenes(
    members: Sequence[Member],
    teacher: str,
    guided: bool,
    readers: Readers,
    processes: Processes,
    control: Control,
) -> tuple[list[Surveyed], list[LeftOut]]:
    """Survey every scene; several processes share the work, and all get all of it.

    Args:
        members: the scenes.
        teacher: a classical one is fitted to each scene; any other name is none.
        guided: stage I will look at the scenes.
        readers: do the work.
        processes: share it.
        control: progress and the request to stop.

    Raises:
        InputError: no scene could be read.
        ResourceError: there is too little memory to read them.
    """
    numbers = range(processes.rank, len(members), processes.count)
    tasks = _survey_tasks(members, teacher, _JUDGED_IMAGES if guided else 0)
    answers = [readers.start(tasks[number], control) for number in numbers]

    def survey() -> Iterator[Surveyed | LeftOut]:
        for done, (number, answer) in enumerate(zip(numbers, answers, strict=True), start=1):
            member = members[number]
            control.report(Progress("scenes", done, len(numbers), note=member.files.id))
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
        raise InputError(f"no scene can be learned from; {left_out[0].path}: {left_out[0].reason}")
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


def make_ready(surveyed: Sequence[Surveyed], cache: WindowCache) -> list[Ready]:
    """The scenes, to learn from and to validate on, with windows from a cache that counts them alike."""
    edges = strata_edges([detail for one in surveyed for detail in one.survey.detail])
    return [_ready(number, one, edges, cache, alone=len(surveyed) == 1) for number, one in enumerate(surveyed)]


def window_cache(surveyed: Sequence[Surveyed], readers: Readers, capacity: int, control: Control) -> WindowCache:
    """The windows of all scenes, read when they are asked for; `control` may stop the waiting for one."""

    def load(scene: int, window: int) -> Pending:
        one = surveyed[scene]
        survey = one.survey
        return readers.start(
            ReadWindow(one.member.files, one.member.read, survey.windows[window], survey.observation, survey.method),
            control,
        )

    return WindowCache(load, capacity)


def _ready(number: int, one: Surveyed, edges: Sequence[float], cache: WindowCache, *, alone: bool) -> Ready:
    every = range(len(one.survey.windows))
    held = held_windows(len(every)) if alone else every
    train = [number for number in every if number not in held] if alone else every

    def some(chosen: Sequence[int]) -> ArchiveScene:
        return ArchiveScene(
            one.member.files.id,
            one.survey.prior,
            SceneWindows(cache, number, tuple(chosen)),
            tuple(one.survey.reduced[n] for n in chosen),
            strata_of([one.survey.detail[n] for n in chosen], edges),
        )

    return Ready(some(train or held), some(held))
