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


def landsat_item(shelf: Shelf, mtl: Mtl = Mtl(), quality: dict[str, NDArray[np.uint16]] | None = None) -> Path:
    """The same files, with a STAC item that names them as that of USGS does."""
    landsat(shelf, mtl, quality)

    def asset(name: str, **more: Any) -> dict[str, Any]:
        return {"href": f"./{mtl.name}_{name}.TIF", **more}

    common = {1: "coastal", 2: "blue", 3: "green", 4: "red", 5: "nir08", 8: "pan"}
    assets = {
        name: asset(f"B{number}", **{"roles": ["data"], "eo:bands": [{"name": f"B{number}", "common_name": name}]})
        for number, name in common.items()
    }
    assets["qa_pixel"] = asset("QA_PIXEL", roles=["cloud", "cloud-shadow", "snow-ice", "water-mask"])
    assets["qa_radsat"] = asset("QA_RADSAT", roles=["saturation"])
    item = {"type": "Feature", "id": mtl.name, "properties": {"platform": mtl.satellite}, "assets": assets}
    return shelf.text("item.json", json.dumps(item))


def dimap_document(image: str, bands: int, side: int, *, special: str = "") -> str:
    """DIM_*.XML of DIMAP 2, as far as GDAL reads it."""
    shape = f"<NROWS>{side}</NROWS><NCOLS>{side}</NCOLS><NBANDS>{bands}</NBANDS>"
    file = f'<Data_File tile_R="1" tile_C="1"><DATA_FILE_PATH href="{image}"/></Data_File>'
    strip = (
        "<MISSION>PHR</MISSION><MISSION_INDEX>1A</MISSION_INDEX>"
        "<IMAGING_DATE>2012-08-13</IMAGING_DATE><IMAGING_TIME>09:50:01.2Z</IMAGING_TIME>"
    )
    return (
        '<Dimap_Document><Metadata_Identification><METADATA_FORMAT version="2.0">DIMAP</METADATA_FORMAT>'
        f"</Metadata_Identification><Raster_Data><Data_Access><Data_Files>{file}</Data_Files></Data_Access>"
        f"<Raster_Dimensions>{shape}</Raster_Dimensions>"
        f"<Raster_Display>{special}</Raster_Display></Raster_Data>"
        f"<Dataset_Sources><Source_Identification><Strip_Source>{strip}</Strip_Source></Source_Identification>"
        "</Dataset_Sources></Dimap_Document>"
    )


def dimap_volume(*documents: str) -> str:
    """VOL_*.XML of DIMAP 2."""
    components = "".join(
        f'<Component><COMPONENT_TYPE>DIMAP</COMPONENT_TYPE><COMPONENT_PATH href="{document}"/></Component>'
        for document in documents
    )
    return (
        '<Dimap_Document><Metadata_Identification><METADATA_FORMAT version="2.0">DIMAP</METADATA_FORMAT>'
        f"</Metadata_Identification><Dataset_Content><Dataset_Components>{components}</Dataset_Components>"
        "</Dataset_Content></Dimap_Document>"
    )


ZERO_IS_NODATA = (
    "<Special_Value><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_COUNT>0</SPECIAL_VALUE_COUNT>"
    "</Special_Value>"
)


def pleiades(shelf: Shelf, special: str = "") -> Path:
    """A bundle of DIMAP 2: a volume with two folders, of MS and of PAN; its volume file."""
    documents = []
    images = (("MS", shelf.ms, MS_PIXEL, "001_A"), ("P", shelf.pan, PAN_PIXEL, "002_A"))
    for role, pixels, place, number in images:
        folder, name = f"IMG_PHR1A_{role}_{number}", f"PHR1A_{role}_201208130950012_ORT_IPU_00"
        shelf.raster(f"{folder}/IMG_{name}_R1C1.TIF", pixels, place)
        text = dimap_document(f"IMG_{name}_R1C1.TIF", len(pixels), pixels.shape[1], special=special)
        documents.append(f"{folder}/DIM_{name}.XML")
        shelf.text(documents[-1], text)
    return shelf.text("VOL_PHR.XML", dimap_volume(*documents))


def spot5(shelf: Shelf) -> Path:
    """Two scenes of DIMAP 1, each with METADATA.DIM and IMAGERY.TIF; the metadata of MS."""
    for folder, pixels, place in (("MS", shelf.ms, MS_PIXEL), ("PAN", shelf.pan, PAN_PIXEL)):
        shelf.raster(f"{folder}/IMAGERY.TIF", pixels, place)
        bands, side = pixels.shape[:2]
        shelf.text(
            f"{folder}/METADATA.DIM",
            '<Dimap_Document><Metadata_Id><METADATA_FORMAT version="1.1">DIMAP</METADATA_FORMAT></Metadata_Id>'
            "<Coordinate_Reference_System><Horizontal_CS><HORIZONTAL_CS_CODE>epsg:32630</HORIZONTAL_CS_CODE>"
            "</Horizontal_CS></Coordinate_Reference_System><Geoposition><Geoposition_Insert>"
            f"<ULXMAP>{place.c}</ULXMAP><ULYMAP>{place.f}</ULYMAP><XDIM>{place.a}</XDIM><YDIM>{place.a}</YDIM>"
            f"</Geoposition_Insert></Geoposition><Raster_Dimensions><NCOLS>{side}</NCOLS><NROWS>{side}</NROWS>"
            f"<NBANDS>{bands}</NBANDS></Raster_Dimensions>"
            '<Data_Access><Data_File><DATA_FILE_PATH href="IMAGERY.TIF"/></Data_File></Data_Access></Dimap_Document>',
        )
    return shelf.folder / "MS" / "METADATA.DIM"


def maxar(shelf: Shelf) -> Path:
    """An order with a folder for each of MUL and PAN, PAN in two tiles; the TIL of PAN."""
    start, part = "12AUG13110721", "052697583010_01_P001"
    for role, pixels, place in (("MUL", shelf.ms, MS_PIXEL), ("PAN", shelf.pan, PAN_PIXEL)):
        name, folder = f"{start}-{role[0]}2AS-{part}", f"{part}_{role}"
        side, columns = pixels.shape[1], 1 if role == "MUL" else 2
        text = f'bandId = "{"P" if columns == 2 else "Multi"}";\nnumTiles = {columns};\ntileUnits = "Pixels";\n'
        for col in range(columns):
            width, file = side // columns, f"{start}-{role[0]}2AS_R1C{col + 1}-{part}.TIF"
            cut = pixels[:, :, col * width : (col + 1) * width]
            shelf.raster(f"{folder}/{file}", cut, place @ Affine.translation(col * width, 0))
            text += (
                f'BEGIN_GROUP = TILE_{col + 1}\n\tfilename = "{file}";\n\tULColOffset = {col * width};\n'
                f"\tULRowOffset = 0;\n\tLRColOffset = {(col + 1) * width - 1};\n"
                f"\tLRRowOffset = {side - 1};\nEND_GROUP = TILE_{col + 1}\n"
            )
        shelf.text(f"{folder}/{name}.TIL", text + "END;\n")
        x, y = place @ (0.5, 0.5)
        shelf.text(
            f"{folder}/{name}.IMD",
            f'version = "28.3";\nnumRows = {side};\nnumColumns = {side};\nbitsPerPixel = 16;\n'
            'BEGIN_GROUP = IMAGE_1\n\tsatId = "WV02";\n\tfirstLineTime = 2012-08-13T11:07:21.5Z;\n'
            "END_GROUP = IMAGE_1\nBEGIN_GROUP = MAP_PROJECTED_PRODUCT\n"
            f"\tULX = {x};\n\tULY = {y};\nEND_GROUP = MAP_PROJECTED_PRODUCT\nEND;\n",
        )
    return shelf.folder / f"{part}_PAN" / f"{start}-P2AS-{part}.TIL"


def rpcs(side: int) -> dict[str, Any]:
    """Coefficients that lay an image over a hundredth of a degree, the same for MS and PAN."""

    def poly(place: int) -> list[float]:
        return [1.0 if number == place else 0.0 for number in range(20)]

    half = side / 2
    offsets = {"line_off": half - 0.5, "samp_off": half - 0.5, "lat_off": 34.4, "long_off": 113.9, "height_off": 100.0}
    scales = {"line_scale": half, "samp_scale": half, "lat_scale": 0.01, "long_scale": 0.01, "height_scale": 500.0}
    return offsets | scales | dict(zip(_RPB_LISTS.values(), map(poly, (2, 0, 1, 0)), strict=True))


_RPB = {
    "lineOffset": "line_off",
    "sampOffset": "samp_off",
    "latOffset": "lat_off",
    "longOffset": "long_off",
    "heightOffset": "height_off",
    "lineScale": "line_scale",
    "sampScale": "samp_scale",
    "latScale": "lat_scale",
    "longScale": "long_scale",
    "heightScale": "height_scale",
}
_RPB_LISTS = {
    "lineNumCoef": "line_num_coeff",
    "lineDenCoef": "line_den_coeff",
    "sampNumCoef": "samp_num_coeff",
    "sampDenCoef": "samp_den_coeff",
}


def rpb(side: int) -> str:
    """The coefficients as the .rpb beside an image holds them."""
    of = rpcs(side)
    lines = [f"\t{key} = {of[name]!r};" for key, name in _RPB.items()]
    for key, name in _RPB_LISTS.items():
        lines.append(f"\t{key} = (\n" + ",\n".join(f"\t\t\t{value!r}" for value in of[name]) + ");")
    body = "\n".join(["\terrBias = 1.0;", "\terrRand = 0.0;", *lines])
    return f'satId = "GF2";\nbandId = "1";\nSpecId = "RPC00B";\nBEGIN_GROUP = IMAGE\n{body}\nEND_GROUP = IMAGE\nEND;\n'


def gaofen(shelf: Shelf) -> Path:
    """A scene of level 1A without map projection, each image with its XML and RPC; the XML of MS."""
    start = "GF2_PMS1_E113.9_N34.4_20200813_L1A0004989563"
    for role, pixels in (("MSS1", shelf.ms), ("PAN1", shelf.pan)):
        shelf.raster(f"{start}-{role}.tiff", pixels, None)
        shelf.text(f"{start}-{role}.rpb", rpb(pixels.shape[1]))
        shelf.text(
            f"{start}-{role}.xml",
            "<?xml version='1.0' encoding='utf-8'?>\n<ProductMetaData><SatelliteID>GF2</SatelliteID>"
            "<SensorID>PMS1</SensorID><ProductLevel>LEVEL1A</ProductLevel></ProductMetaData>",
        )
    return shelf.folder / f"{start}-MSS1.xml"


def superview(shelf: Shelf) -> Path:
    """An ortho scene with -MUX and -PAN; the XML of PAN."""
    start = "SV1-01_20200813_L2A0000123456_1109180076784_01"
    shelf.pair(f"{start}-MUX.tiff", f"{start}-PAN.tiff")
    for role in ("MUX", "PAN"):
        shelf.text(f"{start}-{role}.xml", "<ProductMetaData><SatelliteID>SV1-01</SatelliteID></ProductMetaData>")
    return shelf.folder / f"{start}-PAN.xml"


def skysat(shelf: Shelf) -> Path:
    """A collect with masks and finished images; its folder."""
    start = "20200813_101112_ssc1_u0001"
    shelf.pair(f"{start}_analytic.tif", f"{start}_panchromatic.tif")
    shelf.raster(f"{start}_panchromatic_udm2.tif", np.ones((8, PAN_SIDE, PAN_SIDE), np.uint8), PAN_PIXEL)
    shelf.raster(f"{start}_pansharpened.tif", ground(4, PAN_SIDE), PAN_PIXEL)
    return shelf.folder


def kompsat(shelf: Shelf) -> Path:
    """A bundle with one file for each band; its folder."""
    start = "K3A_20180304060821_16235_00571286_L1G"
    for band, pixels in zip("BGRN", shelf.ms, strict=True):
        shelf.raster(f"{start}_{band}.tif", pixels[np.newaxis], MS_PIXEL)
    shelf.raster(f"{start}_P.tif", shelf.pan, PAN_PIXEL)
    return shelf.folder


def stac(shelf: Shelf) -> Path:
    """An item whose assets are whole images."""
    shelf.pair("analytic.tif", "panchromatic.tif")
    named = {"analytic": ("blue", "green", "red", "nir"), "panchromatic": ("pan",)}
    assets = {
        key: {"href": f"./{key}.tif", "eo:bands": [{"common_name": name} for name in names]}
        for key, names in named.items()
    }
    return shelf.text("item.json", json.dumps({"type": "Feature", "id": "item", "properties": {}, "assets": assets}))
