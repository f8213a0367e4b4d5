"""What to compare a fused image with: the interpolated MS, and a classical method fused on the fly."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from clippan_cli.quality.options import AssessOptions
from clippan_cli.quality.planes import Cropped, Interpolated, make_planes, place_of
from clippan_cli.quality.subject import Subject
from clippan_cli.rasters.source import open_source
from clippan_cli.running.control import Control
from clippan_cli.scene.scene import Scene
from clippan_cli.sharpening.engine import sharpen_files
from clippan_cli.sharpening.options import bare_sharpening
from clippan_models.contracts import Window
from clippan_models.errors import ClippanError, Interrupted
from clippan_models.measuring.planes import QualityPlanes


def make_baselines(
    scene: Scene, first: Subject, options: AssessOptions, control: Control, stack: ExitStack
) -> list[Subject]:
    """EXP and the classical baseline, on the ground of the first image.

    A baseline that cannot be made is left out, with a note.
    """
    planes: QualityPlanes = make_planes(scene, first.image, first.place, torch.device("cpu"))
    found = [Subject(Interpolated(planes, scene, first.place), first.place, "baseline")]
    try:
        found.append(_classical(scene, first.place, options, control, stack))
    except Interrupted:
        raise
    except ClippanError as error:
        control.on_note(f"no {options.baseline_method} baseline: {error}")
    return found


def _classical(scene: Scene, place: Window, options: AssessOptions, control: Control, stack: ExitStack) -> Subject:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="clippan-baseline-")))
    path = folder / f"{options.baseline_method}.tif"
    sharpening = bare_sharpening(path, options.baseline_method, options.compute)
    whole = replace(scene.options, bbox=None, aoi=None, aoi_layer=None, aoi_where=None)
    sharpen_files(scene.files, whole, sharpening, Control(stop_signal=control.stop_signal))
    control.check()
    source = open_source([str(path)], "fused", scene.options.pair.trust, stack)
    at = place_of(source, scene)
    common = at.intersection(place)
    inside = Window(common.row - at.row, common.col - at.col, common.height, common.width)
    return Subject(Cropped(source, inside, options.baseline_method.upper()), common, "baseline")
