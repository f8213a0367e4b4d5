"""How the result is stored: its bands, its grid, the type of its pixels, and what it says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from affine import Affine

from clippan_cli.rasters.metadata import RasterMetadata, as_product_says, combine, join, read_metadata
from clippan_cli.scene.band_names import chosen_bands, colours_by_name
from clippan_cli.scene.scene import Scene
from clippan_cli.scene.values import significant_bits
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.writing.encode import PixelFormat, Scaling, choose_format
from clippan_cli.writing.grid import OutputGrid
from clippan_cli.writing.options import OutputOptions
from clippan_models.errors import UsageError


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


def choose_output(scene: Scene, options: SharpenOptions) -> OutputFormat:
    """What the user wants, else the type of MS, on the grid of PAN.

    Raises:
        UsageError: there is no such band, or the range of the values to scale is not known.
    """
    chosen, encoding = chosen_bands(scene, options.bands), options.encoding
    metadata = _metadata(scene, chosen)
    partial = scene.region.polygon is not None or not scene.pair.ms_covers(scene.window)
    scaling = _scaling(scene, encoding)
    as_ms = encoding.dtype in (None, scene.pair.ms.dtype) and scaling is None
    nbits = encoding.nbits or (metadata.nbits if as_ms else None)
    pixels = choose_format(scene.pair, partial=partial, nbits=nbits, dtype=encoding.dtype, scaling=scaling)
    metadata = replace(metadata, nodata=pixels.nodata, nbits=pixels.nbits)
    if scaling is not None:
        physical = [scaling.physical(*each) for each in zip(metadata.scales, metadata.offsets, strict=True)]
        scales, offsets = zip(*physical, strict=True)
        metadata = replace(metadata, scales=scales, offsets=offsets)
    return OutputFormat(chosen, pixels, metadata, _grid(scene, pixels, len(chosen)))


def _scaling(scene: Scene, encoding: OutputOptions) -> Scaling | None:
    if encoding.scale_to is None:
        return None
    source, bits = encoding.scale_from, significant_bits(scene)
    if source is None and bits is None and scene.pair.ms.dtype != "uint8":
        raise UsageError(
            f"--scale-to: neither {scene.pair.ms.name} nor its sensor says how large values can be; add "
            "--scale-from LOW,HIGH"
        )
    return Scaling(source or (0.0, 2.0 ** (bits or 8) - 1), encoding.scale_to)


def _metadata(scene: Scene, bands: Sequence[int]) -> RasterMetadata:
    ms, pan = scene.pair.ms, scene.pair.pan
    of_ms = join([read_metadata(ms.datasets[d], [i]) for d, i in (ms.bands[b] for b in bands)])
    of_ms = as_product_says(of_ms, ms.declared.selected(bands))
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
