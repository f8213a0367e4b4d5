"""Does the output say everything that the inputs said, field by field, and how it was made?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

import clippan_cli
from clippan_cli.rasters.options import PairOptions
from clippan_cli.scene.synthetic import DemoScene
from clippan_cli.writing.options import Driver, OutputOptions
from clippan_models.errors import UsageError
from tests.conftest import PAN_PIXEL, Bench, Grid, Output

PAN_GRID = Grid(PAN_PIXEL, 128, 128)
MS_GRID = Grid(PAN_PIXEL @ Affine.scale(4), 32, 32)

NAMES = ("Blue", "Grün", "Red", "NIR 1")
COLORS = (ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined)
SCALES, OFFSETS = (1e-4, 2e-4, 1.0, 0.01), (-0.1, 0.0, 0.5, 2.0)
UNITS = ("W m-2 sr-1 µm-1", "reflectance", "reflectance", "K")
RPCS = RPC(
    height_off=10.0,
    height_scale=500.0,
    lat_off=36.1,
    lat_scale=0.1,
    long_off=3.0,
    long_scale=0.1,
    line_off=64.5,
    line_scale=64.0,
    samp_off=60.25,
    samp_scale=64.0,
    line_num_coeff=[float(n) for n in range(20)],
    line_den_coeff=[1.0] + [0.0] * 19,
    samp_num_coeff=[float(-n) for n in range(20)],
    samp_den_coeff=[1.0] + [1e-9] * 19,
    err_bias=1.5,
    err_rand=0.25,
)


@dataclass(frozen=True)
class Facts:
    """What rasterio tells of a file beside its pixels."""

    descriptions: tuple[str | None, ...]
    colors: tuple[ColorInterp, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    units: tuple[str | None, ...]
    band_tags: tuple[dict[str, str], ...]
    gains: tuple[dict[str, str], ...]
    tags: dict[str, str]
    imagery: dict[str, str]
    order: dict[str, str]
    rpcs: RPC | None
    nbits: str | None

    @classmethod
    def of(cls, output: Output) -> Facts:
        with rasterio.open(output.path) as file:
            return cls(
                descriptions=file.descriptions,
                colors=file.colorinterp,
                scales=file.scales,
                offsets=file.offsets,
                units=file.units,
                band_tags=tuple(file.tags(band) for band in file.indexes),
                gains=tuple(file.tags(band, ns="CALIBRATION") for band in file.indexes),
                tags=file.tags(),
                imagery=file.tags(ns="IMAGERY"),
                order=file.tags(ns="ORDER"),
                rpcs=file.rpcs,
                nbits=file.tags(1, ns="IMAGE_STRUCTURE").get("NBITS"),
            )


def describe_ms(path: str, first: int = 0) -> None:
    """Say all there is to say of the bands of a file, which begin at band `first` of the scene."""
    with rasterio.open(path, "r+") as file:
        these = slice(first, first + file.count)
        file.colorinterp = COLORS[these]
        file.descriptions, file.units = NAMES[these], UNITS[these]
        file.scales, file.offsets = SCALES[these], OFFSETS[these]
        for band in file.indexes:
            file.update_tags(band, WAVELENGTH=str(450 + 100 * (first + band)))
            file.update_tags(band, ns="CALIBRATION", GAIN=str(first + band))
        file.update_tags(PRODUCT="L2A", TIFFTAG_IMAGEDESCRIPTION="a scene <&> 'more'")
        file.update_tags(ns="IMAGERY", SATELLITEID="WV03", CLOUDCOVER="3")
        file.update_tags(ns="ORDER", ID="42")


def describe_pan(path: str) -> None:
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("Pan",)
        file.scales = (7.0,)
        file.rpcs = RPCS
        file.update_tags(AREA_OR_POINT="Point", PRODUCT="L1")
        file.update_tags(TIFFTAG_XRESOLUTION="508", TIFFTAG_YRESOLUTION="508", TIFFTAG_RESOLUTIONUNIT="2")


@pytest.fixture
def told(bench: Bench, town: DemoScene) -> tuple[str, str]:
    """A pair that says all there is to say."""
    values = np.minimum(np.rint(town.ms), 4095).astype("uint16")
    ms = bench.write("ms.tif", values, MS_GRID, nbits=12, photometric="minisblack")
    pan = bench.write("pan.tif", np.rint(town.pan).astype("uint16"), PAN_GRID)
    describe_ms(ms)
    describe_pan(pan)
    return ms, pan


def expected(order: tuple[int, ...] = (0, 1, 2, 3)) -> dict[str, Any]:
    """What the output must say of its bands."""
    return {
        "descriptions": tuple(NAMES[b] for b in order),
        "colors": tuple(COLORS[b] for b in order),
        "scales": tuple(SCALES[b] for b in order),
        "offsets": tuple(OFFSETS[b] for b in order),
        "units": tuple(UNITS[b] for b in order),
        "band_tags": tuple({"WAVELENGTH": str(550 + 100 * b)} for b in order),
        "gains": tuple({"GAIN": str(b + 1)} for b in order),
        "imagery": {"SATELLITEID": "WV03", "CLOUDCOVER": "3"},
        "order": {"ID": "42"},
        "nbits": "12",
    }


def check(facts: Facts, said: dict[str, Any]) -> None:
    for name, value in said.items():
        assert getattr(facts, name) == value, name
    assert facts.tags["PRODUCT"] == "L2A"
    assert facts.tags["TIFFTAG_IMAGEDESCRIPTION"] == "a scene <&> 'more'"


@pytest.mark.parametrize("driver", ["gtiff", "cog"])
def test_everything_is_carried_over(bench: Bench, told: tuple[str, str], driver: Driver) -> None:
    output = bench.sharpen(*told, encoding=OutputOptions(driver=driver))
    facts = Facts.of(output)
    check(facts, expected())
    assert facts.tags["AREA_OR_POINT"] == "Point"
    assert float(facts.tags["TIFFTAG_XRESOLUTION"]) == 508
    assert facts.rpcs is not None and facts.rpcs.to_dict() == RPCS.to_dict()
    with rasterio.open(told[1]) as pan:
        assert output.grid.transform == pan.transform


def test_the_bands_asked_for_come_in_the_order_asked_for(bench: Bench, told: tuple[str, str]) -> None:
    whole, some = bench.sharpen(*told), bench.sharpen(*told, bands=(4, 1))
    np.testing.assert_array_equal(some.pixels, whole.pixels[[3, 0]])
    check(Facts.of(some), expected((3, 0)))
    with pytest.raises(UsageError, match="bands 1 to 4"):
        bench.sharpen(*told, bands=(5,))


def test_the_rpcs_of_a_part_are_those_of_the_whole_moved(bench: Bench, told: tuple[str, str]) -> None:
    box = (500_000 + 10, 4_000_000 - 40, 500_000 + 30, 4_000_000 - 5)
    facts = Facts.of(bench.sharpen(*told, bbox=box))
    assert facts.rpcs is not None
    assert (facts.rpcs.line_off, facts.rpcs.samp_off) == (RPCS.line_off - 10, RPCS.samp_off - 20)
    unmoved = {"line_off": RPCS.line_off, "samp_off": RPCS.samp_off}
    assert facts.rpcs.to_dict() | unmoved == RPCS.to_dict()


def test_a_warped_image_loses_nothing(bench: Bench, told: tuple[str, str]) -> None:
    ms, pan = told
    with rasterio.open(ms, "r+") as file:
        file.transform = MS_GRID.transform @ Affine.rotation(3)
    check(Facts.of(bench.sharpen(ms, pan)), expected())


def test_bands_in_files_of_their_own_make_the_same_image(bench: Bench, told: tuple[str, str]) -> None:
    ms, pan = told
    with rasterio.open(ms) as file:
        values = file.read()
    names = []
    for band in range(4):
        one = values[band : band + 1]
        names.append(bench.write(f"B{band}.tif", one, MS_GRID, nbits=12, photometric="minisblack"))
        describe_ms(names[-1], band)
        with rasterio.open(names[-1], "r+") as file:
            file.update_tags(FILTER=f"F{band}")
    together, apart = bench.sharpen(ms, pan), bench.sharpen(names, pan)
    np.testing.assert_array_equal(apart.pixels, together.pixels)
    facts = Facts.of(apart)
    said = expected()
    said["colors"] = (*COLORS[:3], ColorInterp.gray)  # a GeoTIFF of one band cannot leave its colour open
    said["band_tags"] = tuple(tags | {"FILTER": f"F{b}"} for b, tags in enumerate(said["band_tags"]))
    check(facts, said)
    assert "FILTER" not in facts.tags
    some = bench.sharpen(names, pan, bands=(3, 1))
    np.testing.assert_array_equal(some.pixels, together.pixels[[2, 0]])


def test_gray_bands_in_files_of_their_own_are_no_obstacle(bench: Bench, town: DemoScene) -> None:
    _, pan = bench.write_demo(town)
    values = np.rint(town.ms).astype("uint16")
    names = [bench.write(f"B{b}.tif", values[b : b + 1], MS_GRID) for b in range(4)]
    assert bench.sharpen(names, pan).valid.all()


def test_ground_control_points_stay_on_their_pixels(bench: Bench, town: DemoScene) -> None:
    """Files without a geotransform, which ground control points place."""
    points = [GroundControlPoint(r, c, 3 + c / 1e4, 36 - r / 1e4, 5.0) for r in (0, 64, 128) for c in (0, 50.5, 128)]
    ms = bench.write("ms.tif", np.rint(town.ms).astype("uint16"))
    pan = bench.write("pan.tif", np.rint(town.pan).astype("uint16"), gcps=points, crs="EPSG:4326")
    output = bench.sharpen(ms, pan, pair=PairOptions(assume_aligned=True))
    with rasterio.open(output.path) as file:
        found, crs = file.gcps
    assert crs == "EPSG:4326"
    assert [(g.row, g.col, g.x, g.y, g.z) for g in found] == [(g.row, g.col, g.x, g.y, g.z) for g in points]


def test_the_file_tells_how_it_was_made(bench: Bench, told: tuple[str, str]) -> None:
    tags = bench.sharpen(*told, method="network", steps=1).tags
    assert tags["METHOD"] == "network"
    assert tags["VERSION"] == clippan_cli.__version__
    assert (tags["STEPS"], tags["SEED"]) == ("1", "0")
    assert json.loads(tags["MS"]) == ["ms.tif"] and tags["PAN"] == "pan.tif"
    assert tags["MS_SIZE"] == "32x32x4" and tags["PAN_SIZE"] == "128x128"
    assert len(json.loads(tags["MTF_GAINS"])) == 4
    assert json.loads(tags["SHIFTS_PAN_PX_DOWN_RIGHT"]) == [[0.0, 0.0]] * 4


def test_the_making_of_an_input_is_not_that_of_the_output(bench: Bench, told: tuple[str, str]) -> None:
    """A fused image sharpened again, as a user who chains runs does."""
    ms, pan = told
    with rasterio.open(ms, "r+") as file:
        file.update_tags(ns="CLIPPAN", METHOD="sr-d", LEFT="over")
    tags = bench.sharpen(ms, pan).tags
    assert tags["METHOD"] == "exp" and "LEFT" not in tags
