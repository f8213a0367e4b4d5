"""Every reader of what others have written: it understands it, or says in an error of clippan that it does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from clippan_cli.batch.record import Job, Record, is_finished, may_replace, read_record
from clippan_cli.rasters.geojson import read_geojson
from clippan_cli.rasters.options import PairOptions, Trust
from clippan_cli.rasters.pair import open_pair
from clippan_cli.rasters.points import read_points
from clippan_cli.rasters.region import region_from_file
from clippan_cli.running.control import Control
from clippan_cli.running.warnings import NOT_MEASURED
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.pairs import find_pairs
from clippan_cli.scene.scene import open_scene
from clippan_cli.sharpening.options import SharpenOptions
from clippan_models.errors import ClippanError
from clippan_models.sensors import load_sensor
from tests.conftest import PAN_PIXEL, Bench, Grid
from tests.fuzz.spoiled import fuzzed, spoiled, spoiled_bytes

SIDE = 32


@pytest.fixture
def pair(bench: Bench) -> tuple[str, str]:
    """The names of an MS of three bands and a PAN."""
    rng = np.random.default_rng(3)
    ms, pan = (rng.integers(1, 900, shape).astype(np.uint16) for shape in ((3, SIDE // 4, SIDE // 4), (1, SIDE, SIDE)))
    return (
        bench.write("a_ms.tif", ms, Grid(PAN_PIXEL @ Affine.scale(4), SIDE // 4, SIDE // 4)),
        bench.write("a_pan.tif", pan, Grid(PAN_PIXEL, SIDE, SIDE)),
    )


def look_at(ms: str, pan: str) -> None:
    """Open a pair as all commands do, and find it in its folder."""
    with suppress(ClippanError), ExitStack() as stack:
        open_scene(SceneFiles((ms,), pan), ReadOptions(coregister="off"), Control(), stack)
    with suppress(ClippanError):
        left_out = find_pairs(Path(ms).parent, Trust(), Control()).left_out
        assert not [item for item in left_out if "unexpected" in item.reason]


# --- Tables, catalogues, records --------------------------------------------------------------------------------------

BANDS = [{"name": f"B{number}", "common_name": name} for number, name in enumerate(["blue", "green", "red", "nir"])]
ITEM = {
    "type": "Feature",
    "id": "one",
    "properties": {"eo:bands": BANDS},
    "assets": {
        "ms": {"href": "ms.tif", "eo:bands": BANDS, "roles": ["data"]},
        "numbered": {"href": "ms.tif", "eo:bands": [0, 1]},
        "pan": {"href": "file:///pan.tif", "bands": [{"eo:common_name": "pan"}]},
        "picture": {"href": "p.png", "eo:bands": BANDS[:3], "roles": ["thumbnail"]},
    },
}
CATALOGUE = {"type": "Catalog", "links": [{"rel": "item", "href": "item.json"}, {"rel": "child", "href": "stac.json"}]}


@pytest.mark.parametrize("name", ["item.json", "stac.json"])
@pytest.mark.parametrize("document", [ITEM, {"type": "FeatureCollection", "features": [ITEM]}, CATALOGUE])
def test_stac(name: str, document: Mapping[str, Any], tmp_path: Path) -> None:
    @fuzzed(changed=spoiled(document))
    def reads(changed: Any) -> None:
        (tmp_path / "stac.json").write_text(json.dumps(CATALOGUE))
        (tmp_path / name).write_text(json.dumps(changed))
        with suppress(ClippanError):
            for scene in find_pairs(tmp_path / "stac.json", Trust(), Control()).pairs:
                look_for(scene)

    reads()


def look_for(scene: SceneFiles) -> None:
    """Open the files of a scene that may not be there."""
    with suppress(ClippanError), ExitStack() as stack:
        open_pair(scene.ms, scene.pans, PairOptions(), stack)


TABLE = b'ms,pan,id,fused,sensor\nms.tif;b.tif,pan.tif,one,f.tif,generic\n"m,s.tif",/pan.tif,,,\n'


def test_csv(tmp_path: Path) -> None:
    @fuzzed(content=spoiled_bytes(TABLE))
    def reads(content: bytes) -> None:
        (tmp_path / "t.csv").write_bytes(content)
        with suppress(ClippanError):
            for scene in find_pairs(tmp_path / "t.csv", Trust(), Control()).pairs:
                look_for(scene)

    reads()


def test_records(tmp_path: Path) -> None:
    warning = NOT_MEASURED.says("why")
    record = Record("key", "done", True, "a", "b", "", 0, 1.5, {"QNR": 0.9}, (warning,))
    job = Job(SceneFiles(("ms.tif",), "pan.tif"), ReadOptions(), SharpenOptions(tmp_path / "one.tif"), "key")
    job.record.parent.mkdir()

    @fuzzed(changed=spoiled(json.loads(json.dumps(asdict(record)))))
    def reads(changed: Any) -> None:
        job.record.write_text(json.dumps(changed))
        found = read_record(job)
        assert found is None or found.quality is None or all(isinstance(v, float) for v in found.quality.values())
        is_finished(job, found)
        may_replace(job, found)

    reads()


# --- What a user names ------------------------------------------------------------------------------------------------

SENSOR = b"""
name = "Ours"
bits = 11
ratio = 4.0
pan_gain = 0.15
aliases = ["OU-1"]
subsets = [["blue", "red"]]
[[bands]]
name = "blue"
wavelength_nm = [450, 520]
gain = 0.3
[[bands]]
name = "red"
wavelength_nm = [630, 690]
gain = 0.3
"""


def test_sensors(tmp_path: Path) -> None:
    @fuzzed(content=spoiled_bytes(SENSOR))
    def reads(content: bytes) -> None:
        (tmp_path / "ours.toml").write_bytes(content)
        with suppress(ClippanError):
            assert load_sensor(str(tmp_path / "ours.toml")).bits <= 16

    reads()


RING = [[500_002, 4_000_000], [500_010, 4_000_000], [500_010, 3_999_990], [500_002, 4_000_000]]
AREA = {
    "type": "FeatureCollection",
    "crs": {"properties": {"name": "EPSG:32631"}},
    "features": [
        {"type": "Feature", "properties": {"name": "a"}, "geometry": {"type": "Polygon", "coordinates": [RING]}},
        {"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [500_004, 3_999_996]}},
    ],
}


def test_areas_and_points(pair: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "area.geojson"
    with ExitStack() as stack:
        opened = open_pair([pair[0]], [pair[1]], PairOptions(), stack)

        @fuzzed(changed=spoiled(AREA))
        def reads(changed: Any) -> None:
            path.write_text(json.dumps(changed))
            for read in (read_geojson, lambda p: region_from_file(opened, p), lambda p: read_points(opened, p)):
                with suppress(ClippanError):
                    read(path)

        reads()


# --- Rasters ----------------------------------------------------------------------------------------------------------

SIDECAR = b"""<PAMDataset><SRS>EPSG:32631</SRS><GeoTransform>500000, 2, 0, 4000000, 0, -2</GeoTransform>
<Metadata><MDI key="ACQUISITIONDATETIME">2020-01-01T10:00:00Z</MDI></Metadata>
<Metadata domain="RPC"><MDI key="LINE_OFF">1</MDI><MDI key="LINE_NUM_COEFF">1 2 3</MDI></Metadata>
<Metadata domain="IMD"><MDI key="BAND_B.absCalFactor">1</MDI></Metadata>
<Metadata domain="CLIPPAN"><MDI key="MS">["a"]</MDI><MDI key="PAN">b</MDI></Metadata>
<GCPList Projection="EPSG:4326"><GCP Id="1" Pixel="0" Line="0" X="1" Y="2"/></GCPList>
<PAMRasterBand band="1"><Description>blue</Description><NoDataValue>0</NoDataValue><Offset>0</Offset><Scale>1</Scale>
<ColorInterp>Alpha</ColorInterp><Metadata><MDI key="wavelength">480</MDI></Metadata></PAMRasterBand></PAMDataset>"""


def test_sidecars(pair: tuple[str, str]) -> None:
    @fuzzed(share=10, content=spoiled_bytes(SIDECAR))
    def reads(content: bytes) -> None:
        Path(pair[0] + ".aux.xml").write_bytes(content)
        look_at(*pair)

    reads()


def test_tags_of_geotiff(pair: tuple[str, str]) -> None:
    with rasterio.open(pair[0], "r+") as dataset:
        dataset.update_tags(MS="[]", DATETIME="2020:01:01 10:00:00")
        dataset.update_tags(ns="CLIPPAN", MS='["a"]', PAN="b")
        dataset.set_band_description(1, "blue")
    good = Path(pair[0]).read_bytes()

    @fuzzed(share=10, content=spoiled_bytes(good))
    def reads(content: bytes) -> None:
        Path(pair[0]).write_bytes(content)
        look_at(*pair)

    reads()


DOCUMENTS = {
    "a_pan.dim": b'<Dimap_Document><Metadata_Id><METADATA_FORMAT version="1.1">DIMAP</METADATA_FORMAT></Metadata_Id>'
    b"<Raster_Dimensions><NCOLS>32</NCOLS><NROWS>32</NROWS><NBANDS>1</NBANDS></Raster_Dimensions><Data_Access>"
    b'<Data_File><DATA_FILE_PATH href="a_pan.tif"/></Data_File></Data_Access></Dimap_Document>',
    "a_pan.til": b'bandId = "P"\nnumTiles = 1;\ntileSizeX = 32;\ntileSizeY = 32;\ntileUnits = "Pixels";\n'
    b'BEGIN_GROUP = TILE_1\n\tfilename = "a_pan.tif";\n\tULColOffset = 0;\n\tULRowOffset = 0;\n\tLRColOffset = 31;\n'
    b"\tLRRowOffset = 31;\nEND_GROUP = TILE_1\nEND;\n",
    "a_pan.vrt": b'<VRTDataset rasterXSize="32" rasterYSize="32"><VRTRasterBand dataType="UInt16" band="1">'
    b'<SimpleSource><SourceFilename relativeToVRT="1">a_pan.tif</SourceFilename></SimpleSource></VRTRasterBand>'
    b"</VRTDataset>",
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_that_lead_to_rasters(name: str, pair: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "a_pan.imd").write_text("numRows = 32;\nnumColumns = 32;\nEND;\n")

    @fuzzed(share=10, content=spoiled_bytes(DOCUMENTS[name]))
    def reads(content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        with suppress(ClippanError), ExitStack() as stack:
            open_pair([pair[0]], [str(tmp_path / name)], PairOptions(Trust(vrt=True), assume_aligned=True), stack)

    reads()


@pytest.mark.parametrize(("driver", "how"), [("PCIDSK", {"INTERLEAVING": "FILE"}), ("HFA", {"USE_SPILL": "YES"})])
def test_formats_that_link_to_other_files(driver: str, how: dict[str, str], pair: tuple[str, str]) -> None:
    with rasterio.open(pair[1]) as pan:
        profile = {**pan.profile, "driver": driver}
    with rasterio.open(f"{pair[1]}.x", "w", **profile, **how) as other:
        other.write(np.ones((1, other.height, other.width), other.dtypes[0]))
    good = Path(f"{pair[1]}.x").read_bytes()[:20_000]

    @fuzzed(share=4, content=spoiled_bytes(good))
    def reads(content: bytes) -> None:
        Path(pair[1]).write_bytes(content)
        look_at(*pair)

    reads()
