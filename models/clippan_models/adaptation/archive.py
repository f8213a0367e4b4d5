"""Train one network on many scenes, so that it serves scenes of their sensor that it has not seen.

Every scene keeps its own prior and normalisation. A step takes its patches from one scene, all scenes equally often
whatever their size, and within it from all strata of detail equally, so that rare content is seen. Scenes held back
choose the checkpoint. What a step draws follows from the seed and its number alone: a run that goes on from a snapshot
does what one without a break does, several processes what one does, and windows are asked for before they are needed.
"""

from __future__ import annotations

import copy
import hashlib
import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, zip_longest

import torch
from torch import Tensor, nn

from clippan_models.adaptation.clip_adaptation import Judge
from clippan_models.adaptation.fusion import Prior
from clippan_models.adaptation.loop import (
    Adapted,
    Objective,
    descend,
    deterministic,
    nothing_to_learn,
    set_rate,
)
from clippan_models.adaptation.options import AdaptOptions
from clippan_models.adaptation.patches import Patches, join_patches
from clippan_models.adaptation.processes import ALONE, Processes
from clippan_models.adaptation.window_cache import SceneWindows
from clippan_models.errors import UsageError
from clippan_models.store.snapshot import CurvePoint, Progressed

STRATA = 4

_HELD_SCENES, _HELD_WINDOWS = 16, 8  # looked at in every validation
_AHEAD = 16  # steps for which windows are asked for early


@dataclass(frozen=True)
class ArchiveScene:
    """A scene to learn from.

    Attributes:
        name: for messages.
        prior: of the scene, on the CPU.
        windows: where its patches come from, on the CPU.
        reduced: how many patches with a truth each window has; they are counted on from window to window.
        strata: numbers of the windows by how much detail they hold; none is empty.
    """

    name: str
    prior: Prior
    windows: SceneWindows
    reduced: tuple[int, ...]
    strata: tuple[tuple[int, ...], ...]

    def full(self, windows: Sequence[int]) -> Patches:
        """The patches at full resolution of these windows."""
        return join_patches([window.full for window in self.windows.take(windows)])

    def reduced_patches(self, numbers: Sequence[int]) -> Patches | None:
        """The patches with a truth of these numbers; None of none."""
        if not numbers:
            return None
        places, before = self.windows_of(numbers), [0, *accumulate(self.reduced)]
        parts = []
        for number, place, window in zip(numbers, places, self.windows.take(places), strict=True):
            if window.reduced is None:
                raise ValueError(f"window {place} of {self.name} has no patches with a truth")
            parts.append(window.reduced.take(torch.tensor([number - before[place]])))
        return join_patches(parts)

    def windows_of(self, reduced: Sequence[int]) -> list[int]:
        """Which windows hold the patches with a truth of these numbers."""
        ends = list(accumulate(self.reduced))
        return [bisect_right(ends, number) for number in reduced]

    def held(self) -> ArchiveScene:
        """The scene with few windows, evenly from all, for validation."""
        chosen = _evenly(len(self.windows), _HELD_WINDOWS).tolist()
        return replace(
            self,
            windows=self.windows.only(chosen),
            reduced=tuple(self.reduced[number] for number in chosen),
            strata=(tuple(range(len(chosen))),),
        )


@dataclass(frozen=True)
class _Draw:
    """What a step takes from one scene; `generator` is for what else it draws."""

    scene: ArchiveScene
    windows: tuple[int, ...]
    reduced: tuple[int, ...]
    generator: torch.Generator

    def expect(self) -> None:
        """Ask for the windows early."""
        self.scene.windows.expect([*self.windows, *self.scene.windows_of(self.reduced)])


@dataclass(frozen=True)
class _Lot:
    """The patches of a draw."""

    scene: ArchiveScene
    full: Patches
    reduced: Patches | None
    generator: torch.Generator


class ArchiveRun:
    """A training that can be broken off after any step, and go on.

    run = ArchiveRun(network, train, held, options, device)
    while not run.finished:
        loss = run.advance()
    adapted = run.result(seconds)
    """

    def __init__(
        self,
        network: nn.Module,
        train: Sequence[ArchiveScene],
        held: Sequence[ArchiveScene],
        options: AdaptOptions,
        device: torch.device,
        judge: Judge | None = None,
        processes: Processes = ALONE,
        scenes_per_step: int | None = None,
    ) -> None:
        """Begin; `resume` goes on from where another run was.

        Several processes have networks that are alike, and stay so. They share the `scenes_per_step` that each step
        takes patches from: as many as there are processes, if None.

        Raises:
            UsageError: no term of the loss applies, or the processes cannot share the scenes of a step evenly.
        """
        self.scenes_per_step = processes.count if scenes_per_step is None else scenes_per_step
        if self.scenes_per_step < 1 or self.scenes_per_step % processes.count:
            raise UsageError(f"{self.scenes_per_step} scenes a step cannot be shared by {processes.count} processes")
        self.network, self.train, self.options, self.device, self.judge = network, train, options, device, judge
        self.processes = processes
        self.held = [held[number].held() for number in _evenly(len(held), _HELD_SCENES).tolist()]
        self._draws: dict[int, _Draw] = {}
        self.optimiser = torch.optim.Adam(network.parameters(), lr=options.rate)
        self.step = 0
        self.stopped = "steps"
        self.curve: list[CurvePoint] = []
        self.best: tuple[float, int, dict[str, Tensor]] = (math.inf, 0, self._state())
        self._validate()
        if options.steps and not self.curve[0].parts:
            raise nothing_to_learn()

    @property
    def finished(self) -> bool:
        """Nothing is left to do."""
        return self.step >= self.options.steps or self.stopped != "steps"

    def advance(self) -> float:
        """Do one step, and validate where it is due; the loss of the step, the mean of all processes."""
        step = self.step + 1
        self.network.train()
        set_rate(self.optimiser, self.options, step)
        self._look_ahead()
        lots = self.processes.together(lambda: [self._lot(draw) for draw in self._draws_of(step)])
        losses = (self._loss(lot) for lot in lots)
        with deterministic():
            mean_loss = descend(self.network, self.optimiser, losses, self.processes)
        self.step = step
        if not math.isfinite(mean_loss):
            self.stopped = "diverged"
        if self._due:
            self._validate()
        return mean_loss

    @property
    def _due(self) -> bool:
        """The network as it is now is to be validated."""
        if self.stopped != "steps":
            return self.stopped != "diverged"
        return self.step % self.options.validate_every == 0 or self.step == self.options.steps

    def _draws_of(self, step: int) -> list[int]:
        """The draws of this process in a step; they are counted from 1 throughout the training."""
        mine = range(self.processes.rank, self.scenes_per_step, self.processes.count)
        return [(step - 1) * self.scenes_per_step + number + 1 for number in mine]

    def _look_ahead(self) -> None:
        """Ask for the windows of the next steps, as many as there is room for."""
        room = min(scene.windows.room for scene in self.train)
        for step in range(self.step + 1, min(self.step + _AHEAD, self.options.steps) + 1):
            for number in self._draws_of(step):
                draw = self._draws.get(number) or self._draw(number)
                room -= len(draw.windows) + len(draw.reduced)
                if room < 0:
                    return
                draw.expect()
                self._draws[number] = draw

    def _draw(self, number: int) -> _Draw:
        """What a draw takes: windows from strata, patches with a truth from all over a scene."""
        generator = _generator(self.options.seed, "step", number)
        scene, batch = self.train[self._scene_of(number)], self.options.patches_per_step
        windows = _from_strata(scene.strata, batch, generator)
        reduced: list[int] = []
        if self.options.weights.reduced:
            reduced = torch.randperm(sum(scene.reduced), generator=generator)[: 4 * batch].tolist()
        return _Draw(scene, tuple(windows), tuple(reduced), generator)

    def _lot(self, number: int) -> _Lot:
        """The patches of a draw."""
        draw = self._draws.pop(number, None) or self._draw(number)
        scene = draw.scene
        return _Lot(scene, scene.full(draw.windows), scene.reduced_patches(draw.reduced), draw.generator)

    def _loss(self, lot: _Lot) -> Tensor:
        """The loss over patches of one scene."""
        reduced = None if lot.reduced is None else lot.reduced.to(self.device)
        return self._objective(lot.scene).step_loss(lot.full.to(self.device), reduced, lot.generator)

    def resume(self, progress: Progressed) -> None:
        """Go on from where another run with the same scenes and options was."""
        self.network.load_state_dict(progress.network)
        stored = self.optimiser.state_dict()
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in progress.optimiser.items():
            number, _, name = key.partition(".")
            state.setdefault(int(number), {})[name] = value
        self.optimiser.load_state_dict({**stored, "state": state})
        self.step, self.curve, self.stopped = progress.step, list(progress.curve), progress.stopped
        self.best = (progress.best_total, progress.best_step, dict(progress.best))
        if self._due and self.curve[-1].step != self.step:
            self._validate()  # that run was broken off before it could

    def stop(self, why: str) -> None:
        """End the training before its last step, with a last validation."""
        self.stopped = why
        if self.curve[-1].step != self.step:
            self._validate()

    def progress(self, seconds: float) -> Progressed:
        """What is needed to go on after the last step; `seconds` have been spent."""
        moments = {
            f"{number}.{name}": value.detach().cpu().clone()
            for number, state in self.optimiser.state_dict()["state"].items()
            for name, value in state.items()
        }
        total, step, best = self.best
        return Progressed(
            self.step, self._state(), moments, best, step, total, tuple(self.curve), seconds, self.stopped
        )

    def result(self, seconds: float) -> Adapted:
        """The network at its best checkpoint, in evaluation mode."""
        _, best_step, state = self.best
        self.network.load_state_dict(state)
        self.network.eval()
        return Adapted(self.network, tuple(self.curve), best_step, self.step, seconds, self.stopped)

    def per_scene(self) -> dict[str, float]:
        """The validation of each scene held back, with the network as it is."""
        totals = (total for total, _ in self._validations())
        return {scene.name: total for scene, total in zip(self.held, totals, strict=True)}

    def _scene_of(self, draw: int) -> int:
        """Which scene a draw takes, counted from 1: in each round every one, in another order."""
        turn, place = divmod(draw - 1, len(self.train))
        generator = _generator(self.options.seed, "round", turn)
        return int(torch.randperm(len(self.train), generator=generator)[place])

    def _objective(self, scene: ArchiveScene) -> Objective:
        return Objective(self.network, scene.prior.to(self.device), self.options, self.judge)

    def _validation(self, scene: ArchiveScene) -> tuple[float, dict[str, float]]:
        objective, full = self._objective(scene), scene.full(range(len(scene.windows))).to(self.device)
        reduced = scene.reduced_patches(_evenly(sum(scene.reduced), 4 * _HELD_WINDOWS).tolist())
        with deterministic():
            objective.record(full)
            return objective.validation(full, None if reduced is None else reduced.to(self.device))

    def _validations(self) -> list[tuple[float, dict[str, float]]]:
        """Of each scene held back, while the windows of the next one are loaded."""

        def validate() -> Iterator[tuple[float, dict[str, float]]]:
            for scene, following in zip_longest(self.held, self.held[1:]):
                if following is not None and len(following.windows) <= following.windows.room:
                    following.windows.expect(range(len(following.windows)))
                yield self._validation(scene)

        return self.processes.together(lambda: list(validate()))

    def _validate(self) -> None:
        found = self._validations()
        names = list(dict.fromkeys(name for _, parts in found for name in parts))
        parts = {name: _mean([parts[name] for _, parts in found if name in parts]) for name in names}
        total = _mean([total for total, _ in found])
        self.curve.append(CurvePoint(self.step, total, parts))
        if math.isfinite(total) and total < self.best[0]:
            self.best = (total, self.step, self._state())

    def _state(self) -> dict[str, Tensor]:
        return {name: copy.deepcopy(value.detach().cpu()) for name, value in self.network.state_dict().items()}


def strata_of(detail: Sequence[float], edges: Sequence[float]) -> tuple[tuple[int, ...], ...]:
    """The numbers of patches by stratum of their detail; empty strata are left out."""
    bins = torch.bucketize(torch.tensor(detail), torch.tensor(edges)).tolist()
    return tuple(members for s in range(len(edges) + 1) if (members := tuple(i for i, b in enumerate(bins) if b == s)))


def strata_edges(detail: Sequence[float]) -> list[float]:
    """Where the strata of an archive part: equally wide in the logarithm, not equally full, so that the rare counts."""
    logs = torch.tensor(detail, dtype=torch.float64).clamp(min=1e-6).log()
    low, high = torch.quantile(logs, 0.02), torch.quantile(logs, 0.98)
    return [float(edge) for edge in torch.linspace(float(low), float(high), STRATA + 1)[1:-1].exp()]


def split_scenes(count: int, seed: int) -> tuple[list[int], list[int]]:
    """Numbers of the scenes to train on, and of every fifth, at least one, to hold back; both in order.

    A single scene is in both.
    """
    if count == 1:
        return [0], [0]
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    held = sorted(order[: max(1, count // 5)])
    return [number for number in range(count) if number not in held], held


def _generator(seed: int, purpose: str, number: int) -> torch.Generator:
    """A generator for one purpose and time: nothing of it has to be kept for a run to go on."""
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


def _evenly(available: int, count: int) -> Tensor:
    return torch.linspace(0, available - 1, min(available, count)).round().long()


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
