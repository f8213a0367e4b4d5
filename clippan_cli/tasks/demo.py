"""The synthetic scene to try clippan on: written as GeoTIFFs, sharpened, and compared with its known truth."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from affine import Affine

from clippan_cli.rasters.options import Trust
from clippan_cli.rasters.source import open_source
from clippan_cli.running.control import Control
from clippan_cli.running.options import ComputeOptions
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.painting import Image
from clippan_cli.scene.synthetic import BAND_NAMES, RATIO, DemoScene, make_demo_scene
from clippan_cli.sharpening.engine import sharpen_files
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.tasks.sharpen import SharpenResult, sharpen
from clippan_cli.writing.creation import new_raster
from clippan_cli.writing.options import OutputOptions
from clippan_cli.writing.path import make_folder
from clippan_models.adaptation.options import AdaptOptions
from clippan_models.errors import OutputError
from clippan_models.metrics.ergas import ergas
from clippan_models.metrics.psnr import psnr
from clippan_models.metrics.sam import sam
from clippan_models.plain import plain

_SIDE, _SEED = 768, 7
_CRS = "EPSG:32633"
_ORIGIN = (500_000.0, 5_400_000.0)
_GSD_M = 0.5
_READ = ReadOptions(sensor="generic")  # no camera has made it
_BORDER = 16  # PAN pixels left out of the comparison with the truth


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes:
        folder: where everything is.
        ms: the multispectral raster.
        pan: the panchromatic raster.
        truth: the sharp image that both were made from.
        sharpened: the run.
        scores: PSNR (dB), SAM (degrees) and ERGAS against the truth, for the result and for the interpolated MS.
    """

    folder: Path
    ms: Path
    pan: Path
    truth: Path
    sharpened: SharpenResult
    scores: dict[str, dict[str, float]]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        own = ("folder", "ms", "pan", "truth", "scores")
        return {**{name: plain(getattr(self, name)) for name in own}, **self.sharpened.as_json()}


def run_demo(
    folder: Path,
    *,
    overwrite: bool = False,
    adapt: AdaptOptions | None = None,
    compute: ComputeOptions | None = None,
    control: Control | None = None,
) -> DemoResult:
    """Write a demo scene into a folder and sharpen it.

    Raises:
        OutputError: the folder cannot be written, or holds a demo already and `overwrite` is not set.
    """
    control = control or Control()
    paths = {name: folder / f"{name}.tif" for name in ("ms", "pan", "truth", "hrms", "exp")}
    refuse_earlier_demo(paths.values(), overwrite)
    make_folder(folder)
    scene = make_demo_scene(_SIDE, _SEED)
    write_demo_scene(scene, paths["ms"], paths["pan"], paths["truth"])
    options = SharpenOptions(
        output=paths["hrms"],
        encoding=OutputOptions(overwrite=True),
        compute=compute or ComputeOptions(),
        adapt=adapt or AdaptOptions(),
        quicklook=folder / "quicklook.png",
    )
    inputs = SceneFiles(ms=(str(paths["ms"]),), pan=str(paths["pan"]))
    result = sharpen(inputs, _READ, options, control)
    sharpen_files(inputs, _READ, replace(options, output=paths["exp"], method="exp", quicklook=None), Control())
    scores = {
        name: against_truth(path, scene.truth, 4095)
        for name, path in ((options.method, paths["hrms"]), ("exp", paths["exp"]))
    }
    return DemoResult(folder, paths["ms"], paths["pan"], paths["truth"], result, scores)


def refuse_earlier_demo(paths: Iterable[Path], overwrite: bool) -> None:
    """Refuse to write over a demo that was not meant.

    Raises:
        OutputError: one of the paths exists, and `overwrite` is not set.
    """
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        raise OutputError(f"{existing[0]} exists; add --overwrite to replace the demo, or name another folder")


def write_demo_scene(scene: DemoScene, ms: Path, pan: Path, truth: Path) -> None:
    """Write the three images of a demo scene as GeoTIFFs."""
    fine = Affine.translation(*_ORIGIN) @ Affine.scale(_GSD_M, -_GSD_M)
    _write(ms, scene.ms, fine @ Affine.scale(RATIO), BAND_NAMES)
    _write(pan, scene.pan, fine, ("pan",))
    _write(truth, scene.truth, fine, BAND_NAMES)


def _write(path: Path, image: np.ndarray, transform: Affine, names: tuple[str, ...]) -> None:
    pixels = np.clip(np.rint(image), 0, 4095).astype(np.uint16)
    count, height, width = pixels.shape
    profile = {"dtype": "uint16", "count": count, "height": height, "width": width}
    layout = {"tiled": True, "compress": "deflate", "nbits": 12}
    if min(height, width) < 256:
        layout |= {"blockxsize": 128, "blockysize": 128}
    with new_raster(path, crs=_CRS, transform=transform, **profile, **layout) as dataset:
        dataset.write(pixels)
        dataset.descriptions = names


def against_truth(path: Path, truth: Image, peak: int) -> dict[str, float]:
    """PSNR (dB), SAM (degrees) and ERGAS of an image, without a border of 16 pixels.

    Args:
        path: the image, whose MS has pixels four times as large.
        truth: `[C, H, W]`.
        peak: the highest value that the truth can have.
    """
    with ExitStack() as stack:
        source = open_source([str(path)], "fused", Trust(), stack)
        image = source.datasets[0].read().astype(np.float64)
    inner = slice(_BORDER, -_BORDER)
    fused = torch.from_numpy(image[:, inner, inner])
    sharp = torch.from_numpy(truth[:, inner, inner].astype(np.float64))
    return {
        "PSNR": float(psnr(sharp, fused, float(peak))),
        "SAM": float(sam(sharp, fused)),
        "ERGAS": float(ergas(sharp, fused, RATIO)),
    }
