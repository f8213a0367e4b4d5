"""The unsupervised loop: adapt a network to one scene, without ground truth, from patches of the scene itself.

At full resolution the losses are CLIPPan's low-level ones (spectral, spatial, 1 - QNR); at the reduced resolution of
Wald's protocol the MS itself is the truth. Patches held back choose the checkpoint.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from clippan_models.adaptation.clip_adaptation import Judge, OnStep
from clippan_models.adaptation.fusion import Prior
from clippan_models.adaptation.options import AdaptOptions, LossWeights
from clippan_models.adaptation.patches import Patches, draw
from clippan_models.adaptation.processes import ALONE, Processes
from clippan_models.errors import UsageError
from clippan_models.guidance.radiometry import to_unit
from clippan_models.losses.correlation import correlation_loss
from clippan_models.losses.direction import through_intensity
from clippan_models.losses.qnr import qnr_loss
from clippan_models.losses.similarity import masked_mean
from clippan_models.losses.spatial import spatial_loss
from clippan_models.losses.spectral import spectral_loss
from clippan_models.networks.registry import find_backbone
from clippan_models.networks.statistics import recording
from clippan_models.store.snapshot import CurvePoint

_NOTHING = LossWeights.only()

_VALIDATION_BYTES = 5e8

_RECORDED = 16  # patches that statistics of the scene are taken from


@dataclass(frozen=True)
class Adapted:
    """An adapted network.

    Attributes:
        network: in evaluation mode, at the best checkpoint.
        curve: validations in order; the first is the untrained network.
        best_step: where the checkpoint was taken.
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


@dataclass(frozen=True)
class Material:
    """Patches to train on and patches held back, at full and at reduced resolution."""

    full: Patches
    held_full: Patches
    reduced: Patches | None
    held_reduced: Patches | None


def adapt(
    network: nn.Module,
    material: Material,
    prior: Prior,
    options: AdaptOptions,
    judge: Judge | None = None,
    on_step: OnStep | None = None,
) -> Adapted:
    """Train `network` to correct the closed-form start of a scene.

    Args:
        network: `(start [B, C, H, W], pan [B, 1, H, W]) -> [B, C, H, W]`, all normalised; trained in place.
        material: patches on the device of the network.
        prior: of the scene, on the same device.
        options: how to adapt.
        judge: says how far an image goes the way of the prompt; None: no language.
        on_step: see `OnStep`.

    Raises:
        UsageError: no term of the loss applies.
    """
    run = _Run(network, material, options, Objective(network, prior, options, judge))
    with deterministic():
        return run.go(on_step)


def unit_image(prior: Prior, image: Tensor) -> Tensor:
    """Bands in DN as the judge sees them, `[B, C, H, W]`."""
    return to_unit(image, prior.ms_mean.flatten(), prior.ms_std.flatten())


def unit_pan(prior: Prior, pan: Tensor) -> Tensor:
    """PAN in DN as the judge sees it, `[B, 1, H, W]`."""
    return to_unit(pan, pan.new_tensor([prior.pan_mean]), pan.new_tensor([prior.pan_std]))


def fuse(network: nn.Module, prior: Prior, patches: Patches, rounds: int) -> Tensor:
    """The fused patches `[N, C, H, W]`, DN: start, network, `rounds` of projections."""
    start = prior.start(patches.ms_up, patches.pan, patches.pan_low)
    image = network(prior.normalise(start), prior.normalise_pan(patches.pan)) * prior.ms_std + prior.ms_mean
    for _ in range(rounds):
        image = prior.onto_pan(image, patches.pan)
        image = prior.onto_ms(image, patches.ms, patches.usable, patches.up, patches.down)
    fused: Tensor = image
    return fused


@dataclass(frozen=True)
class Objective:
    """What a network is to make of the patches of a scene.

    Attributes:
        network: that learns, see `adapt`.
        prior: of the scene, on the device of the network.
        options: how to adapt.
        judge: see `adapt`.
    """

    network: nn.Module
    prior: Prior
    options: AdaptOptions
    judge: Judge | None

    def step_loss(self, full: Patches, reduced: Patches | None, generator: torch.Generator) -> Tensor:
        """The loss of a step over patches at full and reduced resolution, with a gradient."""
        loss = self.total(self.full_parts(full, self.options.judged))
        if reduced is not None and self.options.weights.reduced:
            loss = loss + self.options.weights.reduced * self.reduced_part(_from_any_side(reduced, generator))
        return loss

    @torch.no_grad()
    def validation(self, full: Patches, reduced: Patches | None) -> tuple[float, dict[str, float]]:
        """The loss over patches held back, and its parts."""
        self.network.eval()
        parts = {k: float(v) for k, v in self.full_parts(full, None).items()}
        total = float(self.total({k: torch.tensor(v) for k, v in parts.items()}))
        if reduced is not None and self.options.weights.reduced:
            parts["reduced"] = float(self.reduced_part(reduced))
            total += self.options.weights.reduced * parts["reduced"]
        return total, parts

    @torch.no_grad()
    def record(self, full: Patches) -> None:
        """Let a network that goes by statistics of the scene take them from patches all over it."""
        with recording(self.network) as needed:
            if needed:
                for number in range(0, len(full), -(-len(full) // _RECORDED)):
                    fuse(self.network, self.prior, full.take(torch.tensor([number])), rounds=0)

    def full_parts(self, patches: Patches, judged: int | None) -> dict[str, Tensor]:
        """The loss terms at full resolution that count, unweighted; the judge sees the first `judged`, or all."""
        prior, weights = self.prior, self.options.weights
        if replace(weights, reduced=0.0) == _NOTHING:
            return {}
        fused = self._fuse(patches)
        parts: dict[str, Tensor] = {}
        if weights.spectral:
            usable = patches.usable.all(1, keepdim=True)
            seen = prior.normalise(patches.down(fused))
            parts["spectral"] = spectral_loss(seen, prior.normalise(patches.ms), usable)
        if weights.qnr:
            parts["qnr"] = self._qnr(fused, patches)
        if weights.correlation:
            parts["correlation"] = self._correlation(fused, patches)
        if weights.spatial and prior.trust > 0:
            projected = (prior.pan_weights * fused).sum(-3, keepdim=True) + prior.pan_offset
            mask = patches.valid & (patches.pan < prior.pan_ceiling)
            parts["spatial"] = spatial_loss(prior.normalise_pan(projected), prior.normalise_pan(patches.pan), mask)
        if weights.ship and patches.teacher is not None:
            error = prior.normalise(fused) - prior.normalise(patches.teacher)
            parts["ship"] = masked_mean(error.abs(), patches.valid)
        if weights.direction and self.judge is not None:
            if patches.ms_feature is None or patches.pan_feature is None:
                raise ValueError("patches for a judge carry the features of their MS and PAN")
            unit = unit_image(prior, through_intensity(fused[:judged], prior.ms_std))
            parts["direction"] = self.judge.direction(unit, patches.ms_feature[:judged], patches.pan_feature[:judged])
        return parts

    def _fuse(self, patches: Patches) -> Tensor:
        """The fused patches; where no gradient is wanted, as many at once as moderate memory holds."""
        if torch.is_grad_enabled():
            return fuse(self.network, self.prior, patches, self.options.rounds)
        cost = find_backbone(self.options.backbone).cost.working_bytes.at(patches.ms_up.shape[1])
        at_once = max(1, int(_VALIDATION_BYTES / (cost * patches.pan[0].numel())))
        pieces = torch.split(torch.arange(len(patches)), at_once)
        return torch.cat([fuse(self.network, self.prior, patches.take(p), self.options.rounds) for p in pieces])

    def _correlation(self, fused: Tensor, patches: Patches) -> Tensor:
        prior = self.prior
        bands = prior.normalise(fused), prior.normalise(patches.ms_up)
        pans = prior.normalise_pan(patches.pan), prior.normalise_pan(patches.pan_low)
        ratio = patches.pan.shape[-1] / patches.ms.shape[-1]
        return correlation_loss(bands[0], pans[0], bands[1], pans[1], ratio, patches.valid)

    def _qnr(self, fused: Tensor, patches: Patches) -> Tensor:
        # one unit for all bands and PAN: UQI compares means and variances
        unit = float((self.prior.ms_mean.abs() + 4 * self.prior.ms_std).max())
        # nodata is the same constant in all images, so it tells nothing
        scale = patches.valid / unit
        return qnr_loss(fused * scale, patches.ms_up * scale, patches.pan * scale, patches.pan_low * scale)

    def reduced_part(self, patches: Patches) -> Tensor:
        """Distance to the truth where it is known, at reduced resolution."""
        if patches.truth is None:
            raise ValueError("reduced patches carry their truth")
        prior = self.prior
        fused = self._fuse(patches)
        error = prior.normalise(fused) - prior.normalise(patches.truth)
        mask = patches.valid.expand_as(error) & (patches.truth < prior.ms_ceiling)
        return masked_mean(error.abs(), mask)

    def total(self, parts: dict[str, Tensor]) -> Tensor:
        """The weighted sum of the parts."""
        if not parts:
            return torch.zeros(())
        return torch.stack([getattr(self.options.weights, name) * value for name, value in parts.items()]).sum()


@dataclass
class _Run:
    network: nn.Module
    material: Material
    options: AdaptOptions
    objective: Objective
    curve: list[CurvePoint] = field(default_factory=list)
    best: tuple[float, int, dict[str, Tensor]] | None = None

    def go(self, on_step: OnStep | None) -> Adapted:
        options = self.options
        generator = torch.Generator().manual_seed(options.seed)
        optimiser = torch.optim.Adam(self.network.parameters(), lr=options.rate)
        started = time.monotonic()
        step, stopped = 0, "steps"
        self._validate(0)
        if options.steps and not self.curve[0].parts:
            raise nothing_to_learn()
        for step in range(1, options.steps + 1):
            loss = self._train_step(optimiser, generator, step)
            if not math.isfinite(loss):
                stopped = "diverged"
                break
            if step % options.validate_every == 0 or step == options.steps:
                self._validate(step)
            if on_step is not None:
                on_step(step, options.steps, loss)
            if options.time_limit is not None and time.monotonic() - started > options.time_limit:
                stopped = "time limit"
                self._validate(step)
                break
        best_step = 0
        if self.best is not None:
            _, best_step, state = self.best
            self.network.load_state_dict(state)
        self.network.eval()
        seconds = time.monotonic() - started
        return Adapted(self.network, tuple(self.curve), best_step, step, seconds, stopped)

    def _train_step(self, optimiser: torch.optim.Optimizer, generator: torch.Generator, step: int) -> float:
        options, material = self.options, self.material
        self.network.train()
        set_rate(optimiser, options, step)
        batch = options.patches_per_step
        full = material.full.take(draw(len(material.full), batch, generator))
        reduced = None
        if material.reduced is not None and options.weights.reduced:
            reduced = material.reduced.take(draw(len(material.reduced), 4 * batch, generator))
        return descend(self.network, optimiser, [self.objective.step_loss(full, reduced, generator)])

    def _validate(self, step: int) -> None:
        self.objective.record(self.material.full)
        total, parts = self.objective.validation(self.material.held_full, self.material.held_reduced)
        self.curve.append(CurvePoint(step, total, parts))
        if math.isfinite(total) and (self.best is None or total < self.best[0]):
            self.best = (total, step, copy.deepcopy(self.network.state_dict()))


def nothing_to_learn() -> UsageError:
    """The error where no term of the loss applies."""
    return UsageError(
        "nothing to learn from: no term of the loss applies; ship needs a teacher, d a CLIP, "
        "spat a PAN that follows from the bands"
    )


def set_rate(optimiser: torch.optim.Optimizer, options: AdaptOptions, step: int) -> None:
    """Set the learning rate of a step, counted from 1: a cosine that ends a little above 0."""
    decay = 0.5 * (1 + math.cos(math.pi * (step - 1) / options.steps))
    for group in optimiser.param_groups:
        group["lr"] = options.rate * (0.02 + 0.98 * decay)


def descend(
    network: nn.Module, optimiser: torch.optim.Optimizer, losses: Iterable[Tensor], processes: Processes = ALONE
) -> float:
    """One step down the mean of the losses of all processes, which have equally many; returns that mean.

    A loss is taken when the one before is done with, so that memory holds one at a time.
    """
    optimiser.zero_grad(set_to_none=True)
    values = []
    for loss in losses:
        torch.autograd.backward(loss)
        values.append(float(loss.detach()))
    count = len(values) * processes.count
    processes.average_gradients(network, count)
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    return processes.sum(sum(values)) / count


def _from_any_side(patches: Patches, generator: torch.Generator) -> Patches:
    """The same truth from one of eight sides: small scenes have few patches, and networks learn few by heart."""
    flip_rows, flip_cols, transpose = (bool(coin) for coin in torch.randint(2, (3,), generator=generator))
    return patches.turned(flip_rows, flip_cols, transpose)


@contextmanager
def deterministic() -> Iterator[None]:
    """Ask cuDNN for repeatable kernels while we train, and leave the setting as it was."""
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before
