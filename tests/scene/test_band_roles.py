"""Are the right bands shown as red, green and blue, and is near infrared known where it should be?"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from clippan_cli.rasters.options import Trust
from clippan_cli.rasters.source import open_source
from clippan_cli.scene.band_roles import BandRoles, band_roles
from clippan_models.sensors import load_sensor

RED, GREEN, BLUE, OTHER = ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined


def roles_of(folder: Path, bands: int, sensor: str, colours: tuple[ColorInterp, ...] = ()) -> BandRoles:
    path = folder / "image.tif"
    grid = {"width": 4, "height": 4, "count": bands, "dtype": "uint16", "transform": Affine.scale(2, -2)}
    with rasterio.open(path, "w", driver="GTiff", **grid) as image:
        image.write(np.ones((bands, 4, 4), np.uint16))
        if colours:
            image.colorinterp = colours
    with ExitStack() as stack:
        return band_roles(open_source([str(path)], "MS", Trust(), stack), load_sensor(sensor))


@pytest.mark.parametrize(
    ("sensor", "expected"),
    [
        ("worldview-2", BandRoles(4, 2, 1, 6)),
        ("pleiades", BandRoles(0, 1, 2, 3)),  # red comes first
        ("pleiades-neo", BandRoles(0, 1, 2, 3)),
        ("landsat-8", BandRoles(3, 2, 1, 4)),
    ],
)
def test_a_sensor_tells_by_its_wavelengths(sensor: str, expected: BandRoles, tmp_path: Path) -> None:
    assert roles_of(tmp_path, len(load_sensor(sensor).bands), sensor) == expected


@pytest.mark.parametrize(
    ("bands", "expected"),
    [
        (1, BandRoles(0, 0, 0, None)),
        (3, BandRoles(0, 1, 2, None)),
        (4, BandRoles(2, 1, 0, 3)),
        (5, BandRoles(2, 1, 0, None)),
        (8, BandRoles(4, 2, 1, 6)),
    ],
)
def test_an_unknown_sensor_is_read_in_the_customary_order(bands: int, expected: BandRoles, tmp_path: Path) -> None:
    assert roles_of(tmp_path, bands, "generic") == expected


def test_what_the_file_says_of_its_bands_counts_most(tmp_path: Path) -> None:
    assert roles_of(tmp_path, 4, "quickbird", (RED, GREEN, BLUE, OTHER)) == BandRoles(0, 1, 2, 3)
    assert roles_of(tmp_path, 4, "generic", (OTHER, BLUE, GREEN, RED)) == BandRoles(3, 2, 1, None)
    assert roles_of(tmp_path, 4, "generic", (RED, GREEN, OTHER, OTHER)) == BandRoles(2, 1, 0, 3)


def test_false_colours_show_vegetation_in_red() -> None:
    assert BandRoles(2, 1, 0, 3).false_colour == (3, 2, 1)
    assert BandRoles(2, 1, 0, None).false_colour is None
