"""Wald's protocol: degrade the pair by its ratio, sharpen it, and compare with the MS that was there before.

MS is blurred by a Gaussian with the sensor's gain at the Nyquist frequency of the coarser grid and sampled in the
middle of its pixels; PAN is brought to the MS grid by a Gaussian with its own gain. Both stay where they are on the
ground, so any method that trusts georeferencing can be measured.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from affine import Affine

from clippan_cli.quality.comparison import Compared, compare
from clippan_cli.quality.options import AssessOptions
from clippan_cli.quality.planes import Cropped, PlaneReader
from clippan_cli.quality.result import MethodScores
from clippan_cli.quality.subject import measuring_device, peak_of
from clippan_cli.quality.undisturbed import undisturbed
from clippan_cli.rasters.limits import NO_LIMITS, Limits
from clippan_cli.rasters.options import PairOptions
from clippan_cli.rasters.source import Mask, Values, open_source
from clippan_cli.rasters.tiles import plan_tiles
from clippan_cli.running.control import Control
from clippan_cli.scene.estimation import Estimate
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.scene import Scene
from clippan_cli.sharpening.engine import sharpen_files
from clippan_cli.sharpening.options import SharpenOptions, bare_sharpening
from clippan_cli.writing.grid import OutputGrid
from clippan_cli.writing.options import OutputOptions
from clippan_cli.writing.writer import SafeWriter
from clippan_models.contracts import Sampling, Window
from clippan_models.errors import InputError
from clippan_models.measuring.windows import Windows
from clippan_models.ops.resample import blur_radius
from clippan_models.ops.views import project_to_ms

_CELL = 512
_FEWEST = 8  # pixels a side of the degraded MS
_SEEN = 0.2  # share of the blur that must fall on valid pixels; in the corner of a scene a quarter and more does


def score_wald(scene: Scene, options: AssessOptions, control: Control, limits: Limits) -> tuple[MethodScores, ...]:
    """Sharpen the degraded pair by each method, and score it against MS, both without values beyond the limits.

    Raises:
        InputError: the scene is too small, or has too few valid pixels.
    """
    if not options.wald:
        return ()
    with tempfile.TemporaryDirectory(prefix="clippan-wald-") as name:
        pair = degrade(scene, Path(name), control, limits)
        found: dict[str, Compared] = {}
        for method in options.wald:
            sharpening = bare_sharpening(Path(name) / f"{method}.tif", method, options.compute)
            with control.timed(f"wald {method}"):
                found[method] = score_degraded(scene, pair, sharpening, options, control, limits)
    told = {method: tuple(compared.warnings()) for method, compared in found.items()}
    farthest = max(
        told, key=lambda method: (len(told[method]), found[method].distance)
    )  # MS lies off all of them alike
    control.warn(*(warning.about(f"{farthest} by Wald's protocol") for warning in told[farthest]))
    return tuple(
        MethodScores(method, compared.scores.metrics, compared.offset, bool(compared.aligned))
        for method, compared in found.items()
    )


def score_degraded(
    scene: Scene,
    degraded: tuple[SceneFiles, ReadOptions],
    sharpening: SharpenOptions,
    options: AssessOptions,
    control: Control,
    limits: Limits,
    estimate: Estimate | None = None,
) -> Compared:
    """Sharpen the degraded pair of a scene, and compare it with the MS of the scene.

    Args:
        scene: the scene.
        degraded: the files of the degraded pair, and how to read them.
        sharpening: how to sharpen it.
        options: how to measure.
        control: progress and the request to stop.
        limits: of the values of the scene.
        estimate: of the degraded pair, where it has been made before.

    Raises:
        ClippanError: it cannot be sharpened, or has too few valid pixels.
    """
    with control.without_warnings():
        sharpen_files(*degraded, sharpening, replace(control, on_note=_silent, seconds={}), estimate)
    with ExitStack() as stack:
        fused = open_source([str(sharpening.output)], "fused", scene.options.pair.trust, stack)
        grid = open_source([degraded[0].pan], "PAN", scene.options.pair.trust, stack).grid.transform
        to_ms = ~grid @ fused.grid.transform
        place = Window(round(to_ms.f), round(to_ms.c), fused.height, fused.width)
        truth = Cropped(undisturbed(scene, limits)[0], place, scene.pair.ms.name)
        device = measuring_device(options.compute)
        return compare(
            PlaneReader(truth, device),
            PlaneReader(fused, device),
            scene.nominal.sampling.ratio,
            peak_of(scene, options, truth),
            Windows(size=256),
            align=options.align,
        )


def degraded_size(scene: Scene) -> tuple[int, int]:
    """Rows and columns of the degraded MS.

    Raises:
        InputError: too few.
    """
    ms, s = scene.pair.ms, scene.nominal.sampling
    height, width = math.floor(ms.height / s.ratio_y), math.floor(ms.width / s.ratio_x)
    if min(height, width) < _FEWEST:
        raise InputError(
            f"{ms.name} is too small for Wald's protocol: only {width}x{height} pixels remain at reduced resolution"
        )
    return height, width


def degrade(scene: Scene, folder: Path, control: Control, limits: Limits = NO_LIMITS) -> tuple[SceneFiles, ReadOptions]:
    """Write the degraded pair, without values beyond the limits, into a folder; errors as in `degraded_size`."""
    (ms, pan), s = undisturbed(scene, limits), scene.nominal.sampling
    height, width = degraded_size(scene)
    bands = ms.count
    coarse = Sampling(s.ratio_y, s.ratio_x, ((s.ratio_y - 1) / 2,) * bands, ((s.ratio_x - 1) / 2,) * bands)
    left, top, _, _ = scene.pair.ms_footprint()
    grid: Affine = scene.pair.pan.grid.transform @ Affine.translation(left, top) @ Affine.scale(s.ratio_x, s.ratio_y)
    shape = (bands, height, width)
    place = grid @ Affine.scale(s.ratio_x, s.ratio_y)
    write_image(
        folder / "ms.tif", shape, place, scene, lambda w: _seen(ms.read, w, coarse, scene.nominal.ms_gain), control
    )
    one, gain = s.select([0]), (scene.sensor.pan_gain,)
    write_image(
        folder / "pan.tif", (1, ms.height, ms.width), grid, scene, lambda w: _seen(pan.read, w, one, gain), control
    )
    read = ReadOptions(
        pair=PairOptions(assume_aligned=True),
        sensor=scene.options.sensor if scene.options.sensor != "auto" else scene.sensor.key,
        sensor_bands=tuple(band.name for band in scene.sensor.bands),
        seed=scene.options.seed,
    )
    return SceneFiles((str(folder / "ms.tif"),), str(folder / "pan.tif")), read


def _seen(
    read: Callable[[Window], tuple[Values, Mask]], wanted: Window, sampling: Sampling, gain: tuple[float, ...]
) -> tuple[Values, Mask]:
    """A window of the coarser grid: blurred, sampled, and where that saw valid pixels."""
    ratio = max(sampling.ratio_y, sampling.ratio_x)
    radius = max(blur_radius(g, ratio) for g in gain) + math.ceil(ratio)
    row = math.floor(sampling.phase_y[0] + sampling.ratio_y * wanted.row)
    col = math.floor(sampling.phase_x[0] + sampling.ratio_x * wanted.col)
    height, width = math.ceil(sampling.ratio_y * wanted.height), math.ceil(sampling.ratio_x * wanted.width)
    wide = Window(row, col, height, width).grown(radius)
    values, valid = read(wide)
    image, share = project_to_ms(torch.from_numpy(values), torch.from_numpy(valid), wide, wanted, sampling, gain)
    return image.numpy().astype(np.float32), (share > _SEEN).numpy()


def write_image(
    path: Path,
    shape: tuple[int, int, int],
    transform: Affine,
    scene: Scene,
    read: Callable[[Window], tuple[Values, Mask]],
    control: Control,
) -> None:
    """Write an image of the scene as float32, NaN where it is not valid.

    Args:
        path: the file.
        shape: bands, rows and columns.
        transform: where it lies, in the CRS of the scene.
        scene: whose image it is.
        read: values and validity of a window of it.
        control: may stop the writing.
    """
    grid = OutputGrid(
        width=shape[2],
        height=shape[1],
        count=shape[0],
        dtype="float32",
        crs=scene.pair.crs,
        transform=transform,
        nodata=float("nan"),
        mask=False,
        nbits=None,
    )
    with SafeWriter(path, grid, OutputOptions(driver="gtiff", compress="none")) as writer:
        for window in plan_tiles(Window(0, 0, shape[1], shape[2]), _CELL):
            control.check()
            values, valid = read(window)
            writer.write(window, np.where(valid, values, np.float32(np.nan)))
        writer.commit()


def _silent(note: str) -> None:
    """Notes on the degraded pair say nothing about the pair of the user."""
