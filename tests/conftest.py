"""A workbench for tests on files: rasters written from arrays, scenes sharpened, results read back without clippan."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from clippan_cli.rasters.options import PairOptions
from clippan_cli.running.control import Control
from clippan_cli.running.options import ComputeOptions
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.synthetic import DemoScene, make_demo_scene
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.tasks.sharpen import SharpenResult, sharpen
from clippan_cli.writing.options import OutputOptions
from clippan_models.adaptation.options import DEFAULT_BACKBONE, AdaptOptions

Array = NDArray[np.float64]

UTM31 = "EPSG:32631"
PAN_PIXEL = Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000)
"""Geotransform of a PAN image with pixels of half a metre, north up."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run slow tests last, and the fast tests of a file in one process, where several share the work.

    Fast tests share what their file prepares. Slow ones are spread one by one, so that no process is left with all.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
    for item in items:
        if item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.name))


@dataclass(frozen=True)
class Grid:
    """Where the pixels of a raster lie."""

    transform: Affine
    width: int
    height: int
    crs: str | None = UTM31

    @property
    def middle(self) -> tuple[float, float]:
        """Map coordinates of the centre."""
        x, y = self.transform @ (self.width / 2, self.height / 2)
        return float(x), float(y)

    def centres(self) -> tuple[Array, Array]:
        """Map coordinates x and y of the pixel centres, `[h, w]` each."""
        rows, cols = np.mgrid[0 : self.height, 0 : self.width]
        x, y = self.transform @ (cols + 0.5, rows + 0.5)
        return np.asarray(x, np.float64), np.asarray(y, np.float64)

    def place(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Column and row, in corner coordinates, of map coordinates."""
        col, row = ~self.transform @ (x, y)
        return np.asarray(col, np.float64), np.asarray(row, np.float64)

    def covers(self, x: Array, y: Array, margin: float = 0.0) -> NDArray[np.bool_]:
        """Whether map coordinates lie on the raster, at least `margin` of its pixels from the edge."""
        col, row = self.place(x, y)
        across = (col >= margin) & (col <= self.width - margin)
        return across & (row >= margin) & (row <= self.height - margin)


@dataclass(frozen=True)
class Output:
    """A fused file as anybody else would read it."""

    pixels: Array
    valid: NDArray[np.bool_]
    grid: Grid
    dtype: str
    nodata: float | None
    path: Path
    result: SharpenResult
    notes: tuple[str, ...]

    @property
    def tags(self) -> Mapping[str, str]:
        """What the file says of its making."""
        with rasterio.open(self.path) as dataset:
            return dict(dataset.tags(ns="CLIPPAN"))


@dataclass
class Bench:
    """Writes rasters into a folder and sharpens them."""

    folder: Path
    numbers: Any = field(default_factory=itertools.count)

    def write(
        self,
        name: str,
        values: NDArray[Any],
        grid: Grid | None = None,
        *,
        mask: NDArray[np.bool_] | None = None,
        tags: Mapping[str, str] | None = None,
        colors: Sequence[Any] | None = None,
        **profile: Any,
    ) -> str:
        """Write `[C, h, w]` and give the path; `mask` is stored inside the file."""
        path = self.folder / name
        count, height, width = values.shape
        shape = {"count": count, "height": height, "width": width, "dtype": values.dtype.name}
        place = {} if grid is None else {"transform": grid.transform, "crs": grid.crs}
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(path, "w", **({"driver": "GTiff"} | shape | place | profile)) as file,
        ):
            if colors is not None:
                file.colorinterp = tuple(colors)
            file.write(values)
            if mask is not None:
                file.write_mask(mask)
            if tags:
                file.update_tags(**tags)
        return str(path)

    def sharpen(
        self,
        ms: str | Sequence[str],
        pan: str | Sequence[str],
        *,
        method: str = "exp",
        tile: int | None = None,
        threads: int = 1,
        steps: int = 2,
        backbone: str = DEFAULT_BACKBONE,
        coregister: Any = "off",
        pair: PairOptions | None = None,
        bands: tuple[int, ...] | None = None,
        encoding: OutputOptions | None = None,
        quicklook: Path | None = None,
        **scene: Any,
    ) -> Output:
        """Sharpen two files and read the result back."""
        notes: list[str] = []
        path = self.folder / f"fused{next(self.numbers)}.tif"
        options = SharpenOptions(
            path,
            method=method,
            bands=bands,
            encoding=encoding or OutputOptions(driver="gtiff"),
            compute=ComputeOptions(device="cpu", threads=threads, tile=tile),
            adapt=AdaptOptions(steps=steps, backbone=backbone),
            quicklook=quicklook,
            assess=False,
        )
        names, (first, *others) = ((name,) if isinstance(name, str) else tuple(name) for name in (ms, pan))
        read = ReadOptions(pair=pair or PairOptions(), coregister=coregister, **scene)
        result = sharpen(
            SceneFiles(names, first, pan_tiles=tuple(others)), read, options, Control(on_note=notes.append)
        )
        return self.read(path, result, notes)

    def read(self, path: Path, result: SharpenResult, notes: Sequence[str] = ()) -> Output:
        """A fused file."""
        with rasterio.open(path) as dataset:
            crs = dataset.crs.to_string() if dataset.crs else None
            return Output(
                pixels=dataset.read().astype(np.float64),
                valid=dataset.read_masks() > 0,
                grid=Grid(dataset.transform, dataset.width, dataset.height, crs),
                dtype=dataset.dtypes[0],
                nodata=dataset.nodata,
                path=path,
                result=result,
                notes=tuple(notes),
            )

    def write_demo(self, scene: DemoScene, dtype: str = "uint16", **profile: Any) -> tuple[str, str]:
        """The MS and PAN of a demo scene as files."""
        pan_grid = Grid(PAN_PIXEL, *scene.pan.shape[:0:-1])
        ms_grid = replace(pan_grid, transform=PAN_PIXEL @ Affine.scale(4))
        ms, pan = ((v if dtype == "float32" else np.rint(v)).astype(dtype) for v in (scene.ms, scene.pan))
        return self.write("demo_ms.tif", ms, ms_grid, **profile), self.write("demo_pan.tif", pan, pan_grid, **profile)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A workbench in a folder of its own."""
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def town() -> DemoScene:
    """A small demo scene whose bands lie where the grids say."""
    return make_demo_scene(128, shift=(0.0, 0.0))
