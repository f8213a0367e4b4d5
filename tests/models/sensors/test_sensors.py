"""Sensors: the data files, the loader and the guess."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import pytest
from msgspec.structs import replace

from clippan_models.errors import UsageError
from clippan_models.sensors import Band, BandClue, Sensor, as_in_image, guess_sensor, known_sensors, load_sensor

REQUIRED = (
    "quickbird ikonos geoeye-1 worldview-2 worldview-3 worldview-4 pleiades pleiades-neo spot-6 spot-7 gaofen-1 "
    "gaofen-2 landsat-7 landsat-8 landsat-9 superview-1 kompsat-3 skysat worldview-legion generic"
).split()

BAND = """
[[bands]]
name = "green"
wavelength_nm = [520, 600]
gain = 0.31
"""
HEAD = """
name = "Our camera"
bits = 12
ratio = 4
pan_gain = 0.15
"""


@pytest.fixture(params=known_sensors())
def sensor(request: pytest.FixtureRequest) -> Sensor:
    return load_sensor(request.param)


@pytest.fixture(params=[name for name in known_sensors() if name != "generic"])
def camera(request: pytest.FixtureRequest) -> Sensor:
    return load_sensor(request.param)


# --- the data files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REQUIRED)
def test_is_built_in(name: str) -> None:
    assert name in known_sensors()


def test_names_are_sorted() -> None:
    assert list(known_sensors()) == sorted(known_sensors())


def test_key_is_what_the_user_types(sensor: Sensor) -> None:
    assert load_sensor(sensor.key) is sensor
    assert sensor.key == sensor.key.lower()
    assert sensor.name and sensor.source != "not stated"


def test_camera_is_described_in_full(camera: Sensor) -> None:
    assert camera.bands and camera.aliases


def test_gains_are_those_of_optics(sensor: Sensor) -> None:
    # the tables of the field lie in this range; outside, somebody mistyped
    assert all(0.2 <= gain <= 0.4 for gain in sensor.ms_gains(len(sensor.bands) or 1))
    assert 0.1 <= sensor.pan_gain <= 0.2


def test_band_names_are_plain_words(camera: Sensor) -> None:
    assert all(band.name.isalnum() and band.name.islower() for band in camera.bands)


def test_wavelengths_ascend_and_suit_the_name(camera: Sensor) -> None:
    middle = {band.name: sum(band.wavelength_nm) / 2 for band in camera.bands}
    assert all(band.wavelength_nm[0] < band.wavelength_nm[1] for band in camera.bands)
    order = "deepblue coastal blue green yellow red rededge rededge1 rededge2 nir nir1 nir2 swir1 swir2".split()
    assert set(middle) <= set(order)
    ascending = [middle[name] for name in order if name in middle]
    assert ascending == sorted(ascending)


def test_no_alias_serves_two_sensors() -> None:
    sensors = [load_sensor(name) for name in known_sensors()]
    for one, other in combinations(sensors, 2):
        assert not {a.lower() for a in one.aliases} & {a.lower() for a in other.aliases}, (one.key, other.key)


@pytest.mark.parametrize(
    ("name", "ms", "pan"),
    [
        ("quickbird", (0.34, 0.32, 0.30, 0.22), 0.15),
        ("ikonos", (0.26, 0.28, 0.29, 0.28), 0.17),
        ("geoeye-1", (0.23,) * 4, 0.16),
        ("worldview-2", (0.35,) * 7 + (0.27,), 0.11),
        ("worldview-3", (0.325, 0.355, 0.360, 0.350, 0.365, 0.360, 0.335, 0.315), 0.14),
        ("worldview-4", (0.23,) * 4, 0.16),
        ("spot-7", (0.33,) * 4, 0.17),
        ("gaofen-2", (0.30,) * 4, 0.15),
    ],
)
def test_published_gains(name: str, ms: tuple[float, ...], pan: float) -> None:
    assert load_sensor(name).ms_gains(len(ms)) == ms
    assert load_sensor(name).pan_gain == pan


def test_pleiades_gains_follow_the_order_of_its_files() -> None:
    sensor = load_sensor("pleiades")
    assert [band.name for band in sensor.bands] == ["red", "green", "blue", "nir"]
    assert sensor.ms_gains(4) == (0.29, 0.285, 0.285, 0.285)  # the tables are sorted blue, green, red, nir
    assert sensor.pan_gain == 0.155


def test_sensors_need_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from clippan_models.sensors import load_sensor; load_sensor('generic');"
        "sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- gains of an image ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [1, 3, 12])
def test_generic_takes_any_number_of_bands(bands: int) -> None:
    generic = load_sensor("generic")
    assert generic.ms_gains(bands) == (0.30,) * bands
    assert generic.pan_gain == 0.15


@pytest.mark.parametrize("bands", [3, 5])
def test_band_counts_that_disagree(bands: int) -> None:
    with pytest.raises(UsageError, match=f"quickbird has 4 bands, the image {bands}: .*use the sensor generic"):
        load_sensor("quickbird").ms_gains(bands)


# --- loading --------------------------------------------------------------------------------------------------------


def test_name_is_read_in_any_case() -> None:
    assert load_sensor(" WorldView-2 ").key == "worldview-2"


@pytest.mark.parametrize(
    ("typed", "meant"), [("worldview2", "worldview-2"), ("WV2", "worldview-2"), ("gf-2", "gaofen-2")]
)
def test_unknown_name_gets_the_nearest_and_all(typed: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean {meant}\\?") as caught:
        load_sensor(typed)
    assert all(name in str(caught.value) for name in known_sensors())


@pytest.mark.parametrize("typed", ["", "zzzzzzzz"])
def test_name_like_no_other_gets_no_hint(typed: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_sensor(typed)
    assert "did you mean" not in str(caught.value)


def test_own_sensor_file(tmp_path: Path) -> None:
    path = tmp_path / "our camera.toml"
    path.write_text('aliases = ["OUR1"]\nsource = "measured"\n' + HEAD + BAND + BAND.replace("green", "grün"), "utf-8")
    sensor = load_sensor(str(path))
    assert (sensor.key, sensor.name, sensor.bits, sensor.ratio) == ("our camera", "Our camera", 12, 4)
    assert sensor.bands[0] == Band("green", (520, 600), 0.31)
    assert sensor.ms_gains(2) == (0.31, 0.31)
    assert sensor.source == "measured"


def test_file_may_state_more_of_the_camera_as_earlier_versions_asked(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text("gsd_pan_m = 0.5\ngsd_ms_m = 2\npan_wavelength_nm = [450, 800]\n" + HEAD + BAND + "in_pan = true\n")
    assert load_sensor(str(path)).ms_gains(1) == (0.31,)


def test_own_sensor_file_for_any_number_of_bands(tmp_path: Path) -> None:
    path = tmp_path / "drone.toml"
    path.write_text(HEAD + "default_gain = 0.25")
    assert load_sensor(str(path)).ms_gains(5) == (0.25,) * 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = ?\n", ["not valid TOML", "line 1"]),
        (HEAD + 'colour = "red"' + BAND, ["unknown field `colour`"]),
        (HEAD.replace("pan_gain", "pan_gian") + BAND, ["`pan_gian`", "did you mean `pan_gain`?"]),
        (HEAD.replace("bits = 12", "") + BAND, ["missing required field `bits`"]),
        (HEAD.replace("12", '"12"') + BAND, ["`int`, got `str` - at `bits`"]),
        (HEAD.replace("12", "11.5") + BAND, ["`int`, got `float` - at `bits`"]),
        (HEAD.replace("12", "true") + BAND, ["`int`, got `bool` - at `bits`"]),
        (HEAD.replace("12", "7") + BAND, ["bits = 7", "8 .. 16"]),
        (HEAD.replace("12", "32") + BAND, ["bits = 32", "8 .. 16"]),
        (HEAD.replace("ratio = 4", "ratio = 1") + BAND, ["ratio = 1", "above 1"]),
        (HEAD.replace("ratio = 4", "ratio = inf") + BAND, ["ratio = inf", "finite number"]),
        (HEAD.replace("ratio = 4", "ratio = true") + BAND, ["`float`, got `bool` - at `ratio`"]),
        (HEAD.replace("ratio = 4", f"ratio = 1{'0' * 400}") + BAND, ["ratio", "out of range"]),
        (HEAD.replace("0.15", "nan") + BAND, ["pan_gain = nan", "between 0 and 1"]),
        (HEAD.replace("0.15", "1.0") + BAND, ["pan_gain = 1 ", "between 0 and 1"]),
        (HEAD.replace('"Our camera"', "3") + BAND, ["`str`, got `int` - at `name`"]),
        (HEAD.replace('"Our camera"', '" "') + BAND, ["name is empty"]),
        (HEAD, ["bands is missing"]),
        (HEAD + "default_gain = 0.3" + BAND, ["bands and default_gain"]),
        (HEAD + "default_gain = 0.0", ["default_gain = 0 "]),
        (HEAD + BAND + BAND, ["bands", "'green'", "more than once"]),
        (HEAD + "bands = 3", ["`array`, got `int` - at `bands`"]),
        (HEAD + "bands = [3]", ["got `int` - at `bands[0]`"]),
        (HEAD + BAND + BAND.replace("green", "red").replace("0.31", "0"), ["band red: gain = 0 "]),
        (HEAD + BAND.replace("0.31", "nan"), ["band green: gain = nan", "between 0 and 1"]),
        (HEAD + BAND.replace("gain", "gian"), ["unknown field `gian` - at `bands[0]`", "did you mean `gain`?"]),
        (HEAD + BAND.replace("gain = 0.31", ""), ["missing required field `gain` - at `bands[0]`"]),
        (HEAD + BAND.replace("0.31", "true"), ["got `bool` - at `bands[0].gain`"]),
        (HEAD + BAND.replace('"green"', '""'), ["bands", "name is empty"]),
        (HEAD + BAND.replace("520, 600", "600, 520"), ["green: wavelength_nm = [600, 520]", "ascending"]),
        (HEAD + BAND.replace("520, 600", "520"), ["length 2", "bands[0].wavelength_nm"]),
        (HEAD + BAND.replace("520, 600", "520, nan"), ["green: wavelength_nm", "finite numbers"]),
        (HEAD + 'aliases = "OUR1"' + BAND, ["`array`, got `str` - at `aliases`"]),
        (HEAD + "aliases = [1]" + BAND, ["`str`, got `int` - at `aliases[0]`"]),
        (HEAD + 'aliases = ["-x"]' + BAND, ["aliases", "'-x'", "too short"]),
    ],
)
def test_faulty_file_is_named_with_the_key(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_sensor(str(path))
    for word in [str(path), *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"name = \x00"])
def test_file_that_is_no_text(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ours.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"not valid TOML|not text in UTF-8"):
        load_sensor(str(path))


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    for path in (str(tmp_path / "missing.toml"), str(folder), "nul\0.toml"):
        with pytest.raises(UsageError, match="cannot be read as a sensor file"):
            load_sensor(path)


def test_sensor_made_in_code_is_checked_too() -> None:
    with pytest.raises(UsageError, match="pan_gain"):
        replace(load_sensor("generic"), pan_gain=float("nan"))


# --- guessing -------------------------------------------------------------------------------------------------------


def guess(
    metadata: Mapping[str, str] | None = None,
    bands: int = 4,
    ratio: float = 4.0,
    descriptions: Sequence[str | None] = (),
    filenames: Sequence[str] = (),
) -> tuple[str, str]:
    clues = [BandClue()] * bands
    found = guess_sensor(metadata or {}, clues, ratio, descriptions, filenames)
    return found.sensor.key, found.reason


def test_every_alias_leads_home(camera: Sensor) -> None:
    for alias in (alias.replace("#", "3") for alias in camera.aliases):
        for written in (alias, alias.lower(), f'"{alias}"', f"{alias} PMS"):
            assert guess({"SATELLITEID": written}, len(camera.bands), camera.ratio)[0] == camera.key, written


@pytest.mark.parametrize(
    ("metadata", "bands", "ratio", "expected"),
    [
        ({"IMAGERY.SATELLITEID": "WV02", "IMAGERY.CLOUDCOVER": "0"}, 8, 4.0, "worldview-2"),
        ({"IMD.IMAGE_1.satId": '"WV03"'}, 8, 3.98, "worldview-3"),
        ({"SATELLITEID": "WV03_VNIR"}, 8, 4.0, "worldview-3"),
        ({"IMD.IMAGE_1.satId": '"QB02"'}, 4, 4.0, "quickbird"),
        ({"IMD.Source Image Metadata.Sensor": "GeoEye-1"}, 4, 4.0, "geoeye-1"),
        ({"IMD.Source Image Metadata.Sensor": "IKONOS-2"}, 4, 4.0, "ikonos"),
        ({"SATELLITEID": "PHR 1A"}, 4, 4.0, "pleiades"),
        ({"MISSION": "PHR", "MISSION_INDEX": "1B", "INSTRUMENT": "PHR"}, 4, 4.0, "pleiades"),
        ({"MISSION": "PNEO", "MISSION_INDEX": "3"}, 6, 4.0, "pleiades-neo"),
        ({"PLATFORM": "Pléiades Neo 4"}, 6, 4.0, "pleiades-neo"),
        ({"PLATFORM": "Pléiades"}, 4, 4.0, "pleiades"),
        (
            {
                "IMD.Dataset_Sources.Source_Identification.Strip_Source.MISSION": "SPOT",
                "IMD.Dataset_Sources.Source_Identification.Strip_Source.MISSION_INDEX": "6",
            },
            4,
            4.0,
            "spot-6",
        ),
        ({"SATELLITEID": "SPOT 7"}, 4, 4.0, "spot-7"),
        ({"L1_METADATA_FILE.PRODUCT_METADATA.SPACECRAFT_ID": '"LANDSAT_8"'}, 7, 2.0, "landsat-8"),
        ({"LANDSAT_PRODUCT_ID": "LC09_L1TP_044034_20220801_20220801_02_T1"}, 7, 2.0, "landsat-9"),
        ({"AUX_SATELLITE_NAME": "KOMPSAT-3A"}, 4, 4.0, "kompsat-3"),
        ({"ProductMetaData.SatelliteID": "GF2", "ProductMetaData.SensorID": "PMS1"}, 4, 4.0, "gaofen-2"),
        ({"ProductMetaData.SatelliteID": "SV1-02"}, 4, 4.0, "superview-1"),
        ({"TIFFTAG_IMAGEDESCRIPTION": "Ortho of WorldView-4, 2018"}, 4, 4.0, "worldview-4"),
    ],
)
def test_satellite_named_in_tags(metadata: dict[str, str], bands: int, ratio: float, expected: str) -> None:
    assert guess(metadata, bands, ratio)[0] == expected


@pytest.mark.parametrize(
    ("filename", "bands", "ratio", "expected"),
    [
        ("17DEC07_M2AS_WV02.tif", 8, 4.0, "worldview-2"),
        ("wv2_ms.tif", 8, 4.0, "worldview-2"),
        ("IMG_PHR1A_MS_201209_R1C1.TIF", 4, 4.0, "pleiades"),
        ("IMG_SPOT6_MS_201503_ORT.TIF", 4, 4.0, "spot-6"),
        ("GF2_PMS1_E108.9_N34.2_20181026_L1A0003549596-MSS1.tiff", 4, 4.0, "gaofen-2"),
        ("LC08_L1TP_044034_20200801_20200807_02_T1_MS.TIF", 7, 2.0, "landsat-8"),
        ("a folder/quickbird_ms.tif", 4, 4.0, "quickbird"),
        ("C:\\data\\geoeye-1.tif", 4, 4.0, "geoeye-1"),
        # words that only look like a sensor
        ("hot_spot_6.tif", 4, 4.0, "generic"),
        ("spot67.tif", 4, 4.0, "generic"),
        ("awv2b_ms.tif", 8, 4.0, "generic"),
        ("block_k3_qb.tif", 4, 4.0, "generic"),
        ("gf22.tif", 4, 4.0, "generic"),
        ("wv02/ms.tif", 8, 4.0, "generic"),
    ],
)
def test_satellite_named_by_the_file(filename: str, bands: int, ratio: float, expected: str) -> None:
    assert guess(None, bands, ratio, filenames=[filename])[0] == expected


def test_satellite_named_in_a_band_description() -> None:
    assert guess(bands=4, descriptions=[None, "GF-2 green", "", "nir"])[0] == "gaofen-2"


def test_reason_tells_the_evidence() -> None:
    assert guess({"IMAGERY.SATELLITEID": "WV02"}, 8)[1] == "8 bands and SATELLITEID WV02: worldview-2"
    assert guess(None, 8, filenames=["wv2_ms.tif"])[1] == "8 bands and file name wv2: worldview-2"


def test_nothing_named() -> None:
    key, reason = guess({"AREA_OR_POINT": "Area", "NOTE": "WV02"}, descriptions=["blue", "green"], filenames=["ms.tif"])
    assert key == "generic"
    assert reason == "no file names one"


def test_tags_are_believed_before_file_names() -> None:
    assert guess({"SATELLITEID": "GE01"}, 4, filenames=["gf2_ms.tif"])[0] == "geoeye-1"
    assert guess({"SATELLITEID": "GE01", "TIFFTAG_IMAGEDESCRIPTION": "like IKONOS"}, 4)[0] == "geoeye-1"


def test_band_count_that_contradicts() -> None:
    key, reason = guess({"SATELLITEID": "WV02"}, 5, filenames=["gf2_ms.tif"])
    assert key == "generic"
    assert "worldview-2, but which of its 8 bands the 5 of the image are is not known" in reason


def test_resampled_ms_is_no_longer_the_sensors() -> None:
    key, reason = guess({"SATELLITEID": "WV02"}, 8, 2.0)
    assert key == "generic"
    assert "ratio 4, but the image has 2" in reason


def test_two_sensors_named() -> None:
    key, reason = guess(None, 8, filenames=["wv2_ms.tif", "wv3_pan.tif"])
    assert key == "generic"
    assert "worldview-2" in reason and "worldview-3" in reason


@pytest.mark.parametrize("bands", range(1, 10))
def test_guess_never_contradicts_the_image(camera: Sensor, bands: int) -> None:
    name = camera.aliases[0].replace("#", "1")
    guessed = guess_sensor({"SATELLITEID": name}, [BandClue()] * bands, camera.ratio, [], [f"{name}.tif"])
    known = {len(camera.bands), *map(len, camera.subsets)}
    assert (guessed.sensor.key == camera.key) == (bands in known)
    assert len(guessed.sensor.ms_gains(bands)) == bands


# --- the bands of an image ------------------------------------------------------------------------------------------


def bands_of(sensor: str, clues: Sequence[BandClue]) -> str | None:
    """The names of the bands that an image with these clues holds."""
    found = as_in_image(load_sensor(sensor), clues)
    return None if found is None else " ".join(band.name for band in found.bands)


@pytest.mark.parametrize(
    ("sensor", "texts", "expected"),
    [
        ("worldview-3", [""] * 4, "blue green red nir1"),  # the bundle of four bands
        ("worldview-2", [""] * 8, "coastal blue green yellow red rededge nir1 nir2"),
        ("worldview-3", ["BAND_B", "BAND_G", "BAND_R", "BAND_N"], "blue green red nir1"),
        ("worldview-3", ["NIR 2", "Red Edge", "Yellow"], "nir2 rededge yellow"),
        ("worldview-3", ["red", "", "", ""], "red green blue nir1"),
        ("worldview-3", ["yellow", "", "", ""], None),
        ("worldview-3", [""] * 5, None),
        ("worldview-3", ["Band 1", "Band 2", "Band 3", "Band 4"], "blue green red nir1"),
        ("worldview-legion", [""] * 4, "blue green red nir"),
        ("worldview-legion", ["Red Edge 2", "Red Edge 1"], "rededge2 rededge1"),
        ("quickbird", ["Near Infrared", "red", "green", "blue"], "nir red green blue"),
        ("landsat-8", ["LC08_L1TP_001_02_T1_B4", "LC08_L1TP_001_02_T1_B3"], "red green"),
        ("landsat-9", ["Coastal Aerosol", "SWIR 1"], "coastal swir1"),
        ("landsat-7", ["B4", "B3", "B2"], "nir red green"),
        ("landsat-8", ["B4", "B3", "B2"], "red green blue"),
        ("pleiades", ["B0", "B1", "B2", "B3"], "blue green red nir"),
        ("pleiades-neo", ["", "", "", ""], "red green blue nir"),
        ("pleiades-neo", [""] * 6, "red green blue nir rededge deepblue"),
        ("pleiades-neo", ["NIR", "RE", "DB"], "nir rededge deepblue"),
    ],
)
def test_bands_are_told_by_their_words_or_the_usual_order(sensor: str, texts: list[str], expected: str | None) -> None:
    assert bands_of(sensor, [BandClue((text,)) for text in texts]) == expected


def test_bands_are_told_by_their_wavelengths() -> None:
    centres = (545.0, 833.0, 950.0, 425.0)
    assert bands_of("worldview-2", [BandClue((), nm) for nm in centres]) == "green nir1 nir2 coastal"
    assert bands_of("worldview-2", [BandClue((), nm) for nm in (480.0, 3000.0)]) is None


def test_gains_go_with_the_bands() -> None:
    four = as_in_image(load_sensor("worldview-3"), [BandClue()] * 4)
    assert four is not None and four.ms_gains(4) == (0.355, 0.36, 0.365, 0.335) and four.key == "worldview-3"


def test_the_user_names_the_bands() -> None:
    chosen = load_sensor("landsat-8").with_bands(["B4", "green", "swir2"])
    assert [band.name for band in chosen.bands] == ["red", "green", "swir2"]
    with pytest.raises(UsageError, match="no band is called 'pink'; it has coastal, blue"):
        load_sensor("landsat-8").with_bands(["pink"])
    with pytest.raises(UsageError, match="'red' occurs more than once"):
        load_sensor("landsat-8").with_bands(["red", "B4"])
    with pytest.raises(UsageError, match="--sensor-bands \\(coastal, blue"):
        load_sensor("worldview-2").ms_gains(5)


@pytest.mark.parametrize(
    "name", ["20200101_101500_ssc3d1_0017_analytic.tif", "20180605_ssc12_u0001.tif", "skysat-c4.tif"]
)
def test_satellites_of_skysat(name: str) -> None:
    assert guess(None, 4, 1.0, filenames=[name])[0] == "skysat"


def test_reason_does_not_repeat_free_text() -> None:
    _, reason = guess({"TIFFTAG_IMAGEDESCRIPTION": "<script>alert(1)</script>\x1b[31m WV02 \n"}, 8)
    assert reason == "8 bands and TIFFTAG_IMAGEDESCRIPTION WV02: worldview-2"
