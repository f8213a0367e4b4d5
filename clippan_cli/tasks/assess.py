"""Measure fused images without a reference: QNR, HQNR, D_rho and their parts, streamed and masked.

from clippan_cli.tasks.assess import AssessOptions, assess

report = assess(SceneOptions(ms=("ms.tif",), pan="pan.tif"), ["hrms.tif"], AssessOptions())
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clippan_cli.rasters.pair import same_crs
from clippan_cli.rasters.source import RasterSource, open_source
from clippan_cli.rasters.tiles import ms_window_of
from clippan_cli.tasks.compute import ComputeOptions, limited_threads
from clippan_cli.tasks.control import Control, Progress
from clippan_cli.tasks.scene import MS_READ_MARGIN, Scene, SceneOptions, open_scene
from clippan_models.contracts import Sampling, Window
from clippan_models.errors import IncompatiblePairError, InputError, QualityGateError
from clippan_models.metrics.no_reference import QualityPlanes, score
from clippan_models.metrics.toolbox_planes import ToolboxPlanes
from clippan_models.ops.resample import blur_radius, fill_invalid, upsample
from clippan_models.ops.views import project_to_ms

_WINDOW = 256  # the cache holds its planes: twice as fast as 512 for eight bands
_SAMPLED_WINDOWS = 128  # 8 megapixels: enough for the third digit on scenes of any size


@dataclass(frozen=True)
class AssessOptions:
    """How to assess.

    Attributes:
        compute: threads.
        sampled: look at evenly spread windows only, where the scene is large.
        min_qnr: fail below this QNR, or None.
    """

    compute: ComputeOptions = ComputeOptions()
    sampled: bool = False
    min_qnr: float | None = None


@dataclass(frozen=True)
class Assessment:
    """The quality of one fused image.

    Attributes:
        path: the image.
        metrics: D_lambda, D_s, QNR, D_lambda_K, HQNR, D_rho.
        convention: "toolbox" where the grids allow the community's conventions exactly, else "georeferenced".
        sensor: whose MTF gains were used.
        valid_share: share of the pixels looked at that are valid.
        blocks: 32 x 32 blocks that counted.
        looked_at: share of the scene that was looked at.
    """

    path: str
    metrics: dict[str, float]
    convention: str
    sensor: str
    valid_share: float
    blocks: int
    looked_at: float


@dataclass(frozen=True)
class AssessReport:
    """All images assessed against one pair."""

    images: tuple[Assessment, ...]
    seconds: float
    min_qnr: float | None

    def as_json(self) -> dict[str, Any]:
        """Plain data with everything a human is shown."""
        return {"images": [asdict(image) for image in self.images], "seconds": self.seconds, "min_qnr": self.min_qnr}

    def check_gate(self) -> None:
        """Compare with the threshold.

        Raises:
            QualityGateError: an image is below it.
        """
        if self.min_qnr is None:
            return
        for image in self.images:
            if not image.metrics["QNR"] >= self.min_qnr:
                raise QualityGateError(f"{image.path}: QNR {image.metrics['QNR']:.4f} is below {self.min_qnr:g}")


def assess(
    scene_options: SceneOptions, fused: Sequence[str], options: AssessOptions, control: Control | None = None
) -> AssessReport:
    """Assess fused images against the pair they were made from.

    Args:
        scene_options: the pair.
        fused: rasters on the PAN grid, or on a part of it.
        options: how.
        control: progress and the request to stop.

    Raises:
        ClippanError: files that cannot be read, or an image that does not belong to the pair.
    """
    control = control or Control()
    with control.timed("assess"), limited_threads(options.compute.thread_count), ExitStack() as stack:
        scene = open_scene(scene_options, control, stack)
        images = tuple(assess_image(scene, name, options, control) for name in fused)
    return AssessReport(images, control.seconds["assess"], options.min_qnr)


def assess_image(scene: Scene, name: str, options: AssessOptions, control: Control) -> Assessment:
    """Assess one fused image against an open scene.

    Raises:
        InputError: it cannot be read, or has too few valid pixels.
        IncompatiblePairError: it does not belong to the scene.
    """
    with ExitStack() as stack:
        fused = open_source([name], "fused", scene.options.pair.trust, stack)
        return _assess_source(scene, fused, options, control)


def _assess_source(scene: Scene, fused: RasterSource, options: AssessOptions, control: Control) -> Assessment:
    offset = _place_of(fused, scene)
    planes, convention = _planes(scene, fused, offset)
    windows = _spread(planes.shape) if options.sampled else None
    height, width = planes.shape

    def on_progress(done: int, total: int) -> None:
        control.report(Progress("assess", done, total, done * _WINDOW * _WINDOW))

    try:
        scores = score(planes, window_size=_WINDOW, windows=windows, on_progress=on_progress)
    except InputError as error:
        raise InputError(f"{fused.name}: {error}") from error
    looked_at = 1.0 if windows is None else sum(w.pixels for w in windows) / (height * width)
    return Assessment(
        path=fused.name,
        metrics=scores.as_metrics(),
        convention=convention,
        sensor=scene.sensor.key,
        valid_share=scores.valid_share,
        blocks=scores.blocks,
        looked_at=looked_at,
    )


def _place_of(fused: RasterSource, scene: Scene) -> Window:
    """Where a fused image lies on the PAN grid.

    Raises:
        IncompatiblePairError: it has other bands, another CRS, or does not lie on the grid.
    """
    pan, ms = scene.pair.pan, scene.pair.ms
    if fused.count != ms.count:
        raise IncompatiblePairError(f"{fused.name} has {fused.count} bands but {ms.name} has {ms.count}")
    if pan.grid.transform.is_identity or fused.grid.transform.is_identity:
        if (fused.height, fused.width) != (pan.height, pan.width):
            raise IncompatiblePairError(
                f"{fused.name} has {fused.width}x{fused.height} pixels but {pan.name} {pan.width}x{pan.height}, "
                "and there is no georeferencing to place it by"
            )
        return Window(0, 0, pan.height, pan.width)
    if not same_crs(fused.grid.crs, pan.grid.crs):
        raise IncompatiblePairError(f"{fused.name} is not in the CRS of {pan.name}: is it made from this pair?")
    to_pan = ~pan.grid.transform @ fused.grid.transform
    col, row = round(to_pan.c), round(to_pan.f)
    drift = max(abs(to_pan.a - 1) * fused.width, abs(to_pan.e - 1) * fused.height, abs(to_pan.b), abs(to_pan.d))
    if drift > 0.1 or abs(to_pan.c - col) > 0.1 or abs(to_pan.f - row) > 0.1:
        raise IncompatiblePairError(
            f"{fused.name} does not lie on the grid of {pan.name}: its pixel is {to_pan.a:.4g} x {to_pan.e:.4g} PAN "
            f"pixels and starts at column {to_pan.c:.3f}, row {to_pan.f:.3f}"
        )
    if row < 0 or col < 0 or row + fused.height > pan.height or col + fused.width > pan.width:
        raise IncompatiblePairError(f"{fused.name} reaches beyond {pan.name}: is it made from this pair?")
    return Window(row, col, fused.height, fused.width)


def _planes(scene: Scene, fused: RasterSource, place: Window) -> tuple[QualityPlanes, str]:
    ms, pan, s = scene.pair.ms, scene.pair.pan, scene.nominal.sampling
    ratio = round(s.ratio_y)
    whole = place == Window(0, 0, pan.height, pan.width)
    registered = all(abs(p - (ratio - 1) / 2) < 0.05 for p in (*s.phase_y, *s.phase_x))
    exact = (ratio * ms.height, ratio * ms.width) == (pan.height, pan.width) and ratio in (2, 4, 8)
    gains = scene.nominal.ms_gain
    if whole and exact and registered:
        return ToolboxPlanes(_PlaneSource(fused), _PlaneSource(ms), _PlaneSource(pan), gains), "toolbox"
    return _GeoreferencedPlanes(scene, fused, place), "georeferenced"


@dataclass(frozen=True)
class _PlaneSource:
    """A raster as the toolbox's planes read it."""

    source: RasterSource

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.source.count, self.source.height, self.source.width

    def read(self, window: Window) -> Tensor:
        return torch.from_numpy(self.source.read(window)[0])

    def valid(self, window: Window) -> Tensor:
        return torch.from_numpy(self.source.read(window)[1].all(0))


class _GeoreferencedPlanes:
    """The same images for pairs whose grids do not divide: every resampling happens where the geotransforms say.

    The interpolation is Lanczos and the blur a Gaussian of unit sum instead of the toolbox's, so values are close to
    the toolbox's but not comparable digit by digit.
    """

    def __init__(self, scene: Scene, fused: RasterSource, place: Window) -> None:
        self.scene, self.source, self.place = scene, fused, place
        self.sampling = scene.nominal.sampling
        self.gains = scene.nominal.ms_gain

    @property
    def shape(self) -> tuple[int, int]:
        return self.place.height, self.place.width

    @property
    def bands(self) -> int:
        return self.source.count

    @property
    def ratio(self) -> float:
        return self.sampling.ratio

    def fused(self, window: Window) -> Tensor:
        return torch.from_numpy(self.source.read(window)[0])

    def pan(self, window: Window) -> Tensor:
        values, _ = self.scene.pair.pan.read(self._on_pan(window))
        inside = self.source.read(window)[1].any(0) | self._inside(window)
        return torch.from_numpy(np.where(inside, values, 0))

    def valid(self, window: Window) -> Tensor:
        arrays = self.scene.reader.read(self._on_pan(window), 0)
        return torch.from_numpy(arrays.valid.all(0) & self.source.read(window)[1].all(0))

    def exp(self, window: Window) -> Tensor:
        pan_window = self._on_pan(window)
        ms_window = ms_window_of(pan_window, self.sampling, MS_READ_MARGIN)
        values, valid = self.scene.pair.ms.read(ms_window)
        filled = fill_invalid(torch.from_numpy(values), torch.from_numpy(valid), MS_READ_MARGIN)
        return upsample(filled, ms_window, pan_window, self.sampling).double()

    def pan_low(self, window: Window) -> Tensor:
        pan_window = self._on_pan(window)
        ms_window = ms_window_of(pan_window, self.sampling, MS_READ_MARGIN)
        gain = float(np.mean(self.gains))
        wide = pan_window.grown(blur_radius(gain, self.ratio) + int((MS_READ_MARGIN + 1) * self.ratio))
        values, valid = self.scene.pair.pan.read(wide)
        one = self.sampling.select([0])
        low, share = project_to_ms(torch.from_numpy(values), torch.from_numpy(valid), wide, ms_window, one, (gain,))
        return upsample(fill_invalid(low, share > 0.01, MS_READ_MARGIN), ms_window, pan_window, one).double()

    def fused_mtf(self, window: Window) -> Tensor:
        # the blur between the grids, without the decimation: a Gaussian of the same width on the PAN grid
        gain = tuple(g ** (self.ratio**2) for g in self.gains)
        wide = window.grown(max(blur_radius(g, 1.0) for g in gain))
        values, valid = self.source.read(wide)
        same = Sampling(1.0, 1.0, (0.0,) * self.bands, (0.0,) * self.bands)
        blurred, _ = project_to_ms(torch.from_numpy(values), torch.from_numpy(valid), wide, window, same, gain)
        return blurred.double()

    def _on_pan(self, window: Window) -> Window:
        return Window(self.place.row + window.row, self.place.col + window.col, window.height, window.width)

    def _inside(self, window: Window) -> np.ndarray:
        rows = np.arange(window.row, window.row_stop)
        cols = np.arange(window.col, window.col_stop)
        return ((rows >= 0) & (rows < self.place.height))[:, None] & ((cols >= 0) & (cols < self.place.width))


@lru_cache(maxsize=8)
def _spread(shape: tuple[int, int]) -> tuple[Window, ...] | None:
    """Windows spread evenly over a scene that is too large to look at all of it; None: look at all."""
    height, width = shape
    rows, cols = height // _WINDOW, width // _WINDOW
    if rows * cols <= 2 * _SAMPLED_WINDOWS:
        return None
    # A low-discrepancy sequence leaves neither holes nor clusters, and is the same every time.
    golden = np.array([0.7548776662466927, 0.5698402909980532])
    points = (0.5 + np.arange(1, _SAMPLED_WINDOWS + 1)[:, None] * golden) % 1.0
    cells = {(int(y * rows), int(x * cols)) for y, x in points}
    return tuple(Window(r * _WINDOW, c * _WINDOW, _WINDOW, _WINDOW) for r, c in sorted(cells))
