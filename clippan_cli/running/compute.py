"""Devices, threads, and the step from numpy tiles to tensors."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from clippan_cli.rasters.source import Values
from clippan_cli.rasters.tiles import TileArrays
from clippan_cli.running.options import SMALLEST_TILE
from clippan_models.contracts import Observation, Sharpener, Tile, Window
from clippan_models.errors import ResourceError, UsageError
from clippan_models.ops.views import TileViews


def choose_device(name: str) -> torch.device:
    """The device of a name.

    Raises:
        UsageError: not a device.
        ResourceError: it is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name}: choose auto, cpu, cuda, cuda:0 ... or mps") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ResourceError(
            f"--device {name}: this machine shows {torch.cuda.device_count()} CUDA devices; use --device cpu"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ResourceError("--device mps: this machine has no Apple GPU that torch can use; use --device cpu")
    if device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"--device {name}: choose auto, cpu, cuda, cuda:0 ... or mps")
    return device


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Let torch use so many CPU threads, then as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def to_tile(arrays: TileArrays, device: torch.device) -> Tile:
    """A tile as tensors on a device."""

    def move(array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)

    return Tile(
        ms=move(arrays.ms),
        ms_valid=move(arrays.ms_valid),
        pan=move(arrays.pan),
        pan_valid=move(arrays.pan_valid),
        valid=move(arrays.valid),
        ms_window=arrays.ms_window,
        pan_window=arrays.pan_window,
        core=arrays.core,
    )


def sharpen_tile(arrays: TileArrays, sharpener: Sharpener, observation: Observation, device: torch.device) -> Values:
    """The fused core of a tile, `[C, h, w]` float32; when the GPU's memory does not hold it, in quarters.

    Raises:
        ResourceError: not even a small tile fits.
    """
    try:
        with torch.inference_mode():
            views = TileViews(to_tile(arrays, device), observation)
            fused = sharpener.sharpen(views)[:, *arrays.core.inside(arrays.pan_window)]
            return np.asarray(fused.float().cpu().numpy(), np.float32)
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
    except MemoryError as error:
        raise ResourceError("not enough memory for a tile: use a smaller --tile or --ram") from error
    core = arrays.core
    if min(core.height, core.width) < 2 * SMALLEST_TILE:
        raise ResourceError(f"the GPU's memory does not hold a tile of {core.width}x{core.height} pixels: --device cpu")
    out = np.empty((arrays.ms.shape[0], core.height, core.width), np.float32)
    for quarter in _quarters(core):
        out[:, *quarter.inside(core)] = sharpen_tile(_cut(arrays, quarter), sharpener, observation, device)
    return out


def release_memory() -> None:
    """Give what was freed back to the system: glibc keeps it, and whatever comes next would come on top."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # other C libraries have no such function
            ctypes.CDLL(None).malloc_trim(0)


def _quarters(core: Window) -> list[Window]:
    half_rows, half_cols = core.height // 2, core.width // 2
    rows = [(core.row, half_rows), (core.row + half_rows, core.height - half_rows)]
    cols = [(core.col, half_cols), (core.col + half_cols, core.width - half_cols)]
    return [Window(row, col, height, width) for row, height in rows for col, width in cols]


def _cut(arrays: TileArrays, core: Window) -> TileArrays:
    """The part of a tile around a smaller core, with the same halo."""
    halo = arrays.core.row - arrays.pan_window.row
    window = core.grown(halo)
    cut = window.inside(arrays.pan_window)
    return replace(
        arrays,
        pan=arrays.pan[:, *cut],
        pan_valid=arrays.pan_valid[:, *cut],
        valid=arrays.valid[:, *cut],
        pan_window=window,
        core=core,
    )
