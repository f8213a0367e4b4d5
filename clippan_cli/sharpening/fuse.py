"""Fuse a scene tile by tile into a file, reading and writing while others are computed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clippan_cli.rasters.source import Mask, Values
from clippan_cli.rasters.tiles import TileArrays, plan_tiles
from clippan_cli.running.compute import release_memory
from clippan_cli.running.control import Progress
from clippan_cli.running.options import SMALLEST_TILE
from clippan_cli.scene.tensors import to_tile
from clippan_cli.sharpening.flat import FlatBands
from clippan_cli.sharpening.plan import Plan
from clippan_cli.sharpening.run import Run
from clippan_cli.writing.writer import SafeWriter
from clippan_models.contracts import Observation, Sharpener, Window
from clippan_models.errors import ClippanError, InputError, ResourceError
from clippan_models.ops.views import TileViews
from clippan_models.pipeline import BackgroundWriter, prefetch, side_by_side

_FusedCore = tuple[TileArrays, NDArray[Any], Mask]
"""What was read, the pixels of its core, and which of them exist, `[C, h, w]`."""


def fuse_tiles(run: Run, plan: Plan, sharpener: Sharpener, observation: Observation, writer: SafeWriter) -> int:
    """Fuse all tiles into the file; nothing appears at the path before it is verified.

    Returns:
        Bytes of the file.

    Raises:
        ResourceError: not even a small tile fits into memory.
        InputError: a file cannot be read, has changed meanwhile, or what follows from its values is not finite.
        ClippanError: a band of the result is constant although that of MS is not.
        OutputError: the file cannot be written.
        Interrupted: a signal asked to stop.
    """
    scene, pixels, control = run.scene, run.output.pixels, run.control
    cores = plan_tiles(scene.window, plan.tile)

    def write(item: _FusedCore) -> None:
        arrays, values, valid = item
        core = arrays.core
        at = Window(core.row - scene.window.row, core.col - scene.window.col, core.height, core.width)
        writer.write(at, values, np.asarray(valid.all(0)) if pixels.mask else None)

    flat = FlatBands(run.output.bands, scene.nominal.sampling)
    with (
        control.timed("sharpen"),
        prefetch(lambda core: scene.reader.read(core, plan.halo), cores) as tiles,
        side_by_side(lambda tile: _fused_core(run, tile, sharpener, observation), tiles, plan.workers) as fused,
        BackgroundWriter(write) as background,
    ):
        done = 0
        for number, item in enumerate(fused, start=1):
            flat.add(*item)
            background.put(item)
            done += item[0].core.pixels
            control.report(Progress("sharpen", number, len(cores), done, unit="tiles"))
    release_memory()
    scene.pair.stamps.check()
    _refuse_flat(run, flat.found())
    size = writer.commit(lambda stage, share: control.report(Progress(stage, round(100 * share), 100, unit="%")))
    release_memory()
    return size


def _refuse_flat(run: Run, bands: list[int]) -> None:
    if bands:
        weights = run.options.weights
        raise ClippanError(
            f"the result would be constant in band {', '.join(map(str, bands))}, although {run.scene.pair.ms.name} is "
            f"not, and is not written; use {'other --weights than ' + weights.name if weights else 'another --method'}"
        )


def _fused_core(run: Run, arrays: TileArrays, sharpener: Sharpener, observation: Observation) -> _FusedCore:
    pair, core = run.scene.pair, arrays.core
    valid = arrays.valid[:, *core.inside(arrays.pan_window)]
    if valid.any():
        fused = sharpen_tile(arrays, sharpener, observation, run.device)
    else:  # beyond the edge of a scene that was turned north
        fused = np.zeros(valid.shape, np.float32)
    if run.output.bands != tuple(range(pair.ms.count)):
        bands = list(run.output.bands)
        fused, valid = fused[bands], valid[bands]
    finite = np.isfinite(fused)
    if not (finite.all() or (finite | ~valid).all()):
        raise InputError(
            f"{pair.ms.name} and {pair.pan.name} give values that are not finite with --method "
            f"{run.options.method}; do they hold extreme values? see clippan info"
        )
    return arrays, run.output.pixels.encode(fused, valid), valid


def sharpen_tile(arrays: TileArrays, sharpener: Sharpener, observation: Observation, device: torch.device) -> Values:
    """The fused core of a tile, `[C, h, w]` float32; when the GPU's memory does not hold it, in quarters.

    Raises:
        ResourceError: not even a small tile fits.
    """
    try:
        return _sharpened_whole(arrays, sharpener, observation, device)
    except torch.cuda.OutOfMemoryError:
        pass
    except MemoryError as error:
        raise ResourceError("not enough memory for a tile: use a smaller --tile or --ram") from error
    torch.cuda.empty_cache()  # out here nothing refers to what the tile has left on the GPU
    core = arrays.core
    if min(core.height, core.width) < 2 * SMALLEST_TILE:
        raise ResourceError(
            f"a tile of {core.width}x{core.height} pixels does not fit into GPU memory; use --device cpu"
        )
    out = np.empty((arrays.ms.shape[0], core.height, core.width), np.float32)
    for quarter in _quarters(core):
        out[:, *quarter.inside(core)] = sharpen_tile(_cut(arrays, quarter), sharpener, observation, device)
    return out


@torch.inference_mode()
def _sharpened_whole(
    arrays: TileArrays, sharpener: Sharpener, observation: Observation, device: torch.device
) -> Values:
    views = TileViews(to_tile(arrays, device), observation)
    fused = sharpener.sharpen(views)[:, *arrays.core.inside(arrays.pan_window)]
    return np.asarray(fused.float().cpu().numpy(), np.float32)


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
