"""What a pair is, and what `sharpen` would do with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clippan_cli.rasters.source import RasterSource
from clippan_cli.running.compute import limited_threads
from clippan_cli.running.control import Control
from clippan_cli.running.options import ComputeOptions
from clippan_cli.running.warnings import RunWarning
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.scene import Scene, open_scene
from clippan_models.plain import plain


@dataclass(frozen=True)
class RasterInfo:
    """One of the two images."""

    files: tuple[str, ...]
    driver: str
    width: int
    height: int
    bands: int
    dtype: str
    nodata: tuple[float | None, ...]
    has_mask: bool
    crs: str | None
    pixel: tuple[float, float]
    descriptions: tuple[str | None, ...]


@dataclass(frozen=True)
class PairInfo:
    """Both images and how they relate.

    Attributes:
        ms: the multispectral image.
        pan: the panchromatic one.
        ratio: PAN pixels per MS pixel, down and right.
        origin: where georeferencing puts the corner of MS on the PAN grid, in PAN pixels down and right.
        overlap: columns and rows of the output.
        sensor: whose gains are nominal.
        sensor_reason: why.
        shifts: PAN pixels (down, right) by which each band is off.
        correlation: local squared correlation of each band with PAN.
        mtf_gains: gain of each band at the MS Nyquist frequency.
        mtf_from: "pair" or "sensor".
        pan_r2: share of PAN that the bands explain.
        notes: what was decided.
        warnings: what is doubtful about the pair.
        advice: what `sharpen` would do.
    """

    ms: RasterInfo
    pan: RasterInfo
    ratio: tuple[float, float]
    origin: tuple[float, float]
    overlap: tuple[int, int]
    sensor: str
    sensor_reason: str
    shifts: tuple[tuple[float, float], ...]
    correlation: tuple[float, ...]
    mtf_gains: tuple[float, ...]
    mtf_from: str
    pan_r2: float
    notes: tuple[str, ...]
    warnings: tuple[RunWarning, ...]
    advice: str

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return dict(plain(self))


def info(files: SceneFiles, read: ReadOptions, control: Control | None = None) -> PairInfo:
    """Look at a pair.

    Raises:
        ClippanError: files that cannot be read or do not belong together.
    """
    control = control or Control()
    control.strict = read.strict
    with ExitStack() as stack:
        scene = open_scene(files, read, control, stack)
        from clippan_cli.scene.estimation import estimate_scene

        stack.enter_context(limited_threads(ComputeOptions().thread_count))
        estimate = estimate_scene(scene, control)
        left, top, _, _ = scene.pair.ms_footprint()
        down, right = scene.pair.shift
        observation, registration = estimate.observation, estimate.registration
        scene.pair.stamps.check()
        return PairInfo(
            ms=_raster(scene.pair.ms),
            pan=_raster(scene.pair.pan),
            ratio=(scene.pair.sampling.ratio_y, scene.pair.sampling.ratio_x),
            origin=(top - down, left - right),
            overlap=(scene.window.width, scene.window.height),
            sensor=scene.sensor.key,
            sensor_reason=scene.sensor_reason,
            shifts=registration.shifts,
            correlation=registration.correlation,
            mtf_gains=observation.ms_gain,
            mtf_from="pair" if registration.blur_estimated else "sensor",
            pan_r2=observation.pan_r2,
            notes=scene.pair.notes,
            warnings=tuple(control.warnings),
            advice=_advice(scene, registration.shifts),
        )


def _raster(source: RasterSource) -> RasterInfo:
    grid = source.grid
    crs = grid.crs
    epsg = crs.to_epsg() if crs is not None else None
    return RasterInfo(
        files=tuple(Path(n).name for n in source.names),
        driver=grid.driver,
        width=source.width,
        height=source.height,
        bands=source.count,
        dtype=source.dtype,
        nodata=tuple(None if n is not None and math.isnan(n) else n for n in source.nodata),
        has_mask=source.masked,
        crs=f"EPSG:{epsg}" if epsg else crs.to_wkt() if crs is not None else None,
        pixel=(math.hypot(grid.transform.a, grid.transform.d), math.hypot(grid.transform.b, grid.transform.e)),
        descriptions=tuple(source.datasets[d].descriptions[i - 1] for d, i in source.bands),
    )


def _advice(scene: Scene, shifts: Sequence[tuple[float, float]]) -> str:
    worst = max(math.hypot(*shift) for shift in shifts)
    size = f"sharpen would write {scene.window.width}x{scene.window.height} pixels, {scene.pair.ms.count} bands"
    if worst < 0.05:
        return f"{size}, with the bands where the georeferencing says"
    return f"{size}, with the bands moved by up to {worst:.2f} PAN pixels"
