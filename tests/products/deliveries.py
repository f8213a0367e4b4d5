"""Products as providers deliver them, generated: their folders, names and documents, around the pixels of one pair."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

PAN_SIDE, RATIO = 64, 2
PAN_PIXEL = Affine(15, 0, 500_000, 0, -15, 5_400_000)
MS_PIXEL = PAN_PIXEL @ Affine.scale(RATIO)
MS_SIDE = PAN_SIDE // RATIO


def ground(bands: int, side: int, seed: int = 3) -> NDArray[np.uint16]:
    """Smooth ground with a little noise, never 0."""
    y, x = np.mgrid[0:side, 0:side] / side
    smooth = [300 + 40 * b + 100 * np.sin(5 * x + b) * np.cos(4 * y) for b in range(bands)]
    noise = np.random.default_rng(seed).uniform(0, 20, (bands, side, side))
    return (np.stack(smooth) + noise).astype(np.uint16)


@dataclass
class Shelf:
    """A folder for one product, and the plain pair that it should be read as.

    Attributes:
        folder: of the product.
        plain: of the pair, elsewhere.
        bands: of MS.
        ms: pixels.
        pan: pixels.
    """

    folder: Path
    plain: Path
    bands: int = 4
    ms: NDArray[np.uint16] = field(init=False)
    pan: NDArray[np.uint16] = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.plain.mkdir(exist_ok=True)
        self.ms, self.pan = ground(self.bands, MS_SIDE), ground(1, PAN_SIDE, 4)

    def raster(self, name: str, pixels: NDArray[Any], place: Affine | None, **profile: Any) -> Path:
        """A GeoTIFF in the folder of the product; without georeferencing where its place is None."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        count, height, width = pixels.shape
        shape = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": pixels.dtype.name}
        georeferenced = {} if place is None else {"crs": "EPSG:32630", "transform": place}
        with rasterio.open(path, "w", **(shape | georeferenced | profile)) as file:
            file.write(pixels)
        return path

    def text(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def pair(self, ms: str, pan: str, **profile: Any) -> None:
        """MS and PAN, each as one file of the product."""
        self.raster(ms, self.ms, MS_PIXEL, **profile)
        self.raster(pan, self.pan, PAN_PIXEL, **profile)

    def plain_pair(self, **profile: Any) -> list[str]:
        """The same pixels as two plain files elsewhere."""
        other = Shelf.__new__(Shelf)
        other.folder = self.plain
        places = (("ms.tif", self.ms, MS_PIXEL), ("pan.tif", self.pan, PAN_PIXEL))
        return [str(other.raster(name, pixels, place, **profile)) for name, pixels, place in places]


LANDSAT = "LC08_L1TP_200030_20200716_20200911_02_T1"
OLI, ETM = (1, 2, 3, 4, 5, 6, 7), (1, 2, 3, 4, 5, 7)
SCALE, OFFSET = 2e-5, -0.1


@dataclass(frozen=True)
class Mtl:
    """A Landsat product to write.

    Attributes:
        collection: 1 or 2.
        name: of the product.
        satellite: as SPACECRAFT_ID says.
        form: txt, xml or json.
    """

    collection: int = 2
    name: str = LANDSAT
    satellite: str = "LANDSAT_8"
    form: str = "txt"

    @property
    def bands(self) -> tuple[int, ...]:
        return ETM if self.satellite == "LANDSAT_7" else OLI

    def groups(self) -> dict[str, dict[str, Any]]:
        """The groups of the document, as the data format control book lists them, as far as they matter."""
        files = {f"FILE_NAME_BAND_{band}": f"{self.name}_B{band}.TIF" for band in (*self.bands, 8)}
        numbers = {f"REFLECTANCE_MULT_BAND_{band}": SCALE for band in (*self.bands, 8)}
        numbers |= {f"REFLECTANCE_ADD_BAND_{band}": OFFSET for band in (*self.bands, 8)}
        if self.collection == 1:
            files["FILE_NAME_BAND_QUALITY"] = f"{self.name}_BQA.TIF"
            return {
                "PRODUCT_METADATA": {"SPACECRAFT_ID": self.satellite, **files},
                "RADIOMETRIC_RESCALING": numbers,
            }
        files["FILE_NAME_QUALITY_L1_PIXEL"] = f"{self.name}_QA_PIXEL.TIF"
        files["FILE_NAME_QUALITY_L1_RADIOMETRIC_SATURATION"] = f"{self.name}_QA_RADSAT.TIF"
        return {
            "PRODUCT_CONTENTS": {"PROCESSING_LEVEL": "L1TP", **files},
            "IMAGE_ATTRIBUTES": {"SPACECRAFT_ID": self.satellite, "CLOUD_COVER": 1.5},
            "LEVEL1_RADIOMETRIC_RESCALING": numbers,
        }

    def document(self) -> str:
        groups = self.groups()
        if self.form == "json":
            return json.dumps({"LANDSAT_METADATA_FILE": groups})
        if self.form == "xml":
            inner = "".join(
                f"<{name}>{''.join(f'<{k}>{v}</{k}>' for k, v in of.items())}</{name}>" for name, of in groups.items()
            )
            return f'<?xml version="1.0" encoding="UTF-8"?>\n<LANDSAT_METADATA_FILE>{inner}</LANDSAT_METADATA_FILE>\n'
        lines = ["GROUP = LANDSAT_METADATA_FILE"]
        for name, of in groups.items():
            said = [f'    {k} = "{v}"' if isinstance(v, str) else f"    {k} = {v:E}" for k, v in of.items()]
            lines += [f"  GROUP = {name}", *said, f"  END_GROUP = {name}"]
        return "\n".join([*lines, "END_GROUP = LANDSAT_METADATA_FILE", "END", ""])


def landsat(shelf: Shelf, mtl: Mtl = Mtl(), quality: dict[str, NDArray[np.uint16]] | None = None) -> Path:
    """A Landsat product with one file for each band, quality bands and an MTL file."""
    clear = np.full((1, MS_SIDE, MS_SIDE), 21824 if mtl.collection == 2 else 2720, np.uint16)
    none = np.zeros_like(clear)
    planes = {"BQA": clear} if mtl.collection == 1 else {"QA_PIXEL": clear, "QA_RADSAT": none}
    for name, pixels in (planes | (quality or {})).items():
        shelf.raster(f"{mtl.name}_{name}.TIF", pixels, MS_PIXEL)
    for number, band in zip(mtl.bands, shelf.ms, strict=True):
        shelf.raster(f"{mtl.name}_B{number}.TIF", band[np.newaxis], MS_PIXEL)
    shelf.raster(f"{mtl.name}_B8.TIF", shelf.pan, PAN_PIXEL)
    return shelf.text(f"{mtl.name}_MTL.{mtl.form}", mtl.document())
