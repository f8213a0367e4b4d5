from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from clippan_cli.rasters.metadata import RasterMetadata, combine, read_metadata, write_metadata
from clippan_cli.writing.grid import OutputGrid
from clippan_cli.writing.options import Driver, OutputOptions
from clippan_cli.writing.writer import SafeWriter

UTM = CRS.from_epsg(32631)
WGS84 = CRS.from_epsg(4326)
PAN_TRANSFORM = Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000)
CROP = (37, 61)

RPCS = RPC(
    height_off=10.0,
    height_scale=500.0,
    lat_off=36.1,
    lat_scale=0.1,
    long_off=3.0,
    long_scale=0.1,
    line_off=4000.5,
    line_scale=4000.0,
    samp_off=5000.25,
    samp_scale=5000.0,
    line_num_coeff=[float(n) for n in range(20)],
    line_den_coeff=[1.0] + [0.0] * 19,
    samp_num_coeff=[float(-n) for n in range(20)],
    samp_den_coeff=[1.0] + [1e-9] * 19,
    err_bias=1.5,
    err_rand=0.25,
)
GCPS = (
    GroundControlPoint(37, 61, 3.0, 36.2, 5.0),
    GroundControlPoint(37, 561, 3.1, 36.2, 6.0),
    GroundControlPoint(537.5, 61, 3.0, 36.1, 7.0),
    GroundControlPoint(537.5, 561.25, 3.1, 36.1, 8.0),
)


def of_ms(**changes: Any) -> RasterMetadata:
    items: dict[str, Any] = {
        "descriptions": ("Blue", "Grün", None, "NIR 1"),
        "colors": (ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined),
        "scales": (1e-4, 2e-4, 1.0, 0.01),
        "offsets": (-0.1, 0.0, 0.0, 2.0),
        "units": ("W m-2 sr-1 µm-1", None, "reflectance", None),
        "band_tags": (
            {"": {"WAVELENGTH": "480", "odd <key> & 'so'": 'a "b"\n=c'}},
            {"": {"WAVELENGTH": "545"}, "VENDOR": {"GAIN": "1.7"}},
            {},
            {"VENDOR": {"GAIN": "0.9"}},
        ),
        "dataset_tags": {
            "": {"TIFFTAG_IMAGEDESCRIPTION": "a scene", "PRODUCT": "L2A"},
            "IMAGERY": {"SATELLITEID": "WV03", "CLOUDCOVER": "3"},
            "ORDER": {"ID": "42"},
        },
    }
    return RasterMetadata(**(items | changes))


def of_pan(**changes: Any) -> RasterMetadata:
    items: dict[str, Any] = {
        "descriptions": ("Pan",),
        "colors": (ColorInterp.gray,),
        "scales": (1.0,),
        "offsets": (0.0,),
        "units": (None,),
        "band_tags": ({},),
        "dataset_tags": {"": {"PRODUCT": "L1"}, "IMAGERY": {"SATELLITEID": "PAN's view"}},
    }
    return RasterMetadata(**(items | changes))


def write_and_read(
    path: Path, driver: Driver, metadata: RasterMetadata, transform: Affine = PAN_TRANSFORM, **grid: Any
) -> RasterMetadata:
    shape: dict[str, Any] = {"dtype": "uint16", "crs": None if transform.is_identity else UTM, "transform": transform}
    output = OutputGrid(600, 530, metadata.bands, **(shape | grid))
    pixels = np.arange(metadata.bands * 530 * 600).reshape(metadata.bands, 530, 600) % 200
    with SafeWriter(path, output, OutputOptions(driver), metadata) as writer:
        writer.write(output.whole, pixels.astype(output.dtype))
        writer.commit()
    return read_back(path)


def read_back(path: Path) -> RasterMetadata:
    with rasterio.open(path) as dataset:
        return read_metadata(dataset, dataset.indexes)


def positions(gcps: tuple[GroundControlPoint, ...]) -> list[tuple[float, ...]]:
    """What GeoTIFF keeps of ground control points: not their names."""
    return [(gcp.row, gcp.col, gcp.x, gcp.y, gcp.z) for gcp in gcps]


@pytest.fixture(scope="module", params=["gtiff", "cog"])
def journey(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Metadata of a pair, combined for a crop, and what a reader finds in the output."""
    pan = of_pan(area_or_point="Point", rpcs=RPCS)
    combined = combine(of_ms(nodata=7.0), pan, CROP)
    path = tmp_path_factory.mktemp("journey") / "out.tif"
    return combined, write_and_read(path, request.param, combined, nodata=7.0)


@pytest.mark.parametrize(
    "field", ["descriptions", "colors", "scales", "offsets", "units", "band_tags", "dataset_tags", "area_or_point"]
)
def test_field_survives_writing(journey: tuple[RasterMetadata, RasterMetadata], field: str) -> None:
    combined, found = journey
    assert getattr(found, field) == getattr(combined, field)
    assert getattr(found, field) == getattr(of_ms(area_or_point="Point"), field)


def test_nodata_survives_writing(journey: tuple[RasterMetadata, RasterMetadata]) -> None:
    assert journey[1].nodata == 7.0


def test_rpcs_of_pan_move_with_the_crop(journey: tuple[RasterMetadata, RasterMetadata]) -> None:
    found = journey[1].rpcs
    assert found is not None
    assert found.to_dict() == {**RPCS.to_dict(), "line_off": 4000.5 - 37, "samp_off": 5000.25 - 61}


@pytest.mark.parametrize("driver", ["gtiff", "cog"])
@pytest.mark.parametrize("point", ["Area", "Point", None])
def test_gcps_of_pan_move_with_the_crop(tmp_path: Path, driver: Driver, point: str | None) -> None:
    pan = of_pan(gcps=GCPS, gcps_crs=WGS84, area_or_point=point)
    found = write_and_read(tmp_path / "out.tif", driver, combine(of_ms(), pan, CROP), Affine.identity())
    assert positions(found.gcps) == [(gcp.row - 37, gcp.col - 61, gcp.x, gcp.y, gcp.z) for gcp in GCPS]
    assert found.gcps_crs == WGS84


def test_a_geotransform_goes_before_gcps(tmp_path: Path) -> None:
    found = write_and_read(tmp_path / "out.tif", "gtiff", combine(of_ms(), of_pan(gcps=GCPS, gcps_crs=WGS84), CROP))
    assert found.gcps == ()
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.transform == PAN_TRANSFORM


@pytest.mark.parametrize("driver", ["gtiff", "cog"])
def test_point_does_not_move_the_image(tmp_path: Path, driver: Driver) -> None:
    write_and_read(tmp_path / "out.tif", driver, of_ms(area_or_point="Point"))
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.transform == PAN_TRANSFORM


@pytest.mark.parametrize("driver", ["gtiff", "cog"])
def test_nbits_survives_writing(tmp_path: Path, driver: Driver) -> None:
    assert write_and_read(tmp_path / "out.tif", driver, of_ms(), nbits=11).nbits == 11


@pytest.mark.parametrize("driver", ["gtiff", "cog"])
def test_a_fourth_band_of_8_bits_is_not_taken_for_alpha(tmp_path: Path, driver: Driver) -> None:
    rgb_and_more = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined)
    found = write_and_read(tmp_path / "out.tif", driver, of_ms(colors=rgb_and_more), dtype="uint8")
    assert found.colors == rgb_and_more
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert ColorInterp.alpha not in dataset.colorinterp


def test_what_speaks_of_the_ms_grid_is_dropped() -> None:
    resolution = {"TIFFTAG_XRESOLUTION": "1", "TIFFTAG_YRESOLUTION": "1", "TIFFTAG_RESOLUTIONUNIT": "2"}
    ms = of_ms(rpcs=RPCS, gcps=GCPS, gcps_crs=WGS84, area_or_point="Point", dataset_tags={"": resolution | {"A": "b"}})
    combined = combine(ms, of_pan(area_or_point="Area"), (0, 0))
    assert (combined.rpcs, combined.gcps, combined.gcps_crs, combined.area_or_point) == (None, (), None, "Area")
    assert combined.dataset_tags[""] == {"A": "b"}


def test_pan_speaks_of_the_acquisition_where_ms_is_silent() -> None:
    assert combine(of_ms(), of_pan(), (0, 0)).dataset_tags["IMAGERY"]["SATELLITEID"] == "WV03"
    silent = combine(of_ms(dataset_tags={}), of_pan(), (0, 0))
    assert silent.dataset_tags == {"IMAGERY": {"SATELLITEID": "PAN's view"}}


def make_input(path: Path, **profile: Any) -> Any:
    shape: dict[str, Any] = {"width": 8, "height": 8, "count": 3, "dtype": "uint8"}
    return rasterio.open(path, "w", driver="GTiff", crs=UTM, transform=PAN_TRANSFORM, **(shape | profile))


def test_statistics_and_provenance_of_an_input_are_not_read(tmp_path: Path) -> None:
    with make_input(tmp_path / "in.tif") as dataset:
        dataset.update_tags(STATISTICS_MEAN="3", NODATA_VALUES="0 0 0", TIFFTAG_SOFTWARE="other", KEPT="yes")
        dataset.update_tags(2, STATISTICS_MAXIMUM="9", STATISTICS_VALID_PERCENT="100", KEPT="too")
        dataset.update_tags(ns="CLIPPAN", METHOD="of the input")
    found = read_back(tmp_path / "in.tif")
    assert found.dataset_tags == {"": {"KEPT": "yes"}}
    assert found.band_tags == ({}, {"": {"KEPT": "too"}}, {})


def test_bands_are_read_in_the_order_asked_for(tmp_path: Path) -> None:
    with make_input(tmp_path / "in.tif") as dataset:
        dataset.descriptions = ("one", "two", "three")
    with rasterio.open(tmp_path / "in.tif") as dataset:
        assert read_metadata(dataset, [3, 1]).descriptions == ("three", "one")


def test_alpha_is_an_image_band_where_it_is_listed_as_one(tmp_path: Path) -> None:
    with make_input(tmp_path / "in.tif", count=4, photometric="RGB", alpha="YES"):
        pass
    with rasterio.open(tmp_path / "in.tif") as dataset:
        assert dataset.colorinterp[3] == ColorInterp.alpha
        assert read_metadata(dataset, [1, 4]).colors == (ColorInterp.red, ColorInterp.undefined)


@pytest.mark.parametrize(("value", "expected"), [(0, "0.0"), (float("nan"), "nan"), (None, "None")])
def test_nodata_is_read_even_when_it_is_nan(tmp_path: Path, value: float | None, expected: str) -> None:
    with make_input(tmp_path / "in.tif", dtype="float32", nodata=value):
        pass
    assert repr(read_back(tmp_path / "in.tif").nodata) == expected


def test_metadata_of_another_number_of_bands_is_refused(tmp_path: Path) -> None:
    with make_input(tmp_path / "in.tif") as dataset, pytest.raises(ValueError):
        write_metadata(dataset, of_ms())
