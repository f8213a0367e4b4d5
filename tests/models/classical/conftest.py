"""Scenes for the classical methods, seen by a test double that knows nothing of files, tiles and observation models."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from torch import Tensor

from clippan_models.classical.bdsd_pc import BdsdPcFitter
from clippan_models.classical.brovey import BroveyFitter
from clippan_models.classical.exp import ExpFitter
from clippan_models.classical.gsa import GsaFitter
from clippan_models.classical.mtf_glp import MtfGlpFsFitter, MtfGlpHpmRFitter
from clippan_models.classical.sr_d import SrDFitter
from clippan_models.contracts import Fitter, Sampling, Sharpener, Views, Window
from clippan_models.ops import toolbox

RATIO = 4
GAINS = {
    "QB": (0.34, 0.32, 0.30, 0.22),
    "WV2": (0.35,) * 7 + (0.27,),
    "WV3": (0.325, 0.355, 0.360, 0.350, 0.365, 0.360, 0.335, 0.315),
}
PAN_GAINS = {"QB": 0.15, "WV2": 0.11, "WV3": 0.14}
FITTERS: list[type[Fitter]] = [
    ExpFitter,
    BroveyFitter,
    GsaFitter,
    MtfGlpFsFitter,
    MtfGlpHpmRFitter,
    BdsdPcFitter,
    SrDFitter,
]

Scene = tuple[Tensor, Tensor, str]  # ms [C, h, w], pan [1, H, W], sensor


@dataclass(frozen=True)
class SceneViews:
    """The views of a tile as plain arrays."""

    ms_up: Tensor
    pan: Tensor
    pan_low: Tensor
    core: Tensor
    ms: Tensor
    ms_low: Tensor
    pan_at_ms: Tensor
    pan_mtf_at_ms: Tensor
    ms_core: Tensor
    pan_window: Window
    sampling: Sampling
    valid: Tensor

    def up(self, ms: Tensor) -> Tensor:
        raise NotImplementedError("no classical method resamples by itself")

    def down(self, image: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("no classical method resamples by itself")

    def map(self, change: Callable[[Tensor], Tensor]) -> SceneViews:
        """The same views with all their images changed."""
        names = ("ms_up", "pan", "pan_low", "ms", "ms_low", "pan_at_ms", "pan_mtf_at_ms")
        images: dict[str, Any] = {name: change(getattr(self, name)) for name in names}
        return replace(self, **images)

    def crop(self, core: Window, halo: int) -> SceneViews:
        """The tile responsible for `core`; its MS samples are those whose pixels start in it."""
        height, width = self.pan.shape[-2:]
        row, col = max(core.row - halo, 0), max(core.col - halo, 0)
        window = Window(row, col, min(core.row_stop + halo, height) - row, min(core.col_stop + halo, width) - col)
        at = (..., *window.inside(self.pan_window))
        mine = torch.zeros_like(self.core)
        mine[core.inside(self.pan_window)] = True
        return replace(
            self,
            ms_up=self.ms_up[at],
            pan=self.pan[at],
            pan_low=self.pan_low[at],
            core=(self.core & mine)[at],
            ms_core=self.ms_core & mine[::RATIO, ::RATIO],
            pan_window=window,
            valid=self.valid[at],
        )


def see(scene: Scene, *, degraded: bool = False) -> SceneViews:
    """Views by the toolbox's operators; `degraded` gives BDSD the decimated EXP as MS, as the toolbox does."""
    ms, pan, sensor = scene
    gains = GAINS[sensor][: len(ms)]
    exp = toolbox.interp23(ms, RATIO)
    low = toolbox.mtf_filter(pan.expand(len(ms), -1, -1), gains, RATIO)
    samples = toolbox.imresize_bicubic(exp, 1 / RATIO) if degraded else ms
    own = toolbox.mtf_filter(pan, (PAN_GAINS[sensor],), RATIO)
    return SceneViews(
        ms_up=exp,
        pan=pan,
        pan_low=toolbox.interp23(toolbox.decimate(low, RATIO), RATIO),
        core=torch.ones(pan.shape[-2:], dtype=torch.bool),
        ms=samples,
        ms_low=toolbox.mtf_filter(samples, gains, RATIO),
        pan_at_ms=toolbox.decimate(gsa_lowpass(pan), RATIO).expand(len(ms), -1, -1),
        pan_mtf_at_ms=toolbox.decimate(own, RATIO),
        ms_core=torch.ones(ms.shape[-2:], dtype=torch.bool),
        pan_window=Window(0, 0, pan.shape[-2], pan.shape[-1]),
        sampling=Sampling(RATIO, RATIO, (2.0,) * len(ms), (2.0,) * len(ms)),
        valid=torch.ones(exp.shape, dtype=torch.bool),
    )


def gsa_lowpass(image: Tensor) -> Tensor:
    """The low-pass by which the toolbox's GSA brings PAN to the MS scale: [1 4 6 4 1] / 16, four times along each axis.

    It comes from two analysis and two synthesis steps of an undecimated wavelet whose filters are not dilated.
    """
    pixels = image.double().numpy()
    for _ in range(4):
        for axis in (1, 2):
            pixels = correlate1d(pixels, np.array([1, 4, 6, 4, 1]) / 16, axis=axis, mode="reflect")
    return torch.from_numpy(pixels)


def formula_scene(bands: int, size: int = 32) -> Scene:
    """The scene of the golden values: integers from a formula, float64."""
    y, x = torch.meshgrid(*(torch.arange(size, dtype=torch.float64),) * 2, indexing="ij")
    b = torch.arange(bands, dtype=torch.float64)[:, None, None]
    waves = 120 * torch.sin(0.31 * x + 0.17 * y + 0.5 * b) + 80 * torch.cos(0.23 * y - 0.11 * x * (1 + 0.1 * b))
    ms = torch.round(400 + 60 * b + waves + 40 * ((7 * x + 13 * y + 5 * b) % 11) / 11)
    y, x = torch.meshgrid(*(torch.arange(RATIO * size, dtype=torch.float64),) * 2, indexing="ij")
    waves = 150 * torch.sin(0.0775 * x + 0.0425 * y) + 60 * torch.cos(0.9 * x + 0.35 * y)
    pan = torch.round(500 + waves + 50 * ((3 * x + 5 * y) % 7) / 7)
    return ms, pan[None], {4: "QB", 8: "WV3"}[bands]


def city_scene(bands: int = 4, size: int = 64) -> tuple[Scene, Tensor]:
    """Houses and fields of all sizes, as MS and PAN see them, and the sharp image `[C, H, W]` itself; float64."""
    generator = torch.Generator().manual_seed(11)
    truth = torch.full((bands, RATIO * size, RATIO * size), 300.0, dtype=torch.float64)
    for side in range(90, 2, -1):
        row, col = torch.randint(-side, RATIO * size, (2, 5), generator=generator).clamp(min=0).tolist()
        for y, x in zip(row, col, strict=True):
            colour = 200 + 600 * torch.rand(1, generator=generator) + 150 * torch.rand(bands, generator=generator)
            truth[:, y : y + side, x : x + side // 2 + 1] = colour.double()[:, None, None]
    ms = toolbox.decimate(toolbox.mtf_filter(truth, GAINS["QB"][:bands], RATIO), RATIO)
    return (ms, truth.mean(dim=0, keepdim=True), "QB"), truth


def pieces(scene: SceneViews, rows: tuple[int, ...], cols: tuple[int, ...], halo: int) -> Iterator[SceneViews]:
    """Uneven tiles of a scene, cut at the given PAN rows and columns."""
    height, width = scene.pan.shape[-2:]
    for top, bottom in zip((0, *rows), (*rows, height), strict=True):
        for left, right in zip((0, *cols), (*cols, width), strict=True):
            yield scene.crop(Window(top, left, bottom - top, right - left), halo)


def fitted(fitter: Fitter, tiles: Iterable[Views]) -> Sharpener:
    """The method after it saw these tiles."""
    for tile in tiles:
        fitter.update(tile)
    return fitter.finish()


@pytest.fixture(params=FITTERS)
def new_fitter(request: pytest.FixtureRequest) -> type[Fitter]:
    """Every classical method in turn."""
    cls: type[Fitter] = request.param
    return cls


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    """What other implementations give for the scene of `formula_scene`."""
    path = Path(__file__).parents[2] / "data" / "golden_methods.json"
    values: dict[str, Any] = json.loads(path.read_text())
    return values


@pytest.fixture(scope="session")
def make_scene() -> Callable[..., Scene]:
    return formula_scene


@pytest.fixture(scope="session")
def make_city() -> Callable[..., tuple[Scene, Tensor]]:
    return city_scene


@pytest.fixture(scope="session")
def make_views() -> Callable[..., Views]:
    return see


@pytest.fixture(scope="session")
def views() -> Views:
    """A four-band scene of 128 x 128 PAN pixels, in float32 as the program has it."""
    return see(formula_scene(4)).map(Tensor.float)


@pytest.fixture(scope="session")
def exact_views() -> Views:
    """The same in float64."""
    return see(formula_scene(4))


@pytest.fixture(scope="session")
def fit() -> Callable[..., Sharpener]:
    return fitted


@pytest.fixture(scope="session")
def cut() -> Callable[..., Iterator[Views]]:
    return pieces


@pytest.fixture(scope="session")
def alter() -> Callable[..., Views]:
    """Called with views and new values for some of them."""
    return replace


@pytest.fixture(scope="session")
def scaled() -> Callable[..., Views]:
    """Called with views and a function for all of their images."""
    return SceneViews.map
