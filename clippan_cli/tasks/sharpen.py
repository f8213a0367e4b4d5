"""Sharpen a scene: adapt or fit, then fuse tile by tile into a georeferenced file.

from clippan_cli.tasks.sharpen import SharpenOptions, sharpen
from clippan_cli.scene.files import ReadOptions, SceneFiles

files = SceneFiles(ms=("ms.tif",), pan="pan.tif")
result = sharpen(files, ReadOptions(), SharpenOptions(output=Path("hrms.tif")))
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clippan_cli import __version__
from clippan_cli.quality.measure import assess_image
from clippan_cli.quality.options import AssessOptions
from clippan_cli.quality.result import Assessment
from clippan_cli.rasters.metadata import RasterMetadata, combine, join, read_metadata
from clippan_cli.rasters.source import Mask, RasterSource
from clippan_cli.rasters.tiles import TileArrays, plan_tiles
from clippan_cli.report.quicklook import write_quicklook
from clippan_cli.running.compute import (
    choose_device,
    limited_threads,
    release_memory,
    sharpen_tile,
    to_tile,
)
from clippan_cli.running.control import Control, Progress
from clippan_cli.running.pipeline import Behind, ahead
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.scene import (
    TRAINING_WINDOWS,
    Estimate,
    Scene,
    core_valid,
    estimate_scene,
    open_scene,
    sample_tiles,
    training_core,
)
from clippan_cli.sharpening.guidance import describe_guide, open_guide
from clippan_cli.sharpening.learning import describe_curve
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.sharpening.plan import Plan, output_grid, plan_run
from clippan_cli.weights.cards import check_weights_path, learned_card, load_fitting, write_weights
from clippan_cli.writing.encode import PixelFormat, choose_format
from clippan_cli.writing.options import OutputOptions
from clippan_cli.writing.path import check_free_space, check_output_path
from clippan_cli.writing.rehearsal import check_encoding
from clippan_cli.writing.writer import CommitReport, SafeWriter
from clippan_models.adaptation.options import AdaptOptions
from clippan_models.adaptation.scene import Guide
from clippan_models.adaptation.trainer import Adapted
from clippan_models.contracts import Fitter, Sharpener, Window
from clippan_models.errors import InputError, Interrupted, UsageError
from clippan_models.methods.network import NetworkSharpener, adapt_network, network_halo
from clippan_models.methods.registry import MethodSpec, find_method
from clippan_models.networks.registry import find_fusing_backbone
from clippan_models.ops.views import TileViews, fit_halo, lowpass_halo
from clippan_models.store.checkpoint import Checkpoint

_STATISTICS_CELL = 512
_STATISTICS_PIXELS = 16_000_000  # valid PAN pixels that the statistics of a classical method are taken from, at most


@dataclass(frozen=True)
class SharpenResult:
    """What a run did; `as_json` gives it as plain data.

    Attributes:
        output: the file, None after a dry run.
        plan: size, tiles, memory.
        provenance: what is also in the tags of the file.
        shifts: PAN pixels (down, right) by which each band was off.
        seconds: wall time by stage.
        mpx_per_second: PAN megapixels fused per second of the sharpening stage.
        adapted: how the network learned, for the network method.
        quality: no-reference indices, where they were asked for.
        quicklook: the picture, where it was asked for.
        saved_weights: the file of what was learned, where it was asked for.
    """

    output: Path | None
    plan: Plan
    provenance: dict[str, str]
    shifts: tuple[tuple[float, float], ...]
    seconds: dict[str, float]
    mpx_per_second: float | None = None
    adapted: Adapted | None = None
    quality: Assessment | None = None
    quicklook: Path | None = None
    saved_weights: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain data with everything a human is shown."""
        curve = None
        if self.adapted is not None:
            curve = {
                "best_step": self.adapted.best_step,
                "steps": self.adapted.steps,
                "stopped": self.adapted.stopped,
                "loss": [{"step": p.step, "total": p.total, **p.parts} for p in self.adapted.curve],
            }
        return {
            "output": str(self.output) if self.output else None,
            "plan": asdict(self.plan),
            "provenance": self.provenance,
            "shifts": [{"band": b + 1, "down": y, "right": x} for b, (y, x) in enumerate(self.shifts)],
            "seconds": self.seconds,
            "mpx_per_second": self.mpx_per_second,
            "adaptation": curve,
            "quality": self.quality.metrics if self.quality else None,
            "quicklook": str(self.quicklook) if self.quicklook else None,
            "weights": str(self.saved_weights) if self.saved_weights else None,
        }


def sharpen(
    files: SceneFiles,
    read: ReadOptions,
    options: SharpenOptions,
    control: Control | None = None,
    estimate: Estimate | None = None,
) -> SharpenResult:
    """Sharpen a scene into a file.

    Args:
        files: MS and PAN.
        read: how to read them.
        options: what to make of it.
        control: progress, notes, and the request to stop.
        estimate: of this scene, where it has been made before.

    Raises:
        ClippanError: one of its children, each with its exit code; the output path is then as it was before.
    """
    control = control or Control()
    started = time.perf_counter()
    spec = find_method(options.method)
    _check_paths(files, options)
    device = choose_device(options.compute.device)
    with ExitStack() as stack, limited_threads(options.compute.thread_count):
        scene = open_scene(files, read, control, stack)
        bands = _chosen_bands(options, scene.pair.ms)
        metadata, pixels = _format(scene, bands)
        start = _starting_point(scene, options)
        # opened before the work: a bad option or a full disk is told now, and not after the adaptation
        writer = stack.enter_context(_writer(scene, options, metadata, pixels, len(bands)))
        guide = None
        if spec.language and not (start is not None and options.adapt.steps == 0):  # nobody would listen to it
            guide = open_guide(options.guidance, scene, options.adapt.seed, device)
        estimate = estimate or estimate_scene(scene, control)
        initial = start.network if start else None
        sharpener, adapted, halo = _fit(spec, scene, estimate, options, guide, initial, device, control)
        plan = plan_run(scene, options, spec, halo, pixels, len(bands))
        provenance = {**_provenance(scene, estimate, options, device, plan), **describe_guide(spec, guide)}
        provenance |= describe_curve(adapted) | _describe_start(options, start)
        writer.write_provenance(provenance)
        report = _fuse(scene, estimate, sharpener, plan, writer, options, device, bands, pixels, control)
        if options.save_weights is not None and adapted is not None and isinstance(sharpener, NetworkSharpener):
            card = learned_card(scene, estimate, options.adapt, adapted, guide, start.sha256 if start else "")
            write_weights(replace(sharpener.checkpoint(), card=card), options.save_weights)
        try:
            quality = _assess(scene, options, control) if options.assess else None
            picture = _draw(scene, options, control)
        except Interrupted as stop:
            raise Interrupted(stop.signal_number, f"{options.output} was complete already") from stop
    control.seconds["total"] = time.perf_counter() - started
    fused_seconds = control.seconds["sharpen"] or 1e-9
    return SharpenResult(
        output=options.output,
        plan=plan,
        provenance={**provenance, "FILE_BYTES": str(report.file_bytes)},
        shifts=_shifts(estimate),
        seconds=dict(control.seconds),
        mpx_per_second=scene.window.pixels / 1e6 / fused_seconds,
        adapted=adapted,
        quality=quality,
        quicklook=picture,
        saved_weights=options.save_weights,
    )


def plan_sharpen(
    files: SceneFiles, read: ReadOptions, options: SharpenOptions, control: Control | None = None
) -> SharpenResult:
    """What `sharpen` would do, without adapting or writing: the grid, tiles, memory, disk and time.

    Raises:
        ClippanError: what `sharpen` would refuse before its work.
    """
    control = control or Control()
    spec = find_method(options.method)
    _check_paths(files, options)
    device = choose_device(options.compute.device)
    with ExitStack() as stack, limited_threads(options.compute.thread_count):
        scene = open_scene(files, read, control, stack)
        bands = _chosen_bands(options, scene.pair.ms)
        metadata, pixels = _format(scene, bands)
        grid = output_grid(scene, pixels, len(bands))
        check_free_space(options.output, grid, options.encoding)
        check_encoding(grid, _encoding(options), metadata)
        start = _starting_point(scene, options)
        estimate = estimate_scene(scene, control)
        plan = plan_run(scene, options, spec, _planned_halo(spec, estimate, options.adapt), pixels, len(bands))
        provenance = _provenance(scene, estimate, options, device, plan) | _describe_start(options, start)
    return SharpenResult(None, plan, provenance, _shifts(estimate), dict(control.seconds))


def _check_paths(files: SceneFiles, options: SharpenOptions) -> None:
    inputs = files.paths
    check_output_path(options.output, inputs, options.encoding.overwrite)
    if options.quicklook is not None:
        check_output_path(options.quicklook, [*inputs, options.output], options.encoding.overwrite)
    for option, path in (("--weights", options.weights), ("--save-weights", options.save_weights)):
        if path is not None and find_method(options.method).fitter is not None:
            raise UsageError(f"{option} needs a network, and --method {options.method} has none")
    if options.save_weights is not None:
        others = [*inputs, options.output, *([options.weights] if options.weights else [])]
        check_weights_path(options.save_weights, others, overwrite=options.encoding.overwrite)


def _starting_point(scene: Scene, options: SharpenOptions) -> Checkpoint | None:
    """The weights to begin with, checked against the scene."""
    return None if options.weights is None else load_fitting(options.weights, scene, options.adapt.backbone)


def _describe_start(options: SharpenOptions, start: Checkpoint | None) -> dict[str, str]:
    if start is None or options.weights is None:
        return {}
    return {"WEIGHTS": options.weights.name, "WEIGHTS_SHA256": start.sha256}


def _chosen_bands(options: SharpenOptions, ms: RasterSource) -> list[int]:
    """0-based bands to write."""
    if options.bands is None:
        return list(range(ms.count))
    wrong = [b for b in options.bands if not 1 <= b <= ms.count]
    if wrong or not options.bands:
        shown = ",".join(map(str, wrong)) or "none"
        raise UsageError(f"--bands {shown}: {ms.name} has bands 1 to {ms.count}")
    return [b - 1 for b in options.bands]


def _format(scene: Scene, bands: Sequence[int]) -> tuple[RasterMetadata, PixelFormat]:
    pair = scene.pair
    window = scene.window
    metadata = combine(
        join([read_metadata(pair.ms.datasets[d], [i]) for d, i in (pair.ms.bands[b] for b in bands)]),
        read_metadata(pair.pan.grid, [pair.pan.bands[0][1]]),
        (window.row, window.col),
    )
    partial = scene.region.polygon is not None or not pair.ms_covers(window)
    pixels = choose_format(pair, partial=partial, nbits=metadata.nbits)
    return replace(metadata, nodata=pixels.nodata, nbits=pixels.nbits), pixels


def _planned_halo(spec: MethodSpec, estimate: Estimate, adapt: AdaptOptions) -> int:
    if not spec.looks_around:
        return 0
    around = lowpass_halo(estimate.observation)
    if spec.fitter is not None:
        return around
    return around + network_halo(estimate.observation, find_fusing_backbone(adapt.backbone), adapt.rounds)


def _fit(
    spec: MethodSpec,
    scene: Scene,
    estimate: Estimate,
    options: SharpenOptions,
    guide: Guide | None,
    initial: nn.Module | None,
    device: torch.device,
    control: Control,
) -> tuple[Sharpener, Adapted | None, int]:
    """The method fitted to the scene, how it learned, and the halo its tiles need."""
    if spec.fitter is None:
        sharpener, adapted = _adapt(scene, estimate, options, guide, initial, device, control)
        return sharpener, adapted, lowpass_halo(estimate.observation) + sharpener.halo
    fitter = spec.fitter()
    if spec.gathers:
        with control.timed("fit"):
            _gather(fitter, scene, estimate, device, control)
    fitted = fitter.finish()
    return fitted, None, (lowpass_halo(estimate.observation) if spec.looks_around else 0) + fitted.halo


def _gather(fitter: Fitter, scene: Scene, estimate: Estimate, device: torch.device, control: Control) -> None:
    """Show a method all of a scene, or of a large one cells from everywhere, the same whatever the tiles.

    Means and covariances of 16 million pixels are known far better than the methods are true: more only cost time.
    """
    halo = max(fit_halo(estimate.observation), fitter.halo)
    cells = plan_tiles(scene.window, _STATISTICS_CELL)
    if scene.window.pixels > _STATISTICS_PIXELS:
        order = np.random.default_rng(scene.options.seed).permutation(len(cells))
        cells = [cells[int(i)] for i in order]
    seen = 0
    with _read(scene, cells, halo) as tiles:
        for number, arrays in enumerate(tiles, start=1):
            fitter.update(TileViews(to_tile(arrays, device), estimate.observation))
            seen += int(core_valid(arrays).sum())
            control.report(Progress("statistics", number, len(cells), seen))
            if seen >= _STATISTICS_PIXELS:
                break


def _adapt(
    scene: Scene,
    estimate: Estimate,
    options: SharpenOptions,
    guide: Guide | None,
    initial: nn.Module | None,
    device: torch.device,
    control: Control,
) -> tuple[Sharpener, Adapted]:
    with control.timed("adapt"):
        core = training_core(scene)
        arrays = sample_tiles(scene, core, TRAINING_WINDOWS, fit_halo(estimate.observation), control)
        tiles = [to_tile(a, torch.device("cpu")) for a in arrays]

        def on_step(stage: str, step: int, steps: int, loss: float) -> None:
            control.report(Progress(stage, step, steps, note=f"loss {loss:.4f}"))

        return adapt_network(
            tiles, estimate.observation, options.adapt, device, estimate.ceilings, on_step, guide, initial
        )


def _read(scene: Scene, cores: Sequence[Window], halo: int) -> AbstractContextManager[Iterator[TileArrays]]:
    return ahead(scene.reader.read(core, halo) for core in cores)


def _writer(
    scene: Scene, options: SharpenOptions, metadata: RasterMetadata, pixels: PixelFormat, bands: int
) -> SafeWriter:
    return SafeWriter(options.output, output_grid(scene, pixels, bands), _encoding(options), metadata)


def _encoding(options: SharpenOptions) -> OutputOptions:
    return replace(options.encoding, threads=options.compute.thread_count)


def _fuse(
    scene: Scene,
    estimate: Estimate,
    sharpener: Sharpener,
    plan: Plan,
    writer: SafeWriter,
    options: SharpenOptions,
    device: torch.device,
    bands: Sequence[int],
    pixels: PixelFormat,
    control: Control,
) -> CommitReport:
    """Fuse all tiles into the file; nothing appears at the path before it is verified."""
    window = scene.window
    cores = plan_tiles(window, plan.tile)
    origin = (window.row, window.col)

    def write(item: tuple[Window, NDArray[Any], Mask]) -> None:
        core, values, valid = item
        place = Window(core.row - origin[0], core.col - origin[1], core.height, core.width)
        writer.write(place, values, np.asarray(valid.all(0)) if pixels.mask else None)

    with control.timed("sharpen"), _read(scene, cores, plan.halo) as tiles, Behind(write) as behind:
        done = 0
        for number, (core, arrays) in enumerate(zip(cores, tiles, strict=True), start=1):
            fused = sharpen_tile(arrays, sharpener, estimate.observation, device)[bands]
            valid = arrays.valid[:, *core.inside(arrays.pan_window)][bands]
            behind.put((core, pixels.encode(fused, valid), valid))
            done += core.pixels
            control.report(Progress("sharpen", number, len(cores), done))
    release_memory()
    with control.timed("write"):
        return writer.commit(lambda stage, share: control.report(Progress(stage, round(100 * share), 100)))


def _provenance(
    scene: Scene, estimate: Estimate, options: SharpenOptions, device: torch.device, plan: Plan
) -> dict[str, str]:
    observation, registration = estimate.observation, estimate.registration
    shifts = [[round(y, 3), round(x, 3)] for y, x in _shifts(estimate)]
    tags = {
        "VERSION": __version__,
        "METHOD": options.method,
        "SENSOR": scene.sensor.key,
        "SENSOR_REASON": scene.sensor_reason,
        "DEVICE": str(device),
        "THREADS": str(options.compute.thread_count),
        "TORCH": torch.__version__,
        "PYTHON": platform.python_version(),
        "TILE": str(plan.tile),
        "MS": json.dumps([Path(n).name for n in scene.pair.ms.names]),
        "PAN": Path(scene.files.pan).name,
        "MS_SIZE": f"{scene.pair.ms.width}x{scene.pair.ms.height}x{scene.pair.ms.count}",
        "PAN_SIZE": f"{scene.pair.pan.width}x{scene.pair.pan.height}",
        "RATIO": f"{scene.nominal.sampling.ratio_y:.6g} x {scene.nominal.sampling.ratio_x:.6g}",
        "COREGISTER": scene.options.coregister,
        "SHIFTS_PAN_PX_DOWN_RIGHT": json.dumps(shifts),
        "SHIFT_CORRELATION": json.dumps([round(c, 3) for c in registration.correlation]),
        "MTF_GAINS": json.dumps([round(g, 3) for g in observation.ms_gain]),
        "MTF_GAINS_FROM": "the pair" if registration.blur_estimated else f"sensor {scene.sensor.key}",
        "PAN_R2": f"{observation.pan_r2:.4f}",
        "NOTES": json.dumps(list(scene.pair.notes)),
    }
    if find_method(options.method).fitter is None:
        adapt = options.adapt
        weights = {k: v for k, v in asdict(adapt.weights).items() if v}
        tags |= {
            "SEED": str(adapt.seed),
            "STEPS": str(adapt.steps),
            "BACKBONE": adapt.backbone,
            "TEACHER": adapt.teacher,
        }
        tags |= {"LOSS": json.dumps(weights), "PROJECTIONS": str(adapt.rounds)}
    return tags


def _shifts(estimate: Estimate) -> tuple[tuple[float, float], ...]:
    return tuple(zip(estimate.registration.shift_y, estimate.registration.shift_x, strict=True))


def _assess(scene: Scene, options: SharpenOptions, control: Control) -> Assessment | None:
    if options.bands is not None:
        control.on_note("quality is not measured for a choice of bands: the indices compare all of them")
        return None
    try:
        with control.timed("assess"):
            return assess_image(scene, str(options.output), AssessOptions(sampled=True), control)
    except InputError as error:  # too few valid pixels; the image itself is verified
        control.on_note(f"quality is not measured: {error}")
        return None


def _draw(scene: Scene, options: SharpenOptions, control: Control) -> Path | None:
    if options.quicklook is None:
        return None
    with control.timed("quicklook"):
        return write_quicklook(options.quicklook, scene.files, scene.options, options.output)
