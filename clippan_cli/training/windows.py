"""The windows of an archive: read when they are needed, and as many in memory as --ram allows."""

from __future__ import annotations

from collections.abc import Sequence

from clippan_cli.training.members import Surveyed
from clippan_cli.training.session import Session
from clippan_cli.training.survey import ReadWindow, Survey
from clippan_models.adaptation.archive import ArchiveScene, strata_edges, strata_of
from clippan_models.adaptation.patches import REDUCED_SIDE, patch_bytes
from clippan_models.adaptation.scene import validation_windows
from clippan_models.adaptation.window_cache import Pending, WindowCache

_SHARE = 0.5  # of the memory, for the windows; the network needs the rest


def window_cache(surveyed: Sequence[Surveyed], session: Session) -> WindowCache:
    """The windows of all scenes, read when they are asked for."""

    def load(scene: int, window: int) -> Pending:
        member, survey = surveyed[scene].member, surveyed[scene].survey
        core = survey.windows[window]
        task = ReadWindow(member.files, member.read, core, survey.observation, survey.limits, survey.method)
        return session.readers.start(task, session.control)

    return WindowCache(load, windows_in_memory(surveyed, session.options.compute.ram_mb))


def windows_in_memory(surveyed: Sequence[Surveyed], ram_mb: int) -> int:
    """How many windows of all scenes together the memory allows for, each as large as the largest."""
    return int(_SHARE * ram_mb * 1e6 / max(window_bytes(one.survey) for one in surveyed))


def window_bytes(survey: Survey) -> float:
    """The most memory that a window of a scene takes, with a teacher's image."""
    sampling = survey.observation.sampling
    full, reduced = (patch_bytes(sampling.bands, s, sampling.ratio) for s in (survey.windows[0].height, REDUCED_SIDE))
    return full + max(survey.reduced) * reduced


def archive_scenes(
    surveyed: Sequence[Surveyed], cache: WindowCache, split: tuple[Sequence[int], Sequence[int]]
) -> tuple[list[ArchiveScene], list[ArchiveScene]]:
    """The scenes to train on and those to validate on.

    Args:
        surveyed: all scenes.
        cache: of their windows, with the same numbers.
        split: numbers of the scenes to train on, and of the held-out ones. Of a single scene, which is in both, the
            windows are split.
    """
    edges = strata_edges([detail for one in surveyed for detail in one.survey.detail])

    def scene(number: int, windows: Sequence[int]) -> ArchiveScene:
        one = surveyed[number]
        return ArchiveScene(
            one.member.files.id,
            one.survey.prior,
            cache,
            number,
            tuple(windows),
            tuple(one.survey.reduced[n] for n in windows),
            strata_of([one.survey.detail[n] for n in windows], edges),
        )

    if len(surveyed) > 1:
        train, validation = ([scene(n, range(len(surveyed[n].survey.windows))) for n in part] for part in split)
        return train, validation
    every = range(len(surveyed[0].survey.windows))
    held_out = validation_windows(len(every))
    rest = [number for number in every if number not in held_out]
    return [scene(0, rest or held_out)], [scene(0, held_out)]
