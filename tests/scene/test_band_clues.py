"""Which bands of a camera are those of a file?"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from clippan_cli.running.control import Control
from clippan_cli.scene.band_roles import band_roles
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.scene import open_scene
from clippan_models.errors import UsageError


def image(path: Path, bands: int, pixel: float, side: int, descriptions: tuple[str, ...] = (), **profile: str) -> str:
    grid = {"width": side, "height": side, "count": bands, "dtype": "uint16", "crs": "EPSG:32631", **profile}
    with rasterio.open(path, "w", driver="GTiff", transform=Affine(pixel, 0, 5e5, 0, -pixel, 5e6), **grid) as file:
        file.write(np.ones((bands, side, side), np.uint16))
        for number, text in enumerate(descriptions, start=1):
            file.set_band_description(number, text)
    return str(path)


def sensor_of(folder: Path, ms: tuple[str, ...], **options: object) -> tuple[str, list[str], str]:
    pan = image(folder / "pan.tif", 1, 2.0, 64)
    with ExitStack() as stack:
        scene = open_scene(SceneFiles(ms, pan), ReadOptions(**options), Control(), stack)  # type: ignore[arg-type]
        return scene.sensor.key, [band.name for band in scene.sensor.bands], scene.sensor_reason


def test_the_four_bands_of_a_bundle_are_known_by_its_name(tmp_path: Path) -> None:
    key, bands, reason = sensor_of(tmp_path, (image(tmp_path / "WV03_ms.tif", 4, 8.0, 16),))
    assert (key, bands) == ("worldview-3", ["blue", "green", "red", "nir1"])
    assert reason == "4 bands and file name WV03: worldview-3 (blue, green, red, nir1)"


def test_descriptions_tell_the_order(tmp_path: Path) -> None:
    ms = image(tmp_path / "ms.tif", 3, 8.0, 16, ("NIR2", "Red Edge", "Coastal Blue"))
    assert sensor_of(tmp_path, (ms,), sensor="worldview-2")[1] == ["nir2", "rededge", "coastal"]


def test_an_imd_file_tells_the_order(tmp_path: Path) -> None:
    ms = image(tmp_path / "ms.tif", 4, 8.0, 16)
    groups = "".join(f"BEGIN_GROUP = BAND_{b}\n\tULLon = 1.0;\nEND_GROUP = BAND_{b}\n" for b in ("N", "R", "G", "B"))
    (tmp_path / "ms.IMD").write_text(
        f'version = "R";\n{groups}BEGIN_GROUP = IMAGE_1\n\tsatId = "WV03";\nEND_GROUP = IMAGE_1\nEND;\n'
    )
    assert sensor_of(tmp_path, (ms,))[:2] == ("worldview-3", ["nir1", "red", "green", "blue"])


def test_files_of_single_bands_tell_by_their_names(tmp_path: Path) -> None:
    names = tuple(image(tmp_path / f"LC08_L1TP_B{n}.TIF", 1, 4.0, 32) for n in (5, 4, 3))
    assert sensor_of(tmp_path, names)[:2] == ("landsat-8", ["nir", "red", "green"])


NEO = {"RGB": ["red", "green", "blue"], "NED": ["nir", "rededge", "deepblue"]}


def neo(folder: Path, *orders: str, name: str = "IMG_PNEO3_MS-FS_ORT_{}_R1C1.TIF") -> tuple[str, ...]:
    """Files of three bands that all say that these are red, green and blue."""
    return tuple(image(folder / name.format(order), 3, 8.0, 16, photometric="RGB") for order in orders)


@pytest.mark.parametrize("orders", [("RGB", "NED"), ("NED", "RGB"), ("NED",), ("RGB",)])
def test_files_of_several_bands_follow_each_other(orders: tuple[str, ...], tmp_path: Path) -> None:
    key, bands, _ = sensor_of(tmp_path, neo(tmp_path, *orders))
    assert (key, bands) == ("pleiades-neo", [band for order in orders for band in NEO[order]])


def test_where_no_name_tells_the_order_is_the_usual_one(tmp_path: Path) -> None:
    names = neo(tmp_path, "first", "second", name="PNEO4_{}.tif")
    assert sensor_of(tmp_path, names)[:2] == ("pleiades-neo", NEO["RGB"] + NEO["NED"])


def test_an_imd_beside_each_file_tells_its_bands(tmp_path: Path) -> None:
    names = []
    for file, groups in (("one", "GR"), ("two", "BN")):
        names.append(image(tmp_path / f"{file}.tif", 2, 8.0, 16))
        text = "".join(f"BEGIN_GROUP = BAND_{b}\n\tULLon = 1.0;\nEND_GROUP = BAND_{b}\n" for b in groups)
        (tmp_path / f"{file}.IMD").write_text(f'version = "R";\n{text}END;\n')
    assert sensor_of(tmp_path, tuple(names), sensor="worldview-2")[1] == ["green", "red", "blue", "nir1"]


def test_the_roles_follow_the_names_of_the_bands(tmp_path: Path) -> None:
    pan = image(tmp_path / "pan.tif", 1, 2.0, 64)
    with ExitStack() as stack:
        scene = open_scene(SceneFiles(neo(tmp_path, "NED", "RGB"), pan), ReadOptions(), Control(), stack)
        assert band_roles(scene.pair.ms, scene.sensor).rgb == (3, 4, 5)


@pytest.mark.parametrize("sensor", ["auto", "worldview-2"])
def test_the_user_has_the_last_word(sensor: str, tmp_path: Path) -> None:
    ms = image(tmp_path / "WV2_ms.tif", 3, 8.0, 16, ("red", "green", "blue"))
    told = sensor_of(tmp_path, (ms,), sensor=sensor, sensor_bands=("nir2", "nir1", "red"))
    assert told[:2] == ("worldview-2", ["nir2", "nir1", "red"])
    with pytest.raises(UsageError, match=r"names 2 bands, but .*WV2_ms\.tif has 3"):
        sensor_of(tmp_path, (ms,), sensor=sensor, sensor_bands=("nir2", "nir1"))


def test_names_of_bands_need_a_sensor(tmp_path: Path) -> None:
    ms = image(tmp_path / "ms.tif", 2, 8.0, 16)
    with pytest.raises(UsageError, match="of which sensor"):
        sensor_of(tmp_path, (ms,), sensor_bands=("blue", "green"))
