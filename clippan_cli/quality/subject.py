"""What is assessed: a fused image, its reference, its bands, and the values that it can hold."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch

from clippan_cli.quality.options import AssessOptions
from clippan_cli.quality.planes import place_of
from clippan_cli.quality.result import Role
from clippan_cli.quality.undisturbed import FusedImage
from clippan_cli.rasters.source import RasterSource, open_source
from clippan_cli.running.compute import choose_device
from clippan_cli.running.options import ComputeOptions
from clippan_cli.scene.scene import Scene
from clippan_cli.scene.values import significant_bits
from clippan_models.contracts import Window


@dataclass(frozen=True)
class Subject:
    """An image to assess: what it is and where it lies on the PAN grid."""

    image: FusedImage
    place: Window
    role: Role = "given"


def open_subject(scene: Scene, name: str, stack: ExitStack) -> Subject:
    """Open a fused image and find its place; errors as in `measure.assess_image`."""
    fused = open_source([name], "fused", scene.options.pair.trust, stack)
    return Subject(fused, place_of(fused, scene))


def open_reference(scene: Scene, options: AssessOptions, stack: ExitStack) -> RasterSource | None:
    """Open the reference, where there is one; errors as in `measure.assess_image`."""
    if options.reference is None:
        return None
    reference = open_source([options.reference], "reference", scene.options.pair.trust, stack)
    place_of(reference, scene)
    return reference


def value_limits(scene: Scene, options: AssessOptions) -> tuple[float, float]:
    """The least and largest value that a product of this pair can hold; infinite where that is not known."""
    if not np.issubdtype(np.dtype(scene.pair.ms.dtype), np.integer):
        return -math.inf, options.peak or math.inf
    info = np.iinfo(scene.pair.ms.dtype)
    bits = significant_bits(scene)
    return float(info.min), options.peak or float(min(info.max, 2**bits - 1) if bits else info.max)


def measuring_device(compute: ComputeOptions) -> torch.device:
    """Where to measure: the device asked for, if it knows float64."""
    device = choose_device(compute.device)
    return torch.device("cpu") if device.type == "mps" else device


def peak_of(scene: Scene, options: AssessOptions, reference: FusedImage) -> float:
    """The largest possible value: as told, by the file, by the sensor, or the power of two that holds the values."""
    if options.peak is not None:
        return options.peak
    values, valid = reference.read(Window(0, 0, min(2048, reference.height), min(2048, reference.width)))
    largest = float(values[valid].max()) if valid.any() else 1.0
    bits = significant_bits(scene)
    if bits is not None and largest <= 2**bits - 1 and largest > 1.5:
        return float(2**bits - 1)
    return 1.0 if largest <= 1.5 else float(2 ** max(8, math.ceil(math.log2(largest + 1))) - 1)


def band_names(scene: Scene) -> tuple[str, ...]:
    """What to call the bands: by the sensor, else by the file, else by number."""
    ms = scene.pair.ms
    if len(scene.sensor.bands) == ms.count:
        return tuple(band.name for band in scene.sensor.bands)
    described = [ms.datasets[d].descriptions[i - 1] for d, i in ms.bands]
    return tuple(text or f"band {b}" for b, text in enumerate(described, start=1))
