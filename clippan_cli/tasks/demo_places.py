"""Two real places to try clippan on: Pamplona by Landsat 8, and a lake in Virginia, of which the truth is known.

The images come with clippan; `assets/CREDITS.txt` says whose they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine

from clippan_cli.pages.content import ComparisonContent
from clippan_cli.pages.render import render_comparison
from clippan_cli.report.comparison import Comparison, Spot, compared_place, draw_comparisons
from clippan_cli.report.files import write_text
from clippan_cli.report.quicklook import write_picture
from clippan_cli.running.control import Control
from clippan_cli.running.options import ComputeOptions
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.painting import Image
from clippan_cli.scene.simulation import SIMULATED_RATIO, simulated_pair
from clippan_cli.sharpening.engine import sharpen_files
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.tasks.demo import against_truth, refuse_earlier_demo
from clippan_cli.tasks.sharpen import sharpen
from clippan_cli.writing.creation import new_raster
from clippan_cli.writing.options import OutputOptions
from clippan_cli.writing.path import make_folder
from clippan_models.adaptation.options import AdaptOptions
from clippan_models.contracts import Window
from clippan_models.plain import plain

_PEAK = 2047  # DN of 11 bits
_NETWORK, _CLASSICAL, _INTERPOLATED = "clippan", "gsa", "exp"


@dataclass(frozen=True)
class DemoPlace:
    """The files of one place.

    Attributes:
        ms: the multispectral raster.
        pan: the panchromatic raster.
        truth: the sharp image that both were made from, or None.
        images: the sharpened ones, by method.
        scores: PSNR (dB), SAM (degrees) and ERGAS against the truth, by method; empty without truth.
    """

    ms: str
    pan: str
    truth: Path | None
    images: dict[str, Path]
    scores: dict[str, dict[str, float]]


@dataclass(frozen=True)
class DemoPlaces:
    """What the demo made.

    Attributes:
        folder: where everything is.
        page: the images side by side, with a slider.
        picture: a part of each side by side.
        places: by name.
    """

    folder: Path
    page: Path
    picture: Path
    places: dict[str, DemoPlace]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return dict(plain(self))


def run_demo_places(
    folder: Path,
    *,
    steps: int = 0,
    overwrite: bool = False,
    compute: ComputeOptions | None = None,
    control: Control | None = None,
) -> DemoPlaces:
    """Write two real scenes into a folder, sharpen them, and show the results beside those of other methods.

    Args:
        folder: made where it is not there.
        steps: of the network on each scene; 0 is `--preset fast`.
        overwrite: replace an earlier demo.
        compute: where to compute.
        control: progress, notes, and the request to stop.

    Raises:
        OutputError: the folder cannot be written, or holds a demo already and `overwrite` is not set.
    """
    page, picture = folder / "demo.html", folder / "demo.png"
    refuse_earlier_demo([page, picture, folder / "pamplona", folder / "virginia"], overwrite)
    make_folder(folder)
    assets = resources.files("clippan_cli") / "assets"
    pamplona = _pamplona(folder / "pamplona", assets)
    virginia, truth = _virginia(folder / "virginia", assets)
    (folder / "CREDITS.txt").write_bytes((assets / "CREDITS.txt").read_bytes())
    network = AdaptOptions(steps=steps)
    for place in (pamplona, virginia):
        _sharpen(place, network, compute or ComputeOptions(), control or Control())
    scores = {name: against_truth(path, truth, _PEAK) for name, path in virginia.made.items()}
    compared = pamplona, replace(virginia, scores=scores)
    places = {one.name: DemoPlace(one.files.ms[0], one.files.pan, one.truth, one.made, one.scores) for one in compared}
    found = DemoPlaces(folder, page, picture, places)
    _show(compared, found, steps)
    return found


def _pamplona(folder: Path, assets: Traversable) -> Comparison:
    make_folder(folder)
    ms, pan = folder / "ms.tif", folder / "pan.tif"
    for path in (ms, pan):
        path.write_bytes((assets / f"pamplona_{path.name}").read_bytes())
    return Comparison(
        name="Pamplona",
        title="Pamplona, Spain, by Landsat 8",
        text=(
            "MS has pixels of 30 m, PAN of 15 m. The truth is not known: no camera took this image with all bands at "
            "15 m.",
            "Landsat 8 image of 30 June 2015, courtesy of the U.S. Geological Survey.",
        ),
        files=SceneFiles((str(ms),), str(pan)),
        read=ReadOptions(),
        pan_gsd=15,
        ratio=2,
        made=_made(folder),
        spots=(
            Spot("the old town and the river", Window(62, 168, 192, 192)),
            Spot("an industrial estate and the ring road", Window(310, 230, 192, 192)),
        ),
    )


def _virginia(folder: Path, assets: Traversable) -> tuple[Comparison, Image]:
    make_folder(folder)
    ms, pan, truth = (folder / f"{name}.tif" for name in ("ms", "pan", "truth"))
    with resources.as_file(assets / "virginia.tif") as path, rasterio.open(path) as aerial:
        sharp = np.rint(aerial.read().astype(np.float32) * np.float32(_PEAK / 255))
        low, high = simulated_pair(sharp)
        for path, image, scale in ((ms, low, SIMULATED_RATIO), (pan, high, 1), (truth, sharp, 1)):
            _write(path, image, aerial, scale)
    place = Comparison(
        name="Virginia",
        title="A lake in Virginia, USA, from an aerial image",
        text=(
            "The aerial image, with pixels of 1 m, is the truth. PAN is the mean of its bands. MS, with pixels of 4 m, "
            "is its blurred and decimated version, as a satellite would see it. So each result can be compared with "
            "the truth. Higher PSNR, lower SAM and lower ERGAS are better; exp is MS, only interpolated.",
            "NAIP image, USDA Farm Service Agency.",
        ),
        files=SceneFiles((str(ms),), str(pan)),
        read=ReadOptions(sensor="generic"),  # no camera has made it
        pan_gsd=1,
        ratio=SIMULATED_RATIO,
        made=_made(folder),
        truth=truth,
        spots=(
            Spot("two houses and the shore", Window(134, 0, 192, 192)),
            Spot("the dam", Window(0, 80, 192, 192)),
        ),
    )
    return place, sharp


def _write(path: Path, image: Image, like: Any, scale: int) -> None:
    """Write an image as a GeoTIFF whose pixels are `scale` times as large as those of a dataset, with its credit."""
    count, height, width = image.shape
    profile = {"dtype": "uint16", "count": count, "height": height, "width": width}
    if count > 1:
        profile |= {"photometric": "rgb", "alpha": "no"}
    grid = {"crs": like.crs, "transform": like.transform @ Affine.scale(scale)}
    with new_raster(path, **profile, **grid, compress="deflate", predictor=2) as dataset:
        dataset.write(np.clip(image, 0, np.iinfo(np.uint16).max).astype(np.uint16))
        dataset.update_tags(TIFFTAG_COPYRIGHT=like.tags()["TIFFTAG_COPYRIGHT"])
        if count == like.count:
            dataset.descriptions = like.descriptions


def _made(folder: Path) -> dict[str, Path]:
    return {method: folder / f"{method}.tif" for method in (_NETWORK, _CLASSICAL, _INTERPOLATED)}


def _sharpen(place: Comparison, adapt: AdaptOptions, compute: ComputeOptions, control: Control) -> None:
    options = SharpenOptions(
        output=place.made[_NETWORK],
        method=_NETWORK,
        encoding=OutputOptions(overwrite=True),
        compute=compute,
        adapt=adapt,
        quicklook=place.made[_NETWORK].with_name("quicklook.png"),
        assess=False,
    )
    sharpen(place.files, place.read, options, control)
    for method in (_CLASSICAL, _INTERPOLATED):
        other = replace(options, output=place.made[method], method=method, quicklook=None)
        sharpen_files(place.files, place.read, other, Control())


def _show(compared: tuple[Comparison, ...], found: DemoPlaces, steps: int) -> None:
    places = tuple(compared_place(place) for place in compared)
    learned = f"has learned {steps} steps on each scene" if steps else "has not learned on these scenes (--preset fast)"
    text = (
        "clippan fuses two images of one place: MS has the colours, PAN has the detail. Compare its result with both, "
        "and with that of gsa, a classical method.",
        f"The network of clippan {learned}. All colour pictures of a place have the same stretch.",
    )
    content = ComparisonContent("clippan on two real places", text, places, found.as_json())
    write_picture(found.picture, draw_comparisons(compared, places))
    write_text(found.page, render_comparison(content))
