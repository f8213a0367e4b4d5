"""The files of a scene of a suite: those that it names, or a pair that is simulated of a sharp image."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine

from clippan_cli.bench.suite import Scene
from clippan_cli.options.scene import trust
from clippan_cli.rasters.source import open_source
from clippan_cli.scene.files import SceneFiles
from clippan_cli.scene.painting import Image
from clippan_cli.scene.simulation import simulated_pair
from clippan_cli.scene.synthetic import BAND_NAMES, make_demo_scene
from clippan_cli.writing.creation import new_raster
from clippan_cli.writing.path import make_folder
from clippan_models.contracts import Window
from clippan_models.errors import InputError
from clippan_models.sensors.loader import load_sensor

_PEAK = 2047  # DN of 11 bits, to which images of 8 bits are stretched
_GENERIC = "generic"


@dataclass(frozen=True)
class OpenScene:
    """A scene whose files are there.

    Attributes:
        name: of the scene.
        files: MS and PAN, and the truth where it is known.
        options: of reading, by their names in Python.
    """

    name: str
    files: SceneFiles
    options: dict[str, Any]

    @property
    def truth(self) -> str | None:
        """The raster of the truth."""
        return self.files.reference


def with_files(scene: Scene, folder: Path) -> OpenScene:
    """A scene with its files; those of a simulated pair are written into a folder.

    Raises:
        InputError: the image of which a pair is to be simulated cannot be read.
        OutputError: the files cannot be written.
    """
    if scene.image is None and scene.synthetic is None:
        files = scene.files or SceneFiles(scene.ms, scene.pan, id=scene.name, reference=scene.truth)
        return OpenScene(scene.name, files, scene.options)
    options: dict[str, Any] = {"sensor": _GENERIC} | scene.options
    ms, pan, truth, grid = _generated(scene) if scene.image is None else _simulated(scene.image, scene, options)
    make_folder(folder)
    paths = [folder / f"{name}.tif" for name in ("ms", "pan", "truth")]
    for path, image, scale in zip(paths, (ms, pan, truth), (scene.ratio, 1, 1), strict=True):
        _write(path, image, grid | {"transform": grid["transform"] @ Affine.scale(scale)})
    names = [str(path) for path in paths]
    return OpenScene(scene.name, SceneFiles((names[0],), names[1], id=scene.name, reference=names[2]), options)


def _generated(scene: Scene) -> tuple[Image, Image, Image, dict[str, Any]]:
    made = make_demo_scene(scene.side, scene.synthetic or 0)
    transform = Affine.translation(500_000, 5_400_000) @ Affine.scale(0.5, -0.5)
    return made.ms, made.pan, made.truth, {"crs": "EPSG:32633", "transform": transform, "names": BAND_NAMES}


def _simulated(image: str, scene: Scene, options: dict[str, Any]) -> tuple[Image, Image, Image, dict[str, Any]]:
    with ExitStack() as stack:
        source = open_source([image], "image", trust(options), stack)
        if not np.issubdtype(np.dtype(source.dtype), np.integer):
            raise InputError(f"{source.name} is of {source.dtype}; a pair is simulated of whole DN")
        height, width = (side // scene.ratio * scene.ratio for side in (source.height, source.width))
        values, valid = source.read(Window(0, 0, height, width))
        if not valid.all():
            raise InputError(f"{source.name} has pixels without data; a pair is simulated of an image without gaps")
        grid = {"crs": source.grid.crs, "transform": source.grid.transform, "names": source.grid.descriptions}
    stretch = _PEAK / 255 if source.dtype == "uint8" else 1
    truth = np.rint(values.astype(np.float32) * np.float32(stretch))
    gains = load_sensor(options["sensor"]).ms_gains(len(truth))
    return *simulated_pair(truth, scene.ratio, gains), truth, grid


def _write(path: Path, image: Image, grid: dict[str, Any]) -> None:
    count, height, width = image.shape
    place = {"crs": grid["crs"], "transform": grid["transform"]}
    shape = {"dtype": "uint16", "count": count, "height": height, "width": width}
    with new_raster(path, **place, **shape, compress="deflate", predictor=2) as dataset:
        dataset.write(np.clip(np.rint(image), 0, np.iinfo(np.uint16).max).astype(np.uint16))
        if count == len(grid["names"]):
            dataset.descriptions = grid["names"]
