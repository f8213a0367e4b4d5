"""The training loop: supervised by the truth of simulated pairs, and resumed from where it was stopped."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from clippan_models.adaptation.evidence import network_inputs
from clippan_models.adaptation.processes import to_device
from clippan_models.adaptation.weighing import BORDER
from clippan_models.networks.anyband import SPEC
from clippan_models.store.weights_file import fill, read_weights
from prior_training.batches import PairPatches, SimulatedBatches

_SMALL = 1e-3  # standard deviations below which an error counts by its square
_EASY = 0.03  # standard deviations of error that are added where a pair's loss is weighed by its first error
_WARM_UP = 200  # steps, or a tenth of a short training
_MEMORY = 0.998  # of the mean of the weights


@dataclass(frozen=True)
class TrainOptions:
    """How to train.

    Attributes:
        steps: of the whole training, which the learning rate follows.
        learning_rate: at its height.
        seed: of weights and pairs.
        workers: processes that simulate pairs.
        seconds: after which to stop, to be resumed later.
        repeats: steps in a row that learn from a batch, each in another orientation: where a GPU learns faster than the
            CPUs simulate.
    """

    steps: int
    learning_rate: float = 1.5e-3
    seed: int = 0
    workers: int = 1
    seconds: float = math.inf
    repeats: int = 1


class PriorTraining:
    """A training that can be stopped after any step and resumed.

    Attributes:
        network: with the weights of the last step.
        mean: with the mean of the weights of the last few hundred steps, which is what ships.
        step: steps done.
    """

    def __init__(self, options: TrainOptions, device: str = "cpu") -> None:
        """Prepare a training from random weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            self.network = SPEC.build(0)
        self.network = self.network.to(device)
        self.mean = SPEC.build(0).to(device)
        self.mean.load_state_dict(self.network.state_dict())
        self.step = 0
        self._options, self._device = options, torch.device(device)
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=options.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4
        )

    def run(self, batches: SimulatedBatches, report: Callable[[int, float, float], None]) -> None:
        """Do the steps that are left; `report` is told the step, its loss and its gain over the initial fusion, dB."""
        began = time.monotonic()
        repeats, steps = self._options.repeats, self._options.steps
        left = Subset(batches, range(self.step // repeats, math.ceil(steps / repeats)))
        loader = DataLoader(
            left,
            batch_size=None,
            num_workers=self._options.workers,
            worker_init_fn=_one_thread,
            prefetch_factor=None if not self._options.workers else 4,
        )
        for batch in loader:
            pairs = [to_device(pair, self._device) for pair in batch]
            for _ in range(self.step % repeats, min(repeats, steps - self.step // repeats * repeats)):
                rng = np.random.default_rng((self._options.seed, self.step))
                loss, gain = self._advance([pair.turned(rng) if repeats > 1 else pair for pair in pairs])
                report(self.step, loss, gain)
                if time.monotonic() - began > self._options.seconds:
                    return

    def save(self, path: Path) -> None:
        """Write all that is needed to resume."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"mean.{k}": v for k, v in self.mean.state_dict().items()}
        for number, state in self._optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{k}": v for k, v in state.items()}
        tensors = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        about = {"step": str(self.step), "options": json.dumps(asdict(self._options))}
        partial = path.with_suffix(".partial")
        save_file(tensors, partial, about)
        partial.replace(path)

    def export(self, path: Path, about: dict[str, str]) -> None:
        """Write the mean weights as they ship, in half precision, with facts about their training."""
        tensors = {k: v.detach().cpu().half().contiguous() for k, v in self.mean.state_dict().items()}
        save_file(tensors, path, {"steps": str(self.step), **about})

    def begin_with(self, path: Path) -> None:
        """Begin with exported weights, at step 0."""
        fill(self.network, read_weights(path), "AnyBand")
        self.mean.load_state_dict(self.network.state_dict())

    def resume(self, path: Path) -> None:
        """Continue from a file that `save` has written."""
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # not a mapping
            self.step = int(file.metadata()["step"])

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.network.load_state_dict(part("network."))
        self.mean.load_state_dict(part("mean."))
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in part("optimiser.").items():
            number, _, name = key.partition(".")
            moments.setdefault(int(number), {})[name] = value
        self._optimiser.load_state_dict({**self._optimiser.state_dict(), "state": moments})

    def _advance(self, batch: Sequence[PairPatches]) -> tuple[float, float]:
        for group in self._optimiser.param_groups:
            group["lr"] = _learning_rate(self._options, self.step)
        self.network.train()
        loss, gain = loss_of(self.network, batch)
        self._optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        if math.isfinite(float(loss.detach())):
            self._optimiser.step()
        self.step += 1
        share = max(1 - _MEMORY, 1 / self.step)
        with torch.no_grad():
            for mean, now in zip(self.mean.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(now, share)
        return float(loss.detach()), gain


def fuse_pairs(network: nn.Module, batch: Sequence[PairPatches]) -> list[Tensor]:
    """The fused patches of each pair, DN; the network sees all pairs at once."""
    inputs = [network_inputs(pair.prior, *pair.shown) for pair in batch]
    joined = [torch.cat(parts) for parts in zip(*inputs, strict=True)]
    parts = network(*joined).split([len(pair.patches) for pair in batch])
    return [
        pair.project(image * pair.prior.ms_std + pair.prior.ms_mean) for pair, image in zip(batch, parts, strict=True)
    ]


def loss_of(network: nn.Module, batch: Sequence[PairPatches]) -> tuple[Tensor, float]:
    """The loss, in which all pairs count alike, however hard, and the mean gain over the initial fusion in dB.

    Half of it is the absolute error, which keeps edges sharp, half the root of the squared one, which PSNR measures.
    """
    losses, ratios = [], []
    for pair, image in zip(batch, fuse_pairs(network, batch), strict=True):
        error = pair.error(image, BORDER)
        with torch.no_grad():
            first = pair.error(pair.shown[0], BORDER)
            ratios.append(first.square().mean() / error.square().mean().clamp(min=1e-12))
        absolute = (error.square() + _SMALL**2).sqrt().mean() / (first.abs().mean() + _EASY)
        squared = (error.square().mean() + _SMALL**2).sqrt() / (first.square().mean().sqrt() + _EASY)
        losses.append((absolute + squared) / 2)
    return torch.stack(losses).mean(), 10 * float(torch.stack(ratios).log10().mean())


@torch.no_grad()
def mean_gain(network: nn.Module, batches: Iterable[Sequence[PairPatches]], device: str) -> float:
    """Mean gain over the initial fusion, dB, of batches of held-out pairs."""
    network.eval()
    gains = [loss_of(network, [to_device(pair, torch.device(device)) for pair in batch])[1] for batch in batches]
    return sum(gains) / len(gains)


def _learning_rate(options: TrainOptions, step: int) -> float:
    """A short rise, then a cosine that ends a little above 0."""
    decay = 0.5 * (1 + math.cos(math.pi * step / options.steps))
    rise = min(1.0, (step + 1) / max(1, min(_WARM_UP, options.steps // 10)))
    return options.learning_rate * rise * (0.02 + 0.98 * decay)


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
