"""Train one network on many scenes, so that it serves scenes of their sensor that it has not seen.

Every scene keeps its own prior and normalisation. A step takes its patches from one scene, all scenes equally often
whatever their size, and within it from all strata of detail equally, so that rare content is seen. Scenes held back
choose the checkpoint. What a step draws follows from the seed and its number alone: a run that goes on from a snapshot
does what one without a break does, and several processes what one does.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from clippan_models.adaptation.alignment import Judge
from clippan_models.adaptation.fusion import Prior
from clippan_models.adaptation.loop import (
    Adapted,
    AdaptOptions,
    CurvePoint,
    Objective,
    descend,
    deterministic,
    nothing_to_learn,
    set_rate,
)
from clippan_models.adaptation.patches import Patches
from clippan_models.adaptation.processes import ALONE, Processes
from clippan_models.errors import UsageError

STRATA = 4

_HELD_PATCHES = 8  # of a scene held back: all are looked at in every validation


@dataclass(frozen=True)
class ArchiveScene:
    """What is kept of a scene, on the CPU.

    Attributes:
        name: for messages.
        prior: of the scene.
        full: patches at full resolution.
        reduced: patches with a truth, or None where the scene is too small.
        strata: numbers of the full patches by how much detail they hold; none is empty.
    """

    name: str
    prior: Prior
    full: Patches
    reduced: Patches | None
    strata: tuple[tuple[int, ...], ...]

    def held(self) -> ArchiveScene:
        """The scene with few patches, evenly from all, for validation."""
        reduced = None if self.reduced is None else self.reduced.take(_evenly(len(self.reduced), 4 * _HELD_PATCHES))
        return replace(self, full=self.full.take(_evenly(len(self.full), _HELD_PATCHES)), reduced=reduced)


@dataclass(frozen=True)
class Progressed:
    """All that a run needs to go on.

    Attributes:
        step: steps done.
        network: its state.
        optimiser: moments of Adam by parameter number and name.
        best: the best state so far.
        best_step: where it was.
        best_total: its validation.
        curve: validations so far.
        seconds: wall time so far.
        stopped: why the run has ended, as in `Adapted`; "steps" while it goes on.
    """

    step: int
    network: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    best_step: int
    best_total: float
    curve: tuple[CurvePoint, ...]
    seconds: float
    stopped: str = "steps"


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
        self.held = [scene.held() for scene in held]
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
        mine = range(self.processes.rank, self.scenes_per_step, self.processes.count)
        losses = (self._loss(self.step * self.scenes_per_step + number + 1) for number in mine)
        with deterministic():
            mean_loss = descend(self.network, self.optimiser, losses, self.processes)
        self.step = step
        if not math.isfinite(mean_loss):
            self.stopped = "diverged"
        elif step % self.options.validate_every == 0 or step == self.options.steps:
            self._validate()
        return mean_loss

    def _loss(self, draw: int) -> Tensor:
        """The loss over patches of one scene; draws are counted from 1 throughout the training."""
        generator = _generator(self.options.seed, "step", draw)
        scene, batch = self.train[self._scene_of(draw)], self.options.patches_per_step
        full = scene.full.take(_from_strata(scene.strata, batch, generator)).to(self.device)
        reduced = None
        if scene.reduced is not None and self.options.weights.reduced:
            index = torch.randperm(len(scene.reduced), generator=generator)[: 4 * batch]
            reduced = scene.reduced.take(index).to(self.device)
        return self._objective(scene).step_loss(full, reduced, generator)

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
        return {scene.name: self._validation(scene)[0] for scene in self.held}

    def _scene_of(self, draw: int) -> int:
        """Which scene a draw takes, counted from 1: in each round every one, in another order."""
        turn, place = divmod(draw - 1, len(self.train))
        generator = _generator(self.options.seed, "round", turn)
        return int(torch.randperm(len(self.train), generator=generator)[place])

    def _objective(self, scene: ArchiveScene) -> Objective:
        return Objective(self.network, scene.prior.to(self.device), self.options, self.judge)

    def _validation(self, scene: ArchiveScene) -> tuple[float, dict[str, float]]:
        objective, full = self._objective(scene), scene.full.to(self.device)
        with deterministic():
            objective.record(full)
            return objective.validation(full, None if scene.reduced is None else scene.reduced.to(self.device))

    def _validate(self) -> None:
        found = [self._validation(scene) for scene in self.held]
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


def _from_strata(strata: Sequence[Sequence[int]], count: int, generator: torch.Generator) -> Tensor:
    """Patches one by one from strata in turn, beginning with any."""
    begin = int(torch.randint(len(strata), (), generator=generator))
    chosen: list[int] = []
    for turn in range(count):
        members = [m for m in strata[(begin + turn) % len(strata)] if m not in chosen]
        if members:
            chosen.append(members[int(torch.randint(len(members), (), generator=generator))])
    return torch.tensor(chosen or [strata[begin][0]])


def _evenly(available: int, count: int) -> Tensor:
    return torch.linspace(0, available - 1, min(available, count)).round().long()


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
