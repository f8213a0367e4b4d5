"""How to learn from an archive, and what to measure then; free of torch and numpy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clippan_cli.running.options import ComputeOptions
from clippan_models.adaptation.options import AdaptOptions
from clippan_models.errors import UsageError
from clippan_models.guidance.options import GuidanceOptions
from clippan_models.store.card import NO_LICENCE

_MOST_WORKERS = 256


@dataclass(frozen=True)
class ValidationOptions:
    """How much to measure.

    Attributes:
        scratch_steps: compare with a network adapted to each scene alone in so many steps, at both resolutions; 0: do
            not.
        scenes: at most so many of the held-out ones, evenly from all.
        side: PAN pixels a side of the part that is measured of a larger scene.
    """

    scratch_steps: int = 0
    scenes: int = 8
    side: int = 1024

    def __post_init__(self) -> None:
        if self.scratch_steps < 0:
            raise UsageError(f"{self.scratch_steps}: must be 0 steps or more", "compare_scratch")


@dataclass(frozen=True)
class ArchiveOptions:
    """How to learn from an archive.

    Attributes:
        output: the file of weights.
        overwrite: replace it, and discard the checkpoint of an unfinished training.
        compute: device, threads, memory.
        adapt: of the network.
        guidance: of the judge.
        weights: a file of weights to begin with, or None.
        checkpoint_seconds: seconds between checkpoints of the training.
        resume: continue from the checkpoint, if there is one.
        force: even where the archive or the options have changed since.
        licence: of the weights.
        scenes_per_step: scenes that each step takes patches from, a multiple of the processes; None: one for each.
        validation: how much to measure on the held-out scenes; None: nothing.
        tensorboard: a folder for what TensorBoard draws, or None.
        workers: processes that read the scenes, 0: this one does; None: one for each thread, at
            most `_MOST_READERS`, and none where there is one thread.
    """

    output: Path
    overwrite: bool = False
    compute: ComputeOptions = ComputeOptions()
    adapt: AdaptOptions = AdaptOptions(steps=1000)
    guidance: GuidanceOptions = GuidanceOptions()
    weights: Path | None = None
    checkpoint_seconds: float = 600.0
    resume: bool = False
    force: bool = False
    licence: str = NO_LICENCE
    scenes_per_step: int | None = None
    validation: ValidationOptions | None = ValidationOptions()
    tensorboard: Path | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and not 0 <= self.workers <= _MOST_WORKERS:
            raise UsageError(f"{self.workers}: must be 0 to {_MOST_WORKERS}", "workers")

    @property
    def checkpoint(self) -> Path:
        """Where an unfinished training is saved."""
        return self.output.with_name(f"{self.output.name}.snapshot")
