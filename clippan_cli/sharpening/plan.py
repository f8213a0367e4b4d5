"""What a run will do, decided before it begins: the grid of the output, the tiles, and what they cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from affine import Affine

from clippan_cli.rasters.tiles import plan_tiles
from clippan_cli.scene.scene import Scene, training_core
from clippan_cli.writing.encode import PixelFormat
from clippan_cli.writing.grid import OutputGrid, estimate_disk_bytes
from clippan_models.adaptation.options import AdaptOptions
from clippan_models.adaptation.patches import REDUCED_SIDE
from clippan_models.adaptation.teacher import SELF
from clippan_models.methods.registry import MethodSpec
from clippan_models.networks.registry import BACKBONES, find_fusing_backbone

if TYPE_CHECKING:
    from clippan_cli.sharpening.options import SharpenOptions
    from clippan_models.networks.spec import BackboneSpec

_MAX_TILE = 1024
_CORES = 2  # that the estimates of time are made for
_OTHER_BYTES = 400e6  # Python, torch and the raster library


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
        memory_mb: estimated peak of the tiles in flight, or of a step of learning.
        disk_mb: estimated space needed beside the output.
        seconds: rough time on two cores of a server.
    """

    width: int
    height: int
    bands: int
    dtype: str
    nodata: float | None
    tile: int
    halo: int
    tiles: int
    memory_mb: float
    disk_mb: float
    seconds: float


def plan_run(
    scene: Scene, options: SharpenOptions, spec: MethodSpec, halo: int, pixels: PixelFormat, bands: int
) -> Plan:
    """Choose the tile size for the memory allowed, and estimate what the run takes."""
    window = scene.window
    count = scene.pair.ms.count
    fixed_bytes = _OTHER_BYTES
    if spec.fitter is None:
        fixed_bytes += find_fusing_backbone(options.adapt.backbone).block_bytes(count)
    tile = options.compute.tile or _planned_tile(options.compute.ram_mb * 1e6 - fixed_bytes, spec, halo, count)
    tile_bytes = _tile_bytes(tile, halo, spec, count)
    grid = output_grid(scene, pixels, bands)
    return Plan(
        width=window.width,
        height=window.height,
        bands=bands,
        dtype=pixels.dtype,
        nodata=None if pixels.nodata is not None and math.isnan(pixels.nodata) else pixels.nodata,
        tile=tile,
        halo=halo,
        tiles=len(plan_tiles(window, tile)),
        memory_mb=round(max(tile_bytes + fixed_bytes, _learning_bytes(scene, spec, options.adapt)) / 1e6, 1),
        disk_mb=round(estimate_disk_bytes(grid, options.encoding) / 1e6, 1),
        seconds=round(5 + _learning_seconds(scene, spec, options.adapt) + _fusing_seconds(scene, spec, options), 1),
    )


def _fusing_seconds(scene: Scene, spec: MethodSpec, options: SharpenOptions) -> float:
    """Seconds to fuse all tiles."""
    count = scene.pair.ms.count
    if spec.fitter is None:
        network = find_fusing_backbone(options.adapt.backbone).fusing_seconds(count) / _CORES
        per_megapixel = network + 0.7 * count / 4  # the rest: views, projections, files
    else:
        per_megapixel = count / 4 / {"sr-d": 0.4}.get(options.method, 15.0)
    return scene.window.pixels / 1e6 * per_megapixel


def _learning_seconds(scene: Scene, spec: MethodSpec, adapt: AdaptOptions) -> float:
    """Seconds of all steps of the adaptation, its teacher and its judge."""
    if spec.fitter is not None:
        return 0.0
    count = scene.pair.ms.count
    backbone = find_fusing_backbone(adapt.backbone)
    full, reduced = _learning_pixels(scene, adapt)
    step = 0.035 + (0.08 if spec.language else 0.0) + _passes_seconds(backbone, full + reduced, count)
    if teacher := BACKBONES.get(adapt.backbone if adapt.teacher == SELF else adapt.teacher):
        step += _passes_seconds(teacher, reduced, count) / 3  # has a third of the steps
    return adapt.steps * step


def _learning_bytes(scene: Scene, spec: MethodSpec, adapt: AdaptOptions) -> float:
    """Memory of a step of the adaptation."""
    if spec.fitter is not None:
        return 0.0
    pixels = sum(_learning_pixels(scene, adapt))
    return _OTHER_BYTES + find_fusing_backbone(adapt.backbone).training_bytes(scene.pair.ms.count, pixels)


def _learning_pixels(scene: Scene, adapt: AdaptOptions) -> tuple[int, int]:
    """PAN pixels that a step sees, at full and at reduced resolution."""
    batch = adapt.patches_per_step
    return batch * training_core(scene) ** 2, 4 * batch * REDUCED_SIDE**2


def _passes_seconds(backbone: BackboneSpec, pixels: int, bands: int) -> float:
    """Seconds of a forward and a backward pass."""
    return 3 * backbone.cost.cpu_seconds.at(bands) * pixels / 1e6 / _CORES


def _planned_tile(allowed_bytes: float, spec: MethodSpec, halo: int, bands: int) -> int:
    tile = _MAX_TILE
    while tile > 256 and _tile_bytes(tile, halo, spec, bands) > allowed_bytes:
        tile //= 2
    return tile


def _tile_bytes(tile: int, halo: int, spec: MethodSpec, bands: int) -> float:
    """Float images of one tile in the compute, plus those waiting in the queues."""
    side = tile + 2 * halo
    working = spec.planes * (bands if spec.fitter is not None else 4) * 4
    waiting = 6 * (bands + 2) * 4
    return side * side * (working + waiting)


def output_grid(scene: Scene, pixels: PixelFormat, bands: int) -> OutputGrid:
    """The raster that a run makes."""
    window = scene.window
    return OutputGrid(
        width=window.width,
        height=window.height,
        count=bands,
        dtype=pixels.dtype,
        crs=scene.pair.crs,
        transform=scene.pair.transform(window) if not scene.pair.pan.grid.transform.is_identity else Affine.identity(),
        nodata=pixels.nodata,
        mask=pixels.mask,
        nbits=pixels.nbits,
    )
