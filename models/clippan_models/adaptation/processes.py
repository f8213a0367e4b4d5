"""Processes that train one network together: each has its own patches, and all take the mean step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed, nn

from clippan_models.errors import ClippanError, InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process among all. More than one need `torch.distributed` to be initialised.

    Attributes:
        rank: number of this process, from 0.
        count: how many there are.
        device: where it computes.
    """

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def average_gradients(self, network: nn.Module, count: int) -> None:
        """Give all processes the mean of so many gradients; each holds the sum of its own."""
        if count == 1:
            return
        learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in learning]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        together = self._reduced(together, distributed.ReduceOp.SUM) / count
        for parameter, part in zip(learning, torch.split(together, [p.numel() for p in learning]), strict=True):
            parameter.grad = part.view_as(parameter).clone()

    def sum(self, value: float) -> float:
        """The sum of a number over all processes."""
        return float(self._reduced(torch.tensor(value, dtype=torch.float64), distributed.ReduceOp.SUM))

    def largest(self, value: int) -> int:
        """The largest of a number over all processes."""
        return int(self._reduced(torch.tensor(value), distributed.ReduceOp.MAX))

    def agree(self, value: int) -> bool:
        """Whether all processes have the same number, of at most 62 bits."""
        return self.largest(value) == -self.largest(-value)

    def together(self, do: Callable[[], T]) -> T:
        """Do what may fail in a single process; if it does, all of them fail, and none waits for ever.

        Raises:
            ClippanError: it failed here, or in another process.
        """
        error: ClippanError | None = None
        try:
            result = do()
        except ClippanError as here:
            error = here
        failed = self.largest(error is not None)
        if error is not None:
            raise error
        if failed:
            raise InputError("another of the processes failed; it says why")
        return result

    def gathered(self, mine: list[T]) -> list[list[T]]:
        """The lists of all processes, by their rank."""
        if self.count == 1:
            return [mine]
        lists: list[list[T]] = [[] for _ in range(self.count)]
        distributed.all_gather_object(lists, mine)
        return lists

    def _reduced(self, value: Tensor, how: distributed.ReduceOp.RedOpType) -> Tensor:
        if self.count == 1:
            return value
        value = value.to(self.device)
        distributed.all_reduce(value, how)
        return value


ALONE = Processes()
"""A single process, on the CPU."""


def to_device(value: T, device: torch.device) -> T:
    """A dataclass with its tensors, and those of the dataclasses within it, on a device."""
    moved: Any = value
    if isinstance(value, Tensor):
        moved = value.to(device)
    elif isinstance(value, tuple):
        moved = tuple(to_device(item, device) for item in value)
    elif is_dataclass(value) and not isinstance(value, type):
        moved = replace(value, **{f.name: to_device(getattr(value, f.name), device) for f in fields(value)})
    return cast(T, moved)
