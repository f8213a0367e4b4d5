"""Measure one fused image: all indices in one pass over its windows, streamed and masked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from clippan_cli.quality.comparison import Compared, compare
from clippan_cli.quality.definitions import define
from clippan_cli.quality.options import AssessOptions
from clippan_cli.quality.planes import (
    Cropped,
    GeoreferencedPlanes,
    PlaneReader,
    make_planes,
    place_of,
)
from clippan_cli.quality.result import Assessment, BandQuality
from clippan_cli.quality.subject import Subject, band_names, measuring_device, open_subject, peak_of, value_limits
from clippan_cli.quality.warnings import with_warnings
from clippan_cli.rasters.limits import NO_LIMITS, Limits
from clippan_cli.rasters.source import RasterSource
from clippan_cli.rasters.tiles import ms_window_of, plan_tiles, spread_tiles
from clippan_cli.running.control import Control, Progress
from clippan_cli.scene.scene import Scene
from clippan_models.contracts import Sampling, Window
from clippan_models.errors import IncompatiblePairError, InputError, UsageError
from clippan_models.measuring.local_maps import LocalMaps
from clippan_models.measuring.no_reference import NoReferenceScores, score
from clippan_models.measuring.planes import QualityPlanes, SeenWindow
from clippan_models.measuring.reference import ReferenceScores
from clippan_models.measuring.reprojected import ReprojectedScores, ReprojectedTotals, Reprojection, estimate_phases
from clippan_models.measuring.toolbox_planes import ToolboxPlanes
from clippan_models.measuring.windows import Windows

_WINDOW = 256  # the cache holds its planes: twice as fast as 512 for eight bands
_SAMPLED_WINDOWS = 128  # 8 megapixels: enough for the third digit on scenes of any size
_PHASE_WINDOWS = 24
_MS_BLOCK = 32


@dataclass(frozen=True)
class Measured:
    """An assessment with what it was made from, for those who want to look closer.

    Attributes:
        assessment: the result.
        subject: the image.
        planes: what it was compared with.
        maps: where it is good and bad.
    """

    assessment: Assessment
    subject: Subject
    planes: QualityPlanes
    maps: LocalMaps


def assess_image(
    scene: Scene, name: str, options: AssessOptions, control: Control, limits: Limits = NO_LIMITS
) -> Assessment:
    """Assess one fused image against an open scene.

    Args:
        scene: the pair.
        name: the file of the image.
        options: how.
        control: progress and the request to stop.
        limits: of the values of the pair; the surroundings of others are not measured.

    Raises:
        InputError: it cannot be read, or has too few valid pixels.
        IncompatiblePairError: it does not belong to the scene.
    """
    with ExitStack() as stack:
        return measure(scene, open_subject(scene, name, stack), None, options, control, limits=limits).assessment


def measure(
    scene: Scene,
    subject: Subject,
    reference: RasterSource | None,
    options: AssessOptions,
    control: Control,
    found_at: Sampling | None = None,
    limits: Limits = NO_LIMITS,
) -> Measured:
    """Measure one image.

    Args:
        scene: the pair.
        subject: the image.
        reference: the truth, or None.
        options: how.
        control: progress and the request to stop.
        found_at: where co-registration found the samples of MS, for the R indices where the grids do not divide; None:
            where the georeferencing says.
        limits: of the values of the pair; the surroundings of others are not measured.

    Raises:
        InputError: too few valid pixels, or a file that cannot be read.
        UsageError: the convention does not fit the grids.
    """
    planes = make_planes(scene, subject.image, subject.place, measuring_device(options.compute), limits)
    exact = isinstance(planes, ToolboxPlanes)
    if options.convention == "paper" and not exact:
        raise UsageError("--qnr paper needs a ratio of 2, 4 or 8 and grids that share their corner; use --qnr toolbox")
    try:
        found = _without_reference(scene, subject, planes, options, control, found_at)
        truth = _against(scene, subject, reference, options, found.windows, control)
    except InputError as error:
        raise InputError(f"{subject.image.name}: {error}") from error
    looked_at = 1.0
    if found.windows is not None:
        looked_at = sum(w.pixels for w in found.windows) / (planes.shape[0] * planes.shape[1])
    convention = options.convention if exact else "georeferenced"
    where = _where(found.phases, exact or found_at is not None)
    scores = truth.scores if truth else None
    assessment = Assessment(
        path=subject.image.name,
        metrics=found.scores.metrics | found.reprojected.metrics | (scores.metrics if scores else {}),
        convention=convention,
        sensor=scene.sensor.key,
        valid_share=found.scores.valid_share,
        blocks=found.scores.blocks,
        looked_at=looked_at,
        role=subject.role,
        bands=_bands(scene, found.reprojected, found.extremes, scores),
        phases=found.phases,
        definition=define(scene, convention, where, scores, looked_at) | (truth.definition if truth else {}),
        warnings=tuple(truth.warnings()) if truth else (),
        reference_offset=truth.offset if truth else None,
        aligned=truth is not None and bool(truth.aligned),
    )
    return Measured(with_warnings(assessment), subject, planes, found.maps)


@dataclass(frozen=True)
class _Found:
    """What one pass over an image finds without a reference.

    Attributes:
        scores: the indices at full resolution.
        reprojected: the R indices.
        phases: those that the R indices used.
        maps: local values.
        extremes: of each band.
        windows: that were looked at; None: all.
    """

    scores: NoReferenceScores
    reprojected: ReprojectedScores
    phases: tuple[tuple[float, float], ...]
    maps: LocalMaps
    extremes: _Extremes
    windows: tuple[Window, ...] | None


def _without_reference(
    scene: Scene,
    subject: Subject,
    planes: QualityPlanes,
    options: AssessOptions,
    control: Control,
    found_at: Sampling | None,
) -> _Found:
    """All indices that need no reference, in one pass over the windows."""
    exact = planes if isinstance(planes, ToolboxPlanes) else None
    device = measuring_device(options.compute)
    windows = spread_tiles(planes.shape, _WINDOW, _SAMPLED_WINDOWS) if options.sampled else None
    maps, extremes = LocalMaps(planes.shape), _Extremes(*value_limits(scene, options))
    reprojection = None
    if exact is not None:
        found = _phases(scene, exact, windows)
        reprojection = Reprojection(exact.ms_source, exact.ratio, found)
    # the planes of other grids read as they go, from one thread
    workers = options.compute.thread_count if exact is not None and device.type == "cpu" else 1
    stage = f"assess {Path(subject.image.name).name}"

    def on_progress(done: int, total: int) -> None:
        control.report(Progress(stage, done, total, done * _WINDOW * _WINDOW, unit="windows"))

    scores = score(
        planes,
        Windows(size=_WINDOW, only=windows, workers=workers, on_progress=on_progress),
        coarse=exact.on_ms_grid() if options.convention == "paper" and exact is not None else None,
        maps=maps,
        observers=[extremes] if reprojection is None else [extremes, reprojection],
    )
    if reprojection is not None:
        phases = tuple((float(row), float(col)) for row, col in found)
        return _Found(scores, reprojection.summarise(), phases, maps, extremes, windows)
    sampling = found_at or scene.nominal.sampling
    phases = tuple(zip(sampling.phase_y, sampling.phase_x, strict=True))
    reprojected = _reproject(planes, sampling, windows, control)
    return _Found(scores, reprojected, phases, maps, extremes, windows)


def _where(phases: tuple[tuple[float, float], ...], estimated: bool) -> str:
    """The phases in words."""
    places = [f"({row:.3g}, {col:.3g})" for row, col in phases]
    shown = f"{places[0]} for all bands" if len(set(places)) == 1 else ", ".join(places)
    how = "estimated, where the band correlates best with the blurred PAN" if estimated else "by the georeferencing"
    return f"row, column within an MS pixel {shown}; {how}"


class _Extremes:
    """The least and largest value of each band, and how many pixels lie at the limits of the product."""

    def __init__(self, lowest: float, highest: float) -> None:
        self.lowest, self.highest = lowest, highest
        self.minimum = self.maximum = torch.zeros(0)
        self.at_limits: Tensor | float = 0.0
        self.count = 0

    def add(self, seen: SeenWindow) -> None:
        values = seen.fused[:, seen.valid].cpu()
        low, high = values.amin(dim=1), values.amax(dim=1)
        self.minimum = torch.minimum(self.minimum, low) if self.count else low
        self.maximum = torch.maximum(self.maximum, high) if self.count else high
        self.at_limits = self.at_limits + ((values <= self.lowest) | (values >= self.highest)).sum(dim=1)
        self.count += values.shape[1]


def _phases(scene: Scene, planes: ToolboxPlanes, windows: tuple[Window, ...] | None) -> tuple[tuple[int, int], ...]:
    """Where each band of MS is sampled, estimated from a bounded number of windows; the middle where nothing tells."""
    gain, ratio = scene.nominal.ms_gain[0], planes.ratio
    every = windows or plan_tiles(Window(0, 0, *planes.shape), _WINDOW)
    step = max(1, len(every) // _PHASE_WINDOWS)

    def pieces() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for window in every[::step]:
            below = Window(window.row // ratio, window.col // ratio, window.height // ratio, window.width // ratio)
            ms, valid = planes.ms_source.read(below).double(), planes.ms_source.valid(below)
            share = torch.nn.functional.avg_pool2d(planes.pan_source.valid(window)[None].float(), ratio)[0]
            yield ms, planes.pan_mtf(window, gain), valid & (share == 1)

    try:
        return tuple(phase for phase, _ in estimate_phases(pieces(), ratio))
    except InputError:
        return ((ratio // 2, ratio // 2),) * planes.bands


def _reproject(
    planes: QualityPlanes,
    sampling: Sampling,
    windows: tuple[Window, ...] | None,
    control: Control,
) -> ReprojectedScores:
    """The R indices where the grids do not divide: over windows of the MS grid."""
    if not isinstance(planes, GeoreferencedPlanes):
        raise TypeError("the toolbox's planes are reprojected while they stream")
    totals, unit = ReprojectedTotals(_MS_BLOCK), 2 * _MS_BLOCK
    place = planes.place
    around = ms_window_of(place, sampling, 0)
    start = Window(around.row // unit * unit, around.col // unit * unit, 0, 0)
    cells = plan_tiles(Window(start.row, start.col, around.row_stop - start.row, around.col_stop - start.col), unit)
    step = 1 if windows is None else max(1, len(cells) // len(windows))
    for cell in cells[::step]:
        control.check()
        values, valid = planes.ms_source.read(cell)
        degraded, seen = planes.at_ms(cell, sampling)
        totals.add(torch.from_numpy(values).double(), degraded, torch.from_numpy(valid.all(0)) & seen)
    return totals.summarise(sampling.ratio)


def _against(
    scene: Scene,
    subject: Subject,
    reference: RasterSource | None,
    options: AssessOptions,
    windows: tuple[Window, ...] | None,
    control: Control,
) -> Compared | None:
    """Compare with the reference, on the ground that both cover."""
    if reference is None:
        return None
    common = _inner(_intersection(subject.place, place_of(reference, scene), reference.name), options.border)
    image, truth = (
        Cropped(source, Window(common.row - at.row, common.col - at.col, common.height, common.width), source.name)
        for source, at in ((subject.image, subject.place), (reference, place_of(reference, scene)))
    )
    device = measuring_device(options.compute)
    known, made = PlaneReader(truth, device), PlaneReader(image, device)
    return compare(
        known,
        made,
        scene.nominal.sampling.ratio,
        peak_of(scene, options, truth),
        Windows(
            size=_WINDOW,
            only=windows if common == subject.place else None,
            workers=options.compute.thread_count if device.type == "cpu" else 1,
            on_progress=lambda done, total: control.report(Progress("reference", done, total, unit="windows")),
        ),
        align=options.align,
    )


def _intersection(one: Window, other: Window, name: str) -> Window:
    common = one.intersection(other)
    if common.pixels == 0:
        raise IncompatiblePairError(f"{name} and the fused image do not overlap")
    return common


def _inner(window: Window, border: int) -> Window:
    """A window without its border."""
    if 2 * border >= min(window.height, window.width):
        raise InputError(f"a border of {border} pixels leaves nothing of {window.width}x{window.height}")
    return Window(window.row + border, window.col + border, window.height - 2 * border, window.width - 2 * border)


def _bands(
    scene: Scene, reprojected: ReprojectedScores, extremes: _Extremes, truth: ReferenceScores | None
) -> tuple[BandQuality, ...]:
    names = band_names(scene)
    found = []
    for b, errors in enumerate(reprojected.bands):
        against = None
        if truth is not None:
            known = truth.bands[b]
            against = {k: v for k, v in asdict(known).items() if k in ("bias", "rmse", "correlation")}
            against["psnr"] = known.psnr(truth.peak)
        found.append(
            BandQuality(
                band=b + 1,
                name=names[b],
                ms_mean=errors.reference_mean,
                ms_std=errors.reference_std,
                mean=errors.fused_mean,
                std=errors.fused_std,
                bias=errors.bias,
                rmse=errors.rmse,
                correlation=errors.correlation,
                minimum=float(extremes.minimum[b]),
                maximum=float(extremes.maximum[b]),
                at_limits=float(torch.as_tensor(extremes.at_limits)[b]) / extremes.count,
                reference=against,
            )
        )
    return tuple(found)
