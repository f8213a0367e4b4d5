"""Training in several processes that torchrun has started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from clippan_cli.running.compute import choose_device
from clippan_cli.running.options import ComputeOptions
from clippan_models.errors import UsageError

if TYPE_CHECKING:
    from clippan_models.adaptation.processes import Processes


def is_first() -> bool:
    """This process reports for all: it is alone, or the first of those that torchrun has started."""
    return _number("WORLD_SIZE", 1) == 1 or _number("RANK", 0) == 0


@contextmanager
def process_group(compute: ComputeOptions) -> Iterator[tuple[Processes, ComputeOptions]]:
    """Join the processes that torchrun has started; without torchrun, this process trains alone.

    Each process of a machine gets its own GPU where GPUs are wanted, and its share of the CPU threads.

    Yields:
        This process among the others, and what it computes with.

    Raises:
        UsageError: the environment variables of torchrun are incomplete or not numbers.
        ResourceError: the device is not there.
    """
    import torch
    from torch import distributed

    from clippan_models.adaptation.processes import Processes

    count = _number("WORLD_SIZE", 1)
    if count == 1:
        yield Processes(device=choose_device(compute.device)), compute
        return
    own = compute.shared_by(_number("LOCAL_WORLD_SIZE", count))
    device = choose_device(own.device)
    if device.type == "cuda" and device.index is None:
        device = choose_device(f"cuda:{_number('LOCAL_RANK', 0)}")
        torch.cuda.set_device(device)
    try:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except ValueError as error:
        raise UsageError(f"the environment variables of torchrun are incomplete: {error}") from error
    try:
        yield Processes(_number("RANK", 0), count, device), replace(own, device=str(device))
        distributed.barrier()  # no process leaves while another still talks to it
    finally:
        distributed.destroy_process_group()


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    try:
        return int(text) if text else default
    except ValueError as error:
        raise UsageError(f"the environment variable {name} is {text!r}; torchrun sets it to a number") from error
