"""How the result is stored: its bands, its grid, the type of its pixels, and what it says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from affine import Affine

from clippan_cli.rasters.metadata import RasterMetadata, combine, join, read_metadata
from clippan_cli.scene.band_names import chosen_bands, colours_by_name
from clippan_cli.scene.scene import Scene
from clippan_cli.writing.encode import PixelFormat, choose_format
from clippan_cli.writing.grid import OutputGrid


@dataclass(frozen=True)
class OutputFormat:
    """How the result is stored.

    Attributes:
        bands: of MS, 0-based, in the order in which they are written.
        pixels: how values become pixels.
        metadata: of bands and file, after that of MS and PAN.
        grid: the raster.
    """

    bands: tuple[int, ...]
    pixels: PixelFormat
    metadata: RasterMetadata
    grid: OutputGrid


def choose_output(scene: Scene, bands: Sequence[int | str] | None) -> OutputFormat:
    """The type of MS on the grid of PAN.

    Args:
        scene: the scene.
        bands: of MS, by number, counted from 1, or by name; None: all.

    Raises:
        UsageError: there is no such band.
    """
    chosen = chosen_bands(scene, bands)
    metadata = _metadata(scene, chosen)
    partial = scene.region.polygon is not None or not scene.pair.ms_covers(scene.window)
    pixels = choose_format(scene.pair, partial=partial, nbits=metadata.nbits)
    metadata = replace(metadata, nodata=pixels.nodata, nbits=pixels.nbits)
    return OutputFormat(chosen, pixels, metadata, _grid(scene, pixels, len(chosen)))


def _metadata(scene: Scene, bands: Sequence[int]) -> RasterMetadata:
    ms, pan = scene.pair.ms, scene.pair.pan
    of_ms = join([read_metadata(ms.datasets[d], [i]) for d, i in (ms.bands[b] for b in bands)])
    if len(ms.names) > 1 and scene.sensor.bands:
        # in one file, nothing else says which bands came from which
        known = [scene.sensor.bands[b].name for b in bands]
        named = tuple(said or name for said, name in zip(of_ms.descriptions, known, strict=True))
        of_ms = replace(of_ms, descriptions=named)
    return combine(
        replace(of_ms, colors=colours_by_name(scene, bands) or of_ms.colors),
        read_metadata(pan.grid, [pan.bands[0][1]]),
        (scene.window.row, scene.window.col),
    )


def _grid(scene: Scene, pixels: PixelFormat, bands: int) -> OutputGrid:
    window, pair = scene.window, scene.pair
    return OutputGrid(
        width=window.width,
        height=window.height,
        count=bands,
        dtype=pixels.dtype,
        crs=pair.crs,
        transform=Affine.identity() if pair.pan.grid.transform.is_identity else pair.transform(window),
        nodata=pixels.nodata,
        mask=pixels.mask,
        nbits=pixels.nbits,
    )
