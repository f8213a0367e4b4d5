"""A few wild pixels: they are told of, and what lies far from them comes out as if they were not there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from clippan_cli.quality.options import AssessOptions
from clippan_cli.running.control import Control
from clippan_cli.running.options import ComputeOptions
from clippan_cli.scene.estimation import estimate_scene
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.scene import open_scene
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.sharpening.source import FileSource
from clippan_cli.tasks.assess import assess
from clippan_cli.tasks.info import info
from clippan_cli.tasks.sharpen import SharpenResult, sharpen
from clippan_cli.writing.options import OutputOptions
from clippan_models.adaptation.options import AdaptOptions
from clippan_models.errors import StrictError
from clippan_models.methods.classical import CLASSICAL
from tests.conftest import PAN_PIXEL, Bench, Grid

SIDE, RATIO, AT = 96, 4, 28
"""MS pixels across, PAN pixels in each, and row and column of what is wild, in MS pixels."""

FAR = AT + 5 + 20
"""Rows and columns from here on are more than 20 MS pixels away."""

CAMERA = ReadOptions(sensor="generic")

Pixels = NDArray[Any]
Pair = tuple[Pixels, Pixels]


@cache
def clean(dtype: str = "uint16") -> Pair:
    """A town of four bands: whole numbers, or reflectance."""
    r = np.random.default_rng(0)
    fine = gaussian_filter(r.normal(size=(4, RATIO * SIDE, RATIO * SIDE)), (0, 1.2, 1.2)) * 900
    coarse = gaussian_filter(r.normal(size=(1, RATIO * SIDE, RATIO * SIDE)), (0, 6, 6)) * 4000
    sharp = (fine + coarse + 1000).clip(60, 1900)
    ms = gaussian_filter(sharp, (0, 1.9, 1.9)).reshape(4, SIDE, RATIO, SIDE, RATIO).mean((2, 4))
    images = ms.round(), sharp.mean(0, keepdims=True).round()
    if dtype == "uint16":
        return images[0].astype(dtype), images[1].astype(dtype)
    return (images[0] / 1e4).astype(dtype), (images[1] / 1e4).astype(dtype)


def with_values(image: Pixels, value: float, row: int, side: int, bands: tuple[int, ...]) -> Pixels:
    """The image with a square of one value."""
    wild = image.copy()
    wild[bands, row : row + side, row : row + side] = value
    return wild


@dataclass(frozen=True)
class Spoilt:
    """What is wild: a square of one value, of so many pixels a side, in one of the images."""

    image: str
    value: float
    side: int = 1
    bands: tuple[int, ...] = (0, 1, 2, 3)

    @property
    def twin(self) -> Spoilt:
        """The same scene with nothing wild in it."""
        return Spoilt("ms", 65535 if self.value > 0 else -9999, side=0)

    @property
    def pixels(self) -> int:
        return (len(self.bands) if self.image == "ms" else 1) * self.side**2

    def pair(self) -> Pair:
        ms, pan = clean("uint16" if self.value > 0 else "float32")
        if self.image == "ms":
            return with_values(ms, self.value, AT, self.side, self.bands), pan
        return ms, with_values(pan, self.value, RATIO * AT, self.side, (0,))


HOT_MS, HOT_PAN = Spoilt("ms", 65535), Spoilt("pan", 65535)
WILD = {
    "a hot MS pixel": HOT_MS,
    "a hot pixel of one band": Spoilt("ms", 65535, bands=(2,)),
    "a hot PAN pixel": HOT_PAN,
    "25 saturated MS pixels": Spoilt("ms", 65535, side=5),
    "25 saturated PAN pixels": Spoilt("pan", 65535, side=5),
    "-9999 in reflectance": Spoilt("ms", -9999),
    "-9999 in PAN": Spoilt("pan", -9999),
}

cases = pytest.mark.parametrize("spoilt", WILD.values(), ids=WILD)


hot = pytest.mark.parametrize("spoilt", [HOT_MS, HOT_PAN], ids=["MS", "PAN"])


@dataclass(frozen=True)
class Result:
    """A sharpened pair."""

    pixels: NDArray[np.float64]
    run: SharpenResult
    files: SceneFiles
    path: Path

    @property
    def outliers(self) -> list[str]:
        return [warning.message for warning in self.run.warnings if warning.code == "outliers"]

    @property
    def indices(self) -> dict[str, float]:
        assert self.run.quality is not None
        return self.run.quality.metrics


Fuse = Callable[..., Result]


def write(spoilt: Spoilt, folder: Path, offset: float = 0.0) -> SceneFiles:
    """The pair as files; MS so many of its pixels off the corner of PAN."""
    bench, (ms, pan) = Bench(folder), spoilt.pair()
    ms_pixel = PAN_PIXEL @ Affine.scale(RATIO) @ Affine.translation(offset, 0)
    return SceneFiles(
        (bench.write("ms.tif", ms, Grid(ms_pixel, SIDE, SIDE)),),
        bench.write("pan.tif", pan, Grid(PAN_PIXEL, RATIO * SIDE, RATIO * SIDE)),
    )


@pytest.fixture(scope="module")
def fuse(tmp_path_factory: pytest.TempPathFactory) -> Fuse:
    """Sharpens a pair, once for all tests."""

    @cache
    def run(spoilt: Spoilt, method: str = "gsa", offset: float = 0.0) -> Result:
        folder = tmp_path_factory.mktemp("fused")
        path, files = folder / "fused.tif", write(spoilt, folder, offset)
        options = SharpenOptions(
            path,
            method=method,
            encoding=OutputOptions(driver="gtiff"),
            compute=ComputeOptions(device="cpu", threads=1),
            adapt=AdaptOptions(steps=0),
            assess=method == "gsa",
        )
        found = sharpen(files, CAMERA, options)
        with rasterio.open(path) as dataset:
            return Result(dataset.read().astype(np.float64), found, files, path)

    return run


def far_off(wild: Result, twin: Result) -> NDArray[np.float64]:
    """How much results differ more than 20 MS pixels away, in deviations of each band."""
    deviation = twin.pixels.std((1, 2))[:, None, None]
    away = np.ones(twin.pixels.shape[1:], np.bool_)
    away[: RATIO * FAR, : RATIO * FAR] = False
    return np.asarray((np.abs(wild.pixels - twin.pixels) / deviation)[:, away])


@pytest.mark.parametrize("method", [*(method.name for method in CLASSICAL if method.name != "sr-d"), "network"])
@hot
def test_no_method_shows_a_wild_pixel_far_away(spoilt: Spoilt, method: str, fuse: Fuse) -> None:
    assert far_off(fuse(spoilt, method), fuse(spoilt.twin, method)).max() < 0.01


@hot
def test_a_wild_pixel_hardly_changes_the_dictionary(spoilt: Spoilt, fuse: Fuse) -> None:
    """Where other atoms are chosen, single pixels differ, but not the image as a whole."""
    differ = far_off(fuse(spoilt, "sr-d"), fuse(spoilt.twin, "sr-d"))
    assert np.sqrt((differ**2).mean()) < 0.02


@pytest.mark.parametrize("offset", [0.0, 0.1], ids=["exact grids", "other grids"])
@cases
def test_estimate_fit_and_quality_stay(spoilt: Spoilt, offset: float, fuse: Fuse) -> None:
    wild, twin = fuse(spoilt, offset=offset), fuse(spoilt.twin, offset=offset)
    assert far_off(wild, twin).max() < 0.01
    assert np.array(wild.run.shifts) == pytest.approx(np.array(twin.run.shifts), abs=0.01)
    for index in ("HQNR", "QNR", "RQNR", "D_sR", "R_Q2n"):
        assert wild.indices[index] == pytest.approx(twin.indices[index], abs=0.01), index
    assert wild.indices["R_ERGAS"] == pytest.approx(twin.indices["R_ERGAS"], rel=0.02)


@cases
def test_wild_pixels_are_told_of_and_sharpened(spoilt: Spoilt, fuse: Fuse) -> None:
    wild, twin = fuse(spoilt), fuse(spoilt.twin)
    assert twin.outliers == []
    (told,) = wild.outliers
    for part in (f"{spoilt.pixels} value", f"{spoilt.image}.tif", f"{spoilt.value:g} at column"):
        assert part in told
    there = (spoilt.bands[0], *2 * (slice(RATIO * AT, RATIO * (AT + 1)),))
    assert np.abs(wild.pixels[there] - twin.pixels[there]).max() > twin.pixels.std()


def test_a_wild_pixel_stays_local(fuse: Fuse) -> None:
    changed = np.argwhere(np.abs(fuse(HOT_MS).pixels - fuse(HOT_MS.twin).pixels).max(0) > 3)
    assert (np.abs(changed - RATIO * (AT + 0.5)) <= 5 * RATIO).all()


def test_strict_refuses_it(tmp_path: Path) -> None:
    with pytest.raises(StrictError, match="outliers"):
        info(write(HOT_MS, tmp_path), replace(CAMERA, strict=True))


@hot
def test_a_fit_tells_of_what_the_estimate_did_not_see(spoilt: Spoilt, tmp_path: Path) -> None:
    with ExitStack() as stack:
        scene = open_scene(write(spoilt, tmp_path), CAMERA, Control(), stack)
        estimate, control = estimate_scene(scene, Control()), Control()
        assert estimate.outliers == (spoilt.image == "ms", spoilt.image == "pan")
        source = FileSource(scene, replace(estimate, outliers=(False, False)), torch.device("cpu"), control)
        with source.tiles(0) as tiles:
            (tile,) = tiles
    assert [warning.code for warning in control.warnings] == ["outliers"]
    wild = tile.ms == spoilt.value if spoilt.image == "ms" else tile.pan == spoilt.value
    assert not (tile.ms_valid if spoilt.image == "ms" else tile.pan_valid)[wild].any()
    assert int((~tile.valid.all(0)).sum()) == (RATIO**2 if spoilt.image == "ms" else 1)


def test_wald_goes_by_the_rest(fuse: Fuse) -> None:
    options = AssessOptions(wald=("gsa",), compute=ComputeOptions(device="cpu", threads=1))
    results = fuse(HOT_MS), fuse(HOT_MS.twin)
    (found,), (wanted,) = (assess(one.files, CAMERA, [str(one.path)], options).wald for one in results)
    assert found.metrics["ERGAS"] == pytest.approx(wanted.metrics["ERGAS"], rel=0.02)
