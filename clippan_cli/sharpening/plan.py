"""What a run will do, decided before it begins: the grid of the output, the tiles, and what they cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clippan_cli.rasters.tiles import plan_tiles
from clippan_cli.scene.scene import Scene
from clippan_cli.sharpening.format import OutputFormat
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.writing.creation import BLOCK
from clippan_cli.writing.grid import OutputGrid, estimate_disk_bytes
from clippan_models.methods.method import MethodCost

_LARGEST_TILE, _SMALLEST_TILE = 1024, 256  # that are chosen by themselves
_LARGEST_OF_SEVERAL = 512  # side by side: images of larger ones do not fit the cache of a core
_LARGEST_ON_GPU = 2048  # each takes a tenth of a second to set up, and a GPU a hundredth for a million pixels
_SHARE_OF_GPU = 0.5  # of what is free; a tile that does not fit after all is made in quarters
_OTHER_BYTES = 400e6  # Python, torch and the raster library
_WAITING = 6  # tiles in the queues of reader and writer, in float32 and masks
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes:
        width: columns of the output.
        height: rows of the output.
        bands: bands of the output.
        dtype: of the output.
        nodata: of the output.
        tile: side of a tile in PAN pixels.
        halo: PAN pixels read around each.
        tiles: how many.
        workers: tiles that are fused at a time.
        memory_mb: estimated peak of the tiles in flight and of what waits to be written, or of a step of learning.
        disk_mb: estimated space needed beside the output.
    """

    width: int
    height: int
    bands: int
    dtype: str
    nodata: float | None
    tile: int
    halo: int
    tiles: int
    workers: int
    memory_mb: float
    disk_mb: float


def plan_run(
    scene: Scene,
    options: SharpenOptions,
    output: OutputFormat,
    cost: MethodCost,
    workers: int,
    gpu_bytes: float | None = None,
) -> Plan:
    """Choose the tile size for the memory allowed, and estimate what the run takes.

    Args:
        scene: what is sharpened.
        options: with the memory allowed.
        output: the file.
        cost: of the method.
        workers: tiles at a time.
        gpu_bytes: free memory of the GPU that works on the tiles, or None: this machine does, in its own memory.
    """
    grid = output.grid
    worked_on, fixed = (workers * cost.tile_bytes, cost.fixed_bytes) if gpu_bytes is None else (0.0, 0.0)
    pixel_bytes = worked_on + _WAITING * (scene.pair.ms.count + 2) * _FLOAT_BYTES
    allowed = options.compute.ram_mb * 1e6 - _OTHER_BYTES - fixed
    tile = options.compute.tile or _planned_tile(allowed, pixel_bytes, cost, gpu_bytes)
    fusing_bytes = _tile_bytes(tile, pixel_bytes, cost.halo) + _waiting_bytes(tile, grid) + fixed
    return Plan(
        width=grid.width,
        height=grid.height,
        bands=grid.count,
        dtype=grid.dtype,
        nodata=None if grid.nodata is not None and math.isnan(grid.nodata) else grid.nodata,
        tile=tile,
        halo=cost.halo,
        tiles=len(plan_tiles(scene.window, tile)),
        workers=workers,
        memory_mb=round((_OTHER_BYTES + max(fusing_bytes, cost.learning_bytes)) / 1e6, 1),
        disk_mb=round(estimate_disk_bytes(grid, options.encoding) / 1e6, 1),
    )


def _planned_tile(allowed_bytes: float, pixel_bytes: float, cost: MethodCost, gpu_bytes: float | None) -> int:
    tile = _LARGEST_OF_SEVERAL if cost.side_by_side else _LARGEST_TILE
    allowed_on_gpu = math.inf
    if gpu_bytes is not None:
        tile, allowed_on_gpu = _LARGEST_ON_GPU, _SHARE_OF_GPU * gpu_bytes
    while tile > _SMALLEST_TILE and not (
        _tile_bytes(tile, pixel_bytes, cost.halo) <= allowed_bytes
        and _tile_bytes(tile, cost.tile_bytes, cost.halo) <= allowed_on_gpu
    ):
        tile //= 2
    return tile


def _tile_bytes(tile: int, pixel_bytes: float, halo: int) -> float:
    """Images of one tile at work, and of those that wait in the queues."""
    return (tile + 2 * halo) ** 2 * pixel_bytes


def _waiting_bytes(tile: int, grid: OutputGrid) -> float:
    """A row of blocks of the file, where tiles share them."""
    return 0 if tile % BLOCK == 0 else grid.raw_bytes / grid.height * min(BLOCK, grid.height)
