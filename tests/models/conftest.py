"""Scenes from formulas, and sources that hold them in memory."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from clippan_models.contracts import Window
from clippan_models.measuring.toolbox_planes import ToolboxPlanes

GAINS = {
    4: (0.34, 0.32, 0.30, 0.22),
    8: (0.325, 0.355, 0.360, 0.350, 0.365, 0.360, 0.335, 0.315),
}


@dataclass(frozen=True)
class MemorySource:
    """An image in memory that refuses to be read beyond its border."""

    image: Tensor
    mask: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        bands, height, width = self.image.shape
        return bands, height, width

    def read(self, window: Window) -> Tensor:
        return self.image[:, *self._slices(window)]

    def valid(self, window: Window) -> Tensor:
        return self.mask[self._slices(window)]

    def _slices(self, window: Window) -> tuple[slice, slice]:
        _, height, width = self.shape
        assert window.row >= 0 and window.col >= 0 and window.height > 0 and window.width > 0
        assert window.row_stop <= height and window.col_stop <= width
        return slice(window.row, window.row_stop), slice(window.col, window.col_stop)


@dataclass(frozen=True)
class MetricScene:
    """A fused image with all it can be compared to, ratio 4, DN in float64; masks are True where valid."""

    ms: Tensor
    pan: Tensor
    truth: Tensor
    fused: Tensor
    gains: tuple[float, ...]
    ms_valid: Tensor
    pan_valid: Tensor
    fused_valid: Tensor

    def planes(self) -> ToolboxPlanes:
        return ToolboxPlanes(
            fused_source=MemorySource(self.fused, self.fused_valid),
            ms_source=MemorySource(self.ms, self.ms_valid),
            pan_source=MemorySource(self.pan, self.pan_valid),
            gains=self.gains,
        )


MakeScene = Callable[..., MetricScene]
Hold = Callable[..., MemorySource]


def formula_scene(bands: int = 4, height: int = 32, width: int = 32) -> MetricScene:
    """The scene of the golden values (32 x 32 MS pixels), or a larger or smaller one by the same formulas."""
    b = torch.arange(bands, dtype=torch.float64)[:, None, None]
    y, x = _grid(height, width)
    rows, cols = _grid(4 * height, 4 * width)
    texture = 60 * torch.cos(0.9 * cols + 0.35 * rows)
    ms = _waves(y, x, b) + 40 * ((7 * x + 13 * y + 5 * b) % 11) / 11
    pan = 500 + 150 * torch.sin(0.0775 * cols + 0.0425 * rows) + texture + 50 * ((3 * cols + 5 * rows) % 7) / 7
    truth = (_waves((rows - 1.5) / 4, (cols - 1.5) / 4, b) + (0.3 + 0.05 * b) * texture).round()
    fused = truth + (10 + 2 * b) * torch.sin(0.5 * cols - 0.8 * rows) + 3 * b - 8
    return MetricScene(
        ms=ms.round(),
        pan=pan.round()[None],
        truth=truth,
        fused=fused.round(),
        gains=GAINS[8][:bands] if bands != 4 else GAINS[4],
        ms_valid=torch.ones(height, width, dtype=torch.bool),
        pan_valid=torch.ones(4 * height, 4 * width, dtype=torch.bool),
        fused_valid=torch.ones(4 * height, 4 * width, dtype=torch.bool),
    )


def _grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    rows = torch.arange(height, dtype=torch.float64)[:, None].expand(height, width)
    cols = torch.arange(width, dtype=torch.float64)[None, :].expand(height, width)
    return rows, cols


def _waves(y: Tensor, x: Tensor, b: Tensor) -> Tensor:
    first = 120 * torch.sin(0.31 * x + 0.17 * y + 0.5 * b)
    return 400 + 60 * b + first + 80 * torch.cos(0.23 * y - 0.11 * x * (1 + 0.1 * b))


@pytest.fixture(scope="session")
def make_scene() -> MakeScene:
    return formula_scene


@pytest.fixture(scope="session")
def hold() -> Hold:
    """Makes a source of an image in memory and its mask (none: all is valid)."""

    def held(image: Tensor, mask: Tensor | None = None) -> MemorySource:
        return MemorySource(image, torch.ones(image.shape[1:], dtype=torch.bool) if mask is None else mask)

    return held


@pytest.fixture(scope="session")
def golden() -> dict[str, dict[str, Any]]:
    path = Path(__file__).resolve().parents[1] / "data" / "golden_synthetic.json"
    values: dict[str, dict[str, Any]] = json.loads(path.read_text())
    return values


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    """Real crops that are not part of the repository."""
    folder = Path(__file__).resolve().parents[2] / ".." / "shared" / "reference" / "golden"
    if not (folder / "metrics_ref64.json").exists():
        pytest.skip("the golden crops of real scenes are not here")
    return folder


@pytest.fixture(scope="session")
def oracle() -> Callable[[str], Any]:
    """Another program to compare with; the test is skipped where it cannot be loaded, for whatever reason."""

    def load(name: str) -> Any:
        try:
            return importlib.import_module(name)
        except Exception as error:  # a broken dependency of the other program raises anything
            pytest.skip(f"{name} cannot be loaded: {error}")

    return load
