"""With what to compute; free of torch."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace

from clippan_models.errors import UsageError

SMALLEST_TILE = 64
"""PAN pixels a side."""

_LARGEST_TILE = 16384
_MOST_THREADS = 1024  # with a hundred thousand, the library of threads crashes
_LEAST_RAM_MB = 256
_DEVICES = re.compile(r"auto|cpu|mps|cuda(:[0-9]+)?")


@dataclass(frozen=True)
class ComputeOptions:
    """Where to compute and with how much.

    Attributes:
        device: "auto", "cpu", "cuda", "cuda:i" or "mps".
        threads: CPU threads; None: as many as the process may use.
        ram_mb: memory to plan tiles for.
        tile: side of a tile in PAN pixels; None: planned from `ram_mb`.

    Raises:
        UsageError: a number out of range, or no such kind of device.
    """

    device: str = "auto"
    threads: int | None = None
    ram_mb: int = 2048
    tile: int | None = None

    def __post_init__(self) -> None:
        if not _DEVICES.fullmatch(self.device):
            raise UsageError(f"{self.device}: choose auto, cpu, cuda, cuda:0 ... or mps", "device")
        if self.threads is not None and not 1 <= self.threads <= _MOST_THREADS:
            raise UsageError(f"{self.threads}: must be 1 to {_MOST_THREADS}", "threads")
        if self.ram_mb < _LEAST_RAM_MB:
            raise UsageError(f"{self.ram_mb}: must be at least {_LEAST_RAM_MB} MB", "ram")
        if self.tile is not None and not SMALLEST_TILE <= self.tile <= _LARGEST_TILE:
            raise UsageError(f"{self.tile}: must be {SMALLEST_TILE} to {_LARGEST_TILE} pixels", "tile")

    @property
    def block_bytes(self) -> int:
        """What a block of MS or PAN may take: as GDAL decodes it and keeps it, both images hold two copies of one."""
        return self.ram_mb * 2**20 // 4

    @property
    def thread_count(self) -> int:
        """Threads to use."""
        available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.threads or available

    def shared_by(self, workers: int) -> ComputeOptions:
        """The same for each of several processes, which share the CPUs unless a number of threads is given."""
        return self if self.threads else replace(self, threads=max(1, self.thread_count // workers))
