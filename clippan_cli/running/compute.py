"""Devices, threads and memory; torch is imported only once it is asked for."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from clippan_models.errors import ResourceError, UsageError

if TYPE_CHECKING:
    import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of malloc.h
_KEPT_BYTES, _KEPT_AT_LEAST = 1 << 30, 1 << 25


def choose_device(name: str, *, network: bool = True) -> torch.device:
    """The device of a name; of itself a GPU only for a network, since moving the tiles takes longer than other methods.

    Raises:
        UsageError: not a device.
        ResourceError: it is not there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if network and torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name}: choose auto, cpu, cuda, cuda:0 ... or mps") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ResourceError(
            f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices; use --device cpu"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ResourceError("--device mps: this machine has no Apple GPU that torch can use; use --device cpu")
    if device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"--device {name}: choose auto, cpu, cuda, cuda:0 ... or mps")
    return device


def free_gpu_bytes(device: torch.device) -> float | None:
    """Memory of a CUDA GPU that nobody uses; None for other devices, which have the memory of the machine."""
    import torch

    return float(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else None


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Let torch use so many CPU threads, then as many as before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def release_memory() -> None:
    """Give what was freed back to the system: glibc keeps it, and whatever comes next would come on top."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # other C libraries have no such function
            ctypes.CDLL(None).malloc_trim(0)


def share_heap() -> None:
    """Let all threads take memory from one heap, which keeps what is freed until `release_memory`.

    glibc gives each thread a heap of its own, and what one frees no other can use. Large pieces it takes from the
    system and gives back each time; to fill them with zeros costs a network a fifth of its time.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(None)
            library.mallopt(_M_ARENA_MAX, 1)
            # older glibc refuses the first value; with neither, the last call would make matters worse
            if library.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES) or library.mallopt(_M_MMAP_THRESHOLD, _KEPT_AT_LEAST):
                library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
