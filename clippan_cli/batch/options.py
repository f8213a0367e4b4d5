"""How to run a batch; free of torch and numpy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clippan_models.errors import UsageError


@dataclass(frozen=True)
class BatchOptions:
    """How to run.

    Attributes:
        folder: where the outputs go.
        workers: processes at once on this machine.
        scheduler: address of a Dask scheduler, whose workers do it instead, or None.
        shard: (i, n), counted from 1: only every n-th scene, beginning with the i-th; the n runs are for n machines.
        retry_failed: try again what failed by the same inputs and parameters.
        ignore_unpaired: files that look like half a pair do not count as failed.
    """

    folder: Path
    workers: int = 1
    scheduler: str | None = None
    shard: tuple[int, int] = (1, 1)
    retry_failed: bool = False
    ignore_unpaired: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= 256:
            raise UsageError(f"{self.workers}: must be 1 to 256", "workers")
        number, count = self.shard
        if not 1 <= number <= count:
            raise UsageError(f"{number}/{count}: must be I/N with I from 1 to N", "shard")
