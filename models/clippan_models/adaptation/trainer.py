"""Train a network, on one scene or on many, without ground truth; held-out patches choose the best step.

There is one training loop. What it learns from are `Batches`, of a scene in memory or of an archive; what it learns is
the `Objective`. Together with the seed, a `TrainingCheckpoint` determines all that follows: a training that was stopped
ends, bit for bit, as one that was not.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clippan_models.adaptation.batches import Batch, Batches
from clippan_models.adaptation.clip_adaptation import Judge
from clippan_models.adaptation.objective import Objective
from clippan_models.adaptation.options import AdaptOptions, OnStep
from clippan_models.adaptation.processes import ALONE, Processes, to_device
from clippan_models.errors import UsageError
from clippan_models.networks.spec import BackboneSpec
from clippan_models.store.training_checkpoint import CurvePoint, TrainingCheckpoint
from clippan_models.store.weights_file import fill, read_weights, shipped


@dataclass(frozen=True)
class Adapted:
    """An adapted network.

    Attributes:
        network: in evaluation mode, with the weights of the best step.
        curve: validations in order; the first is the untrained network.
        best_step: the step with the lowest validation loss.
        steps: optimiser steps done.
        seconds: wall time.
        stopped: why: "steps", "time limit" or "diverged".
    """

    network: nn.Module
    curve: tuple[CurvePoint, ...]
    best_step: int
    steps: int
    seconds: float
    stopped: str


def new_network(backbone: BackboneSpec, bands: int, seed: int, device: torch.device) -> nn.Module:
    """A network with the weights that it comes with, or with random ones of its own seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = backbone.build(bands).to(device)
    if backbone.weights is not None:
        fill(network, read_weights(shipped(backbone.weights)), backbone.name)
    return network


class Trainer:
    """A training that can be stopped after any step and resumed.

        trainer = Trainer(network, batches, options)
        trainer.run(on_step)
        adapted = trainer.result()

    Attributes:
        step: steps done.
        stopped: why the training ended, see `Adapted`; "steps" while it goes on.
        curve: validations so far.
        seconds: wall time of the steps so far.
        processes: that train together.
    """

    def __init__(
        self,
        network: nn.Module,
        batches: Batches,
        options: AdaptOptions,
        judge: Judge | None = None,
        processes: Processes = ALONE,
        stage: str = "adapt",
    ) -> None:
        """Prepare a training from step 0.

        Args:
            network: trained in place, on the device of the processes; see `Objective`. Several processes have equal
                networks, which stay equal.
            batches: patches to learn from and to validate on.
            options: how to adapt.
            judge: an adapted CLIP; None: no language.
            processes: that train together.
            stage: what `OnStep` is told.
        """
        self.processes = processes
        self.step, self.stopped, self.seconds = 0, "steps", 0.0
        self.curve: list[CurvePoint] = []
        self._network, self._batches, self._options, self._judge = network, batches, options, judge
        self._stage = stage
        self._optimiser = torch.optim.Adam(network.parameters(), lr=options.rate)
        self._best: tuple[float, int, dict[str, Tensor]] = (math.inf, 0, self._state())

    @property
    def finished(self) -> bool:
        """No step is left."""
        return self.step >= self._options.steps or self.stopped != "steps"

    def run(self, on_step: OnStep | None = None) -> None:
        """Do the steps that are left.

        Raises:
            UsageError: no term of the loss applies.
            ClippanError: patches cannot be read. After this or any error of `on_step` the training can continue.
        """
        started, before = time.monotonic(), self.seconds
        with _deterministic():
            self._validate_if_due()
            if self._options.steps and not self.curve[0].parts:
                raise UsageError(
                    "nothing to learn from: no term of the loss applies; ship needs a teacher, direction a CLIP, "
                    "spatial a PAN that follows from the bands"
                )
            while not self.finished:
                loss = self._advance()
                self._validate_if_due()
                self.seconds = before + time.monotonic() - started
                if on_step is not None:
                    on_step(self._stage, self.step, self._options.steps, loss)
                limit = self._options.time_limit
                late = limit is not None and time.monotonic() - started > limit
                if not self.finished and self.processes.largest(late):
                    self.stopped = "time limit"
                    self._validate_if_due()
        self.seconds = before + time.monotonic() - started

    def result(self) -> Adapted:
        """The network with the weights of the best step, in evaluation mode."""
        _, best_step, state = self._best
        self._network.load_state_dict(state)
        self._network.eval()
        return Adapted(self._network, tuple(self.curve), best_step, self.step, self.seconds, self.stopped)

    def losses_by_scene(self) -> dict[str, float]:
        """The validation loss of each held-out scene, with the network as it is."""
        with _deterministic():
            return {scene: total for scene, total, _ in self._validations()}

    def checkpoint(self) -> TrainingCheckpoint:
        """All that is needed to continue after the last step."""
        moments = {
            f"{number}.{name}": value.detach().cpu().clone()
            for number, state in self._optimiser.state_dict()["state"].items()
            for name, value in state.items()
        }
        best_total, best_step, best = self._best
        return TrainingCheckpoint(
            step=self.step,
            network=self._state(),
            optimiser=moments,
            best=best,
            best_step=best_step,
            best_total=best_total,
            curve=tuple(self.curve),
            seconds=self.seconds,
            stopped=self.stopped,
        )

    def resume(self, checkpoint: TrainingCheckpoint) -> None:
        """Continue where another training with the same batches and options was."""
        self._network.load_state_dict(checkpoint.network)
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in checkpoint.optimiser.items():
            number, _, name = key.partition(".")
            moments.setdefault(int(number), {})[name] = value
        self._optimiser.load_state_dict({**self._optimiser.state_dict(), "state": moments})
        self.step, self.stopped, self.seconds = checkpoint.step, checkpoint.stopped, checkpoint.seconds
        self.curve = list(checkpoint.curve)
        self._best = (checkpoint.best_total, checkpoint.best_step, dict(checkpoint.best))

    def _advance(self) -> float:
        """One step down the mean loss of all batches of all processes; returns that mean."""
        step = self.step + 1
        self._network.train()
        for group in self._optimiser.param_groups:
            group["lr"] = _learning_rate(self._options, step)
        batches = self.processes.together(lambda: self._batches.of_step(step))
        loss = self._descend(self._loss(to_device(batch, self.processes.device)) for batch in batches)
        self.step = step
        if not math.isfinite(loss):
            self.stopped = "diverged"
        return loss

    def _loss(self, batch: Batch) -> Tensor:
        return self._objective(batch).step_loss(batch.patches)

    def _objective(self, batch: Batch) -> Objective:
        return Objective(self._network, batch.prior, self._options, self._judge)

    def _descend(self, losses: Iterable[Tensor]) -> float:
        """One optimiser step; a loss is computed when the one before is done with, so that memory holds one."""
        self._optimiser.zero_grad(set_to_none=True)
        values = []
        for loss in losses:
            torch.autograd.backward(loss)
            values.append(float(loss.detach()))
        count = len(values) * self.processes.count
        self.processes.average_gradients(self._network, count)
        nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimiser.step()
        return self.processes.sum(sum(values)) / count

    def _validate_if_due(self) -> None:
        """Validate at both ends and every few steps between, though not shortly before the last; once each step.

        A network that has diverged is not validated.
        """
        every, left = self._options.validate_every, self._options.steps - self.step
        at_an_end = self.step == 0 or left == 0 or self.stopped == "time limit"
        due = self.stopped != "diverged" and (at_an_end or (self.step % every == 0 and left >= every / 2))
        if not due or (self.curve and self.curve[-1].step == self.step):
            return
        found = self._validations()
        names = list(dict.fromkeys(name for _, _, parts in found for name in parts))
        parts = {name: _mean([parts[name] for _, _, parts in found if name in parts]) for name in names}
        total = _mean([total for _, total, _ in found])
        self.curve.append(CurvePoint(self.step, total, parts))
        if math.isfinite(total) and total < self._best[0]:
            self._best = (total, self.step, self._state())

    def _validations(self) -> list[tuple[str, float, dict[str, float]]]:
        """Name, loss and parts of the loss of each scene to validate on."""

        def validate() -> Iterator[tuple[str, float, dict[str, float]]]:
            for batch in self._batches.validation():
                batch = to_device(batch, self.processes.device)
                objective = self._objective(batch)
                objective.record(batch.patches.full if batch.representative is None else batch.representative)
                yield batch.scene, *objective.validation(batch.patches)

        return self.processes.together(lambda: list(validate()))

    def _state(self) -> dict[str, Tensor]:
        return {name: copy.deepcopy(value.detach().cpu()) for name, value in self._network.state_dict().items()}


def _learning_rate(options: AdaptOptions, step: int) -> float:
    """The learning rate of a step, counted from 1: a cosine that ends a little above 0."""
    decay = 0.5 * (1 + math.cos(math.pi * (step - 1) / options.steps))
    return options.rate * (0.02 + 0.98 * decay)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


@contextmanager
def _deterministic() -> Iterator[None]:
    """Ask cuDNN for repeatable kernels, and leave the setting as it was."""
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before
