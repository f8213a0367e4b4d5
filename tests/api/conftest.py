"""A pair as arrays, and as files that anybody could have written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from clippan_cli.scene.synthetic import DemoScene, make_demo_scene

UTM31 = "EPSG:32631"
PAN_PIXEL = Affine(0.5, 0, 500_000.3, 0, -0.5, 4_000_000.1)
MS_PIXEL = PAN_PIXEL @ Affine.scale(4)

Array = NDArray[Any]


@pytest.fixture(scope="session")
def scene() -> DemoScene:
    """A small scene."""
    return make_demo_scene(128, shift=(0.0, 0.0))


@pytest.fixture
def ms(scene: DemoScene) -> Array:
    """MS, `[4, 32, 32]` uint16."""
    values: Array = np.rint(scene.ms).astype("uint16")
    return values


@pytest.fixture
def pan(scene: DemoScene) -> Array:
    """PAN, `[128, 128]` uint16."""
    values: Array = np.rint(scene.pan[0]).astype("uint16")
    return values


Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write an array as a GeoTIFF."""

    def to(name: str, values: Array, transform: Affine, mask: Array | None = None, **profile: Any) -> str:
        path, bands = tmp_path / name, values.reshape(-1, *values.shape[-2:])
        shape = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype.name}
        with rasterio.open(path, "w", "GTiff", **shape, transform=transform, **({"crs": UTM31} | profile)) as file:
            file.write(bands)
            if mask is not None:
                file.write_mask(mask)
        return str(path)

    return to


@pytest.fixture
def pair(ms: Array, pan: Array, write: Write) -> tuple[str, str]:
    """The pair as files."""
    return write("ms.tif", ms, MS_PIXEL), write("pan.tif", pan, PAN_PIXEL)


def read(path: str | Path) -> Array:
    """All bands of a raster."""
    with rasterio.open(path) as file:
        values: Array = file.read()
        return values
