"""What all parts of a training on an archive share: its options, its processes, and the line to whoever runs it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from clippan_cli.running.control import Control, Progress
from clippan_cli.training.options import ArchiveOptions
from clippan_cli.training.readers import Readers
from clippan_models.adaptation.batches import share_batches
from clippan_models.adaptation.processes import Processes


@dataclass(frozen=True)
class Session:
    """A running training.

    Attributes:
        options: how to learn.
        processes: this process among those that train together.
        readers: what reads the scenes.
        control: progress, notes and the request to stop.
    """

    options: ArchiveOptions
    processes: Processes
    readers: Readers
    control: Control

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return self.processes.device

    @property
    def scenes_per_step(self) -> int:
        """How many scenes each step takes patches from.

        Raises:
            UsageError: see `share_batches`.
        """
        return share_batches(self.options.scenes_per_step, self.processes)

    def on_step(self, stage: str, step: int, steps: int, loss: float) -> None:
        """Report a step, see `OnStep`; where one process was asked to stop, all stop.

        Raises:
            Interrupted: a signal has asked to stop.
        """
        self.control.stop_signal = self.processes.largest(self.control.stop_signal or 0) or None
        self.control.report(Progress(stage, step, steps, note=f"loss {loss:.4f}", unit="steps"))
