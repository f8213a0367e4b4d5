"""Made-up files for `recorded_runs.py`: pairs of every kind, and files that are damaged or foreign."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform_bounds

Image = NDArray[Any]
UTM = "EPSG:32633"


@dataclass(frozen=True)
class Pair:
    """Writes `ms.tif`, `pan.tif` and `truth.tif`, each with `name` before it.

    Attributes:
        name: of the files, which may begin with a folder.
        bands: of MS.
        side: of PAN, in pixels.
        ratio: PAN pixels per MS pixel, down and right.
        dtype: of all files.
        holes: how pixels of both images are marked as missing: "", "nan", "value" or "mask".
        crop: rows and columns of MS to keep, `(top, bottom, left, right)`.
        crs: of MS, where it is another one than that of PAN.
        split: one file for each band of MS, `ms1.tif` and so on.
        enlarged: MS repeats each sample, so that it lies on the grid of PAN.
        seed: of what is seen, and how far to the east, so that no two scenes overlap.
    """

    name: str = ""
    bands: int = 4
    side: int = 256
    ratio: tuple[int, int] = (4, 4)
    dtype: str = "uint16"
    holes: str = ""
    crop: tuple[int, int, int, int] | None = None
    crs: str = ""
    split: bool = False
    enlarged: bool = False
    seed: int = 0

    def __call__(self, folder: Path) -> None:
        """Write the files."""
        place = f"{folder}/{self.name}"
        Path(f"{place}pan.tif").parent.mkdir(parents=True, exist_ok=True)
        grid = Affine.translation(500_000 + 4000 * self.seed, 5_400_000) @ Affine.scale(0.5, -0.5)
        truth = self._ground()
        ms, ms_grid = self._seen_by_ms(truth, grid)
        self._write(f"{place}pan.tif", truth.mean(0, keepdims=True), grid)
        self._write(f"{place}truth.tif", truth, grid)
        if self.split:
            for band, pixels in enumerate(ms, 1):
                self._write(f"{place}ms{band}.tif", pixels[None], ms_grid)
        else:
            self._write(f"{place}ms.tif", ms, ms_grid, self.crs or UTM)

    def _ground(self) -> Image:
        """Fields with furrows, a few bright roofs, noise; every band a mixture of its own, 8 bits at most for uint8."""
        rng = np.random.default_rng(self.seed)
        y, x = np.mgrid[0 : self.side, 0 : self.side]
        fields = rng.uniform(200, 1200, (self.bands, self.side // 20 + 1, self.side // 20 + 1))
        image = fields[:, y // 20, x // 20] * (1 + 0.1 * np.sin(x / 3) * np.cos(y / 4))
        for top, left in rng.integers(0, self.side - 12, (self.side // 8, 2)):
            image[:, top : top + 9, left : left + 7] = rng.uniform(800, 1800, (self.bands, 1, 1))
        image += 250 * np.sin(x / 31) + rng.normal(0, 12, image.shape)
        return np.asarray(np.clip(image, 20, 2000) / (8 if self.dtype == "uint8" else 1))

    def _seen_by_ms(self, truth: Image, grid: Affine) -> tuple[Image, Affine]:
        """Means of blocks, one PAN pixel off, on a grid of their own."""
        down, right = self.ratio
        rows, columns = self.side // down, self.side // right
        moved = np.roll(truth, (1, -1), (1, 2))[:, : rows * down, : columns * right]
        ms, ms_grid = moved.reshape(-1, rows, down, columns, right).mean((2, 4)), grid @ Affine.scale(right, down)
        if self.crop is not None:
            top, bottom, first, last = self.crop
            ms, ms_grid = ms[:, top:bottom, first:last], ms_grid @ Affine.translation(first, top)
        if self.enlarged:
            return ms.repeat(down, 1).repeat(right, 2), grid
        if not self.crs:
            return ms, ms_grid
        (west, north), (east, south) = ms_grid @ (0, 0), ms_grid @ (columns, rows)
        west, south, east, north = transform_bounds(UTM, self.crs, west, south, east, north)
        there = Affine(east - west, 0, west, 0, south - north, north) @ Affine.scale(1 / columns, 1 / rows)
        warped = np.zeros_like(ms)
        places = {"src_transform": ms_grid, "src_crs": UTM, "dst_transform": there, "dst_crs": self.crs}
        reproject(ms, warped, resampling=Resampling.bilinear, **places)
        return warped, there

    def _write(self, path: str, pixels: Image, grid: Affine, crs: str = UTM) -> None:
        count, height, width = pixels.shape
        missing = np.zeros((height, width), bool)
        missing[height // 8 : height // 4, width // 2 :] = missing[-height // 16 :] = bool(self.holes)
        nodata = {"nan": np.nan, "value": 0}.get(self.holes)
        values = np.where(missing, nodata or 0, pixels if self.dtype == "float32" else np.rint(pixels))
        shape = {"count": count, "height": height, "width": width, "dtype": self.dtype, "nodata": nodata}
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(path, "w", driver="GTiff", crs=crs, transform=grid, **shape) as file,
        ):
            file.write(values.astype(self.dtype))
            file.descriptions = [f"band {number}" for number in range(1, count + 1)]
            if self.holes == "mask":
                file.write_mask(~missing)


@dataclass(frozen=True)
class Text:
    """Writes a text file; one that is called a raster, or weights, is a damaged one."""

    name: str
    text: str

    def __call__(self, folder: Path) -> None:
        """Write it."""
        (folder / self.name).parent.mkdir(parents=True, exist_ok=True)
        (folder / self.name).write_text(self.text, encoding="utf-8")


def write_foreign_weights(folder: Path) -> None:
    """Weights of the backbone pnn for four bands, as PyTorch saves them."""
    import torch  # takes seconds

    rng = np.random.default_rng(3)
    shapes = [(64, 5, 9, 9), (64,), (32, 64, 5, 5), (32,), (4, 32, 5, 5), (4,)]
    layers = {f"layer{i}": torch.from_numpy(rng.normal(0, 0.01, shape)).float() for i, shape in enumerate(shapes)}
    saved = io.BytesIO()
    torch.save(layers, saved)
    (folder / "theirs.pth").write_bytes(saved.getvalue())
