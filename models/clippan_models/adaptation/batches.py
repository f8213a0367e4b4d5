"""The patches of each step of a training: of one scene in memory, or of windows of many scenes from a cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Protocol

import torch

from clippan_models.adaptation.archive import ArchiveScene, evenly
from clippan_models.adaptation.fusion import Prior
from clippan_models.adaptation.options import AdaptOptions
from clippan_models.adaptation.patches import Patches, ScenePatches, draw, virtual_pairs
from clippan_models.adaptation.processes import ALONE, Processes
from clippan_models.errors import UsageError

_REDUCED_PER_FULL = 4  # patches at reduced resolution for each at full resolution; they are small

_VALIDATION_SCENES, _VALIDATION_WINDOWS = 16, 8  # used in every validation

_PREFETCHED_STEPS = 16

_FARTHEST = 2  # PAN pixels by which virtual pairs are moved

_VALIDATION_SHIFT = (1, -2)

_Orientation = tuple[bool, bool, bool]


@dataclass(frozen=True)
class Batch:
    """Patches of one scene, for a step or a validation.

    Attributes:
        prior: of the scene.
        patches: at both resolutions.
        scene: name of the scene; empty where there is no other.
        representative: patches from all over the scene, whose statistics the network uses in a validation; None:
            `patches.full`.
    """

    prior: Prior
    patches: ScenePatches
    scene: str = ""
    representative: Patches | None = None


class Batches(Protocol):
    """Where a training takes its patches from."""

    def of_step(self, step: int) -> list[Batch]:
        """The batches of this process in a step, counted from 1; steps are asked for in order, some may be left out.

        Raises:
            ClippanError: patches cannot be read.
        """

    def validation(self) -> Iterator[Batch]:
        """The validation patches, one batch per scene.

        Raises:
            ClippanError: patches cannot be read.
        """


@dataclass(frozen=True)
class TrainingSet:
    """What a network learns from on a single scene, all on one device.

    Attributes:
        prior: of the scene.
        train: patches to learn from.
        validation: held-out patches, which choose the best step.
    """

    prior: Prior
    train: ScenePatches
    validation: ScenePatches

    def with_full(self, add: Callable[[Patches], Patches]) -> TrainingSet:
        """The same with something added to all patches at full resolution."""
        train, validation = (replace(part, full=add(part.full)) for part in (self.train, self.validation))
        return replace(self, train=train, validation=validation)


class SceneBatches:
    """Patches of one scene, drawn by one generator from step to step."""

    def __init__(self, training_set: TrainingSet, options: AdaptOptions) -> None:
        """Begin before step 1."""
        self._set, self._options = training_set, options
        self._generator = torch.Generator().manual_seed(options.seed)
        self._step = 0

    def of_step(self, step: int) -> list[Batch]:
        """See `Batches`. Steps that are left out are drawn too, so that a batch follows from seed and step alone."""
        for _ in range(self._step + 1, step):
            self._draw()
        self._step = step
        return [Batch(self._set.prior, self._draw())]

    def validation(self) -> Iterator[Batch]:
        """See `Batches`."""
        yield Batch(self._set.prior, _validated(self._set.validation), representative=self._set.train.full)

    def _draw(self) -> ScenePatches:
        train, count = self._set.train, self._options.patches_per_step
        full = train.full.take(draw(len(train.full), count, self._generator))
        reduced = None
        if train.reduced is not None and self._options.loss.reduced:
            reduced = train.reduced.take(draw(len(train.reduced), _REDUCED_PER_FULL * count, self._generator))
            reduced = reduced.turned(*_draw_orientation(self._generator))
        return ScenePatches(full, reduced, _draw_again(full, self._generator))


@dataclass(frozen=True)
class _Draw:
    """What a step takes from one scene of an archive.

    Attributes:
        scene: the scene.
        windows: numbers of the windows at full resolution.
        reduced: numbers of the patches at reduced resolution.
        orientation: how the latter, and virtual pairs, are turned.
        shift: by how much virtual pairs are moved.
    """

    scene: ArchiveScene
    windows: tuple[int, ...]
    reduced: tuple[int, ...]
    orientation: _Orientation
    shift: tuple[int, int]

    def batch(self) -> Batch:
        """The patches."""
        patches = self.scene.patches(self.windows, self.reduced)
        if patches.reduced is not None:
            patches = replace(patches, reduced=patches.reduced.turned(*self.orientation))
        if patches.full.before is not None:
            again = virtual_pairs(patches.full.turned(*self.orientation), self.shift)
            patches = replace(patches, again=again)
        return Batch(self.scene.prior, patches, self.scene.name)


class ArchiveBatches:
    """Patches of many scenes.

    A batch is of one scene. All scenes have equally many batches, whatever their size, and within a scene all strata
    of detail are drawn equally often, so that rare content counts. What a batch holds follows from the seed and its
    number alone: a resumed training does what an unbroken one does, several processes what one does, and windows are
    prefetched.
    """

    def __init__(
        self,
        train: Sequence[ArchiveScene],
        validation: Sequence[ArchiveScene],
        options: AdaptOptions,
        processes: Processes = ALONE,
        batches_per_step: int = 1,
    ) -> None:
        """Begin; the processes share the batches of a step evenly, see `share_batches`."""
        self._train, self._options, self._processes = train, options, processes
        self._validation = [
            validation[n].sampled(_VALIDATION_WINDOWS) for n in evenly(len(validation), _VALIDATION_SCENES)
        ]
        self._per_step = batches_per_step
        self._drawn: dict[int, _Draw] = {}

    def of_step(self, step: int) -> list[Batch]:
        """See `Batches`."""
        self._prefetch(step)
        return [(self._drawn.pop(number, None) or self._draw(number)).batch() for number in self._numbers(step)]

    def validation(self) -> Iterator[Batch]:
        """See `Batches`; the windows of the next scene are loaded meanwhile."""
        for scene, following in zip_longest(self._validation, self._validation[1:]):
            if following is not None and len(following.windows) <= following.cache.room:
                following.prefetch(range(len(following.windows)))
            reduced = evenly(sum(scene.reduced), _REDUCED_PER_FULL * _VALIDATION_WINDOWS)
            yield Batch(scene.prior, _validated(scene.patches(range(len(scene.windows)), reduced)), scene.name)

    def _numbers(self, step: int) -> list[int]:
        """The batches of this process in a step; batches are counted from 1 throughout the training."""
        mine = range(self._processes.rank, self._per_step, self._processes.count)
        return [(step - 1) * self._per_step + number + 1 for number in mine]

    def _prefetch(self, step: int) -> None:
        """Begin to load the windows of this and the next steps, as many as there is room for."""
        room = self._train[0].cache.room
        for coming in range(step, min(step + _PREFETCHED_STEPS - 1, self._options.steps) + 1):
            for number in self._numbers(coming):
                drawn = self._drawn.get(number) or self._draw(number)
                room -= len(drawn.windows) + len(drawn.reduced)
                if room < 0:
                    return
                drawn.scene.prefetch(drawn.windows, drawn.reduced)
                self._drawn[number] = drawn

    def _draw(self, number: int) -> _Draw:
        """What a batch takes: windows from strata, patches with a truth from all over a scene."""
        generator = _generator(self._options.seed, "step", number)
        scene, count = self._train[self._scene_of(number)], self._options.patches_per_step
        windows = _from_strata(scene.strata, count, generator)
        reduced: list[int] = []
        if self._options.loss.reduced:
            reduced = draw(sum(scene.reduced), _REDUCED_PER_FULL * count, generator).tolist()
        return _Draw(scene, tuple(windows), tuple(reduced), _draw_orientation(generator), _draw_shift(generator))

    def _scene_of(self, number: int) -> int:
        """Which scene a batch is of: each round has every scene once, in another order."""
        turn, place = divmod(number - 1, len(self._train))
        generator = _generator(self._options.seed, "round", turn)
        return int(torch.randperm(len(self._train), generator=generator)[place])


def share_batches(wanted: int | None, processes: Processes) -> int:
    """How many batches a step has: as many as wanted, or one for each process.

    Raises:
        UsageError: the processes cannot share so many evenly.
    """
    count = processes.count if wanted is None else wanted
    if count < 1 or count % processes.count:
        raise UsageError(f"{count}: a multiple of the {processes.count} processes is needed", "scenes_per_step")
    return count


def _draw_again(full: Patches, generator: torch.Generator) -> Patches | None:
    """Virtual pairs of patches, in one of eight orientations."""
    if full.before is None:
        return None
    return virtual_pairs(full.turned(*_draw_orientation(generator)), _draw_shift(generator))


def _draw_shift(generator: torch.Generator) -> tuple[int, int]:
    """PAN pixels by which virtual pairs are moved."""
    down, right = torch.randint(-_FARTHEST, _FARTHEST + 1, (2,), generator=generator).tolist()
    return down, right


def _validated(patches: ScenePatches) -> ScenePatches:
    """Validation patches with virtual pairs, the same in every validation."""
    full = patches.full
    return patches if full.before is None else replace(patches, again=virtual_pairs(full, _VALIDATION_SHIFT))


def _draw_orientation(generator: torch.Generator) -> _Orientation:
    """One of eight for patches with a truth: small scenes have few, which networks would learn by heart."""
    flip_rows, flip_cols, transpose = (bool(coin) for coin in torch.randint(2, (3,), generator=generator))
    return flip_rows, flip_cols, transpose


def _generator(seed: int, purpose: str, number: int) -> torch.Generator:
    """A generator for one purpose and number: a checkpoint needs to hold nothing of it."""
    digest = hashlib.sha256(f"{seed} {purpose} {number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def _from_strata(strata: Sequence[Sequence[int]], count: int, generator: torch.Generator) -> list[int]:
    """Windows one by one from strata in turn, beginning with any."""
    begin = int(torch.randint(len(strata), (), generator=generator))
    chosen: list[int] = []
    for turn in range(count):
        members = [m for m in strata[(begin + turn) % len(strata)] if m not in chosen]
        if members:
            chosen.append(members[int(torch.randint(len(members), (), generator=generator))])
    return chosen or [strata[begin][0]]
