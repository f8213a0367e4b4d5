"""Does an archive fall into the right pairs, and does every other file get its reason?"""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.warp import transform

from clippan_cli.rasters.footprint import acquired, footprint
from clippan_cli.rasters.options import Trust
from clippan_cli.running.control import Control
from clippan_cli.scene.files import PairTable
from clippan_cli.scene.pairs import find_pairs
from clippan_models.errors import InputError

UTM31, UTM32, DEGREES = "EPSG:32631", "EPSG:32632", "EPSG:4326"
NOON = "2020-06-01 12:00:00"


def raster(
    path: Path,
    bands: int,
    pixel: float,
    *,
    side: int = 16,
    at: tuple[float, float] = (500_000, 5_400_000),
    crs: str | None = UTM31,
    time: str | None = None,
    domain: str = "IMAGERY",
    key: str = "ACQUISITIONDATETIME",
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {"width": side, "height": side, "count": bands, "dtype": "uint16"}
    place = Affine(pixel, 0, at[0], 0, -pixel, at[1])
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=place, **shape) as file:
        file.write(np.ones((bands, side, side), np.uint16))
        if time is not None:
            file.update_tags(ns=domain, **{key: time})
    return path


def pair(folder: Path, ms: str, pan: str, **what: object) -> None:
    raster(folder / ms, 4, 8.0, **what)  # type: ignore[arg-type]
    raster(folder / pan, 1, 2.0, side=64, **what)  # type: ignore[arg-type]


def table(path: Path) -> PairTable:
    return find_pairs(path, Trust(), Control())


def found(path: Path) -> dict[str, tuple[str, str]]:
    return {p.id: (Path(p.ms[0]).name, Path(p.pan).name) for p in table(path).pairs}


def reasons(path: Path) -> dict[str, str]:
    return {Path(item.path).name: item.reason for item in table(path).left_out}


def test_two_dates_of_one_place_are_kept_apart_by_name(tmp_path: Path) -> None:
    for date in ("20200101", "20210101"):
        pair(tmp_path, f"site_{date}_MUL.tif", f"site_{date}_PAN.tif")
    assert found(tmp_path) == {
        f"site_{date}": (f"site_{date}_MUL.tif", f"site_{date}_PAN.tif") for date in ("20200101", "20210101")
    }


def test_a_missing_partner_is_not_replaced_by_another_date(tmp_path: Path) -> None:
    pair(tmp_path, "good_ms.tif", "good_pan.tif", at=(700_000, 5_400_000))
    raster(tmp_path / "a_20200101_ms.tif", 4, 8.0, time="2020-01-01 10:00:00")
    raster(tmp_path / "a_20210101_pan.tif", 1, 2.0, side=64, time="2021-01-01 10:00:00")
    assert list(found(tmp_path)) == ["good"]
    assert "taken 366 days apart" in reasons(tmp_path)["a_20200101_ms.tif"]
    raster(tmp_path / "20200101_ms.tif", 4, 8.0, at=(800_000, 5_400_000))
    raster(tmp_path / "20210101_pan.tif", 1, 2.0, side=64, at=(800_000, 5_400_000))
    assert "another date in its name" in reasons(tmp_path)["20200101_ms.tif"]
    raster(tmp_path / "b" / "x_ms.tif", 4, 8.0, at=(600_000, 5_400_000))
    raster(tmp_path / "c" / "y_pan.tif", 1, 2.0, side=64, at=(600_000, 5_400_000))
    assert "neither its name nor its time" in reasons(tmp_path)["x_ms.tif"]


@pytest.mark.parametrize(("seconds", "joined"), [("01", True), ("02", True), ("05", False)])
def test_two_seconds_are_the_same_time(seconds: str, joined: bool, tmp_path: Path) -> None:
    pair(tmp_path, "good_ms.tif", "good_pan.tif", at=(700_000, 5_400_000))
    raster(tmp_path / "x.tif", 4, 8.0, time=NOON)
    raster(tmp_path / "elsewhere" / "y.tif", 1, 2.0, side=64, time=NOON[:-2] + seconds)
    assert ("x" in found(tmp_path)) == joined
    if not joined:
        assert reasons(tmp_path)["x.tif"] == "y.tif: taken 5 s apart"


def test_times_in_names_may_differ_by_a_second(tmp_path: Path) -> None:
    pair(tmp_path, "GE1_20200101T101500_ms.tif", "GE1_20200101T101501_pan.tif")
    assert list(found(tmp_path)) == ["GE1"]


def test_footprints_meet_across_crs(tmp_path: Path) -> None:
    """UTM zones and degrees: the same ground at the edge of two zones, and one that is elsewhere."""
    raster(tmp_path / "one_ms.tif", 4, 8.0, at=(719_000, 5_430_000))
    (x,), (y,) = transform(UTM31, UTM32, [719_000], [5_430_000])
    raster(tmp_path / "one_pan.tif", 1, 2.0, side=80, at=(x - 10, y + 10), crs=UTM32)
    raster(tmp_path / "two_ms.tif", 4, 8e-5, at=(3.0, 48.0), crs=DEGREES)
    raster(tmp_path / "two_pan.tif", 1, 2.0, side=80, at=(500_000, 5_316_300))
    raster(tmp_path / "two_far_pan.tif", 1, 2.0, side=80, at=(600_000, 5_316_300))
    names = found(tmp_path)
    assert names["two"] == ("two_ms.tif", "two_pan.tif")
    assert "overlaps it" in reasons(tmp_path)["two_far_pan.tif"]
    assert "one" in names


def test_the_antimeridian_is_no_border(tmp_path: Path) -> None:
    raster(tmp_path / "fiji_ms.tif", 4, 4e-4, side=20, at=(179.996, -17.0), crs=DEGREES)
    raster(tmp_path / "fiji_pan.tif", 1, 1e-4, side=80, at=(-180.004, -17.0), crs=DEGREES)
    assert list(found(tmp_path)) == ["fiji"]
    whole = footprint(Affine(4e-4, 0, 179.996, 0, -4e-4, -17), 20, 20, rasterio.crs.CRS.from_epsg(4326))
    assert whole.area == pytest.approx(0.008**2) and whole.bounds[0] == -180 and whole.bounds[2] == 180


def test_duplicate_names_get_their_folders(tmp_path: Path) -> None:
    for number, folder in enumerate(("north", "south")):
        pair(tmp_path / folder, "scene_ms.tif", "scene_pan.tif", at=(500_000 + 5000 * number, 5_400_000))
    assert list(found(tmp_path)) == ["north-scene", "south-scene"]


def test_copies_are_not_guessed_at(tmp_path: Path) -> None:
    pair(tmp_path, "scene_ms.tif", "scene_pan.tif")
    pair(tmp_path, "good_ms.tif", "good_pan.tif", at=(700_000, 5_400_000))
    raster(tmp_path / "scene_PAN.TIF", 1, 2.0, side=64)
    assert list(found(tmp_path)) == ["good"]
    assert "scene_PAN.TIF, scene_pan.tif fit it equally well" in reasons(tmp_path)["scene_ms.tif"]


@pytest.mark.parametrize(("ratio", "camera"), [(1.25, "SkySat"), (2.0, "Landsat"), (4.0, "WorldView"), (15.0, "VIIRS")])
def test_a_pair_of_any_camera_is_found(ratio: float, camera: str, tmp_path: Path) -> None:
    raster(tmp_path / f"{camera}_ms.tif", 4, 2 * ratio, side=60)
    raster(tmp_path / f"{camera}_pan.tif", 1, 2.0, side=round(60 * ratio))
    assert list(found(tmp_path)) == [camera]


def test_every_file_that_is_left_out_has_its_reason(tmp_path: Path) -> None:
    pair(tmp_path, "good_ms.tif", "good_pan.tif")
    (tmp_path / "broken.tif").write_bytes(b"II*\0 not a raster")
    (tmp_path / "empty.tif").touch()
    raster(tmp_path / "alone_ms.tif", 4, 8.0, at=(700_000, 5_400_000))
    raster(tmp_path / "coarse_pan.tif", 1, 8.0, at=(500_000, 5_400_000))
    raster(tmp_path / "beside_pan.tif", 1, 2.0, side=64, at=(500_100, 5_400_000))
    (tmp_path / "notes.txt").touch()
    why = reasons(tmp_path)
    assert set(why) == {"broken.tif", "empty.tif", "alone_ms.tif", "coarse_pan.tif", "beside_pan.tif"}
    assert "0 bytes" in why["empty.tif"] and "no file of one band" in why["alone_ms.tif"]
    assert "not those of PAN and MS" in why["coarse_pan.tif"] and "only 22%" in why["beside_pan.tif"]


def test_the_table_that_is_written_can_be_read(tmp_path: Path) -> None:
    pair(tmp_path / "data", "a_ms.tif", "a_pan.tif")
    first = table(tmp_path / "data")
    (tmp_path / "pairs.csv").write_text(first.as_csv())
    again = table(tmp_path / "pairs.csv")
    assert [(p.id, p.ms, p.pan) for p in again.pairs] == [(p.id, p.ms, p.pan) for p in first.pairs]


@pytest.mark.parametrize(
    ("text", "words"),
    [("a,b\n1,2\n", "no column ms"), ("ms,pan\n", "no line"), ("ms,pan\nx.tif,\n", "line 2"), ("", "no column")],
)
def test_a_bad_table_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        table(tmp_path / "pairs.csv")


def test_nothing_to_pair(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no pair"):
        table(tmp_path)
    with pytest.raises(InputError, match="neither a folder nor"):
        table(tmp_path / "absent")


@pytest.mark.parametrize(
    ("tags", "name", "iso"),
    [
        ({"ACQUISITIONDATETIME": NOON}, "x.tif", "2020-06-01T12:00:00+00:00"),
        ({"IMD.firstLineTime": "2020-06-01T12:00:00.123456789Z"}, "x.tif", "2020-06-01T12:00:00.123456+00:00"),
        ({"TIFFTAG_DATETIME": "2024:01:01 00:00:00"}, "x.tif", None),
        ({}, "S_20200601T120000_ms.tif", "2020-06-01T12:00:00+00:00"),
        ({}, "S_20209999T120000_ms.tif", None),
        ({}, "20JUN01120000-M2AS-0123.tif", "2020-06-01T12:00:00+00:00"),
        ({"DATETIME": "2020-06-01"}, "x.tif", None),
    ],
)
def test_times(tags: dict[str, str], name: str, iso: str | None) -> None:
    when = acquired(tags, name)
    assert (when.isoformat() if when else None) == iso


def test_names_pair_files_without_a_crs(tmp_path: Path) -> None:
    pair(tmp_path, "x_ms.tif", "x_pan.tif", crs=None)
    raster(tmp_path / "y_ms.tif", 4, 8.0, crs=None)
    assert found(tmp_path) == {"x": ("x_ms.tif", "x_pan.tif")}
    assert "no CRS" in reasons(tmp_path)["y_ms.tif"]


def test_an_image_belongs_to_the_pair_that_its_tags_name(tmp_path: Path) -> None:
    pair(tmp_path, "a-m.tif", "a-p.tif")
    made = raster(tmp_path / "sharp.tif", 4, 2.0, side=64)
    with rasterio.open(made, "r+") as file:
        file.update_tags(ns="CLIPPAN", MS='["a-m.tif"]', PAN="a-p.tif")
    (only,) = table(tmp_path).pairs
    assert only.fused == (str(made),) and only.reference is None


def test_a_table_can_name_images_truth_and_sensor(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("ms,pan,fused,reference,sensor\na.tif,p.tif,x.tif;y.tif,t.tif,ikonos\n")
    (only,) = table(tmp_path / "t.csv").pairs
    assert [Path(name).name for name in (*only.fused, only.reference or "")] == ["x.tif", "y.tif", "t.tif"]
    assert only.sensor == "ikonos"


def unpaired(path: Path) -> set[str]:
    return {Path(item.path).name for item in table(path).unpaired}


@pytest.mark.parametrize(
    ("ms", "pan", "name"),
    [
        ("SV1-02_20200101_L2A-MUX.tiff", "SV1-02_20200101_L2A-PAN.tiff", "SV1-02_20200101_L2A"),
        ("ZY3_Zürich_MUX.tif", "ZY3_Zürich_PAN.tif", "ZY3_Zürich"),
        ("IMG_PHR1A_MS_x_R1C1.TIF", "IMG_PHR1A_P_x_R1C1.TIF", "IMG_PHR1A_x_R1C1"),
        ("MS1_Site.tif", "PAN1_Site.tif", "1_Site"),
    ],
)
def test_a_scene_keeps_its_name(ms: str, pan: str, name: str, tmp_path: Path) -> None:
    pair(tmp_path, ms, pan)
    assert found(tmp_path) == {name: (ms, pan)}
    assert not unpaired(tmp_path)


def test_what_comes_with_skysat_is_no_half(tmp_path: Path) -> None:
    raster(tmp_path / "x_analytic.tif", 4, 2.0, side=50)
    raster(tmp_path / "x_panchromatic.tif", 1, 1.6, side=62)
    for word, bands in (("udm", 1), ("analytic_udm2", 8), ("visual", 3), ("pansharpened", 4), ("panchromatic_dn", 1)):
        raster(tmp_path / f"x_{word}.tif", bands, 1.6, side=62)
    assert [pair[1] for pair in found(tmp_path).values()] == ["x_panchromatic.tif"]
    assert set(reasons(tmp_path).values()) == {"its name says that it is neither MS nor PAN"}
    assert not unpaired(tmp_path)


def in_tiles(folder: Path, name: str, bands: int, pixel: float, *, without: tuple[str, ...] = ()) -> set[str]:
    """An image of 128 m in two rows and two columns."""
    place = [(row, col) for row in (1, 2) for col in (1, 2) if f"R{row}C{col}" not in without]
    names = {f"{name}_R{row}C{col}.tif": (500_000 + 64 * (col - 1), 5_400_000 - 64 * (row - 1)) for row, col in place}
    for file, at in names.items():
        raster(folder / file, bands, pixel, side=round(64 / pixel), at=at)
    return set(names)


def files_of(path: Path) -> dict[str, tuple[set[str], set[str]]]:
    return {p.id: tuple({Path(n).name for n in names} for names in (p.ms, p.pans)) for p in table(path).pairs}  # type: ignore[misc]


@pytest.mark.parametrize("ms", ["x_MS.tif", "x_MS_R1C1.tif", None])
def test_tiles_are_halves_as_a_whole(ms: str | None, tmp_path: Path) -> None:
    """PAN comes in tiles, MS in one file, called a tile or not, or in tiles as well."""
    pans = in_tiles(tmp_path, "x_PAN", 1, 2.0)
    sharp = {raster(tmp_path / ms, 4, 8.0, side=16).name} if ms else in_tiles(tmp_path, "x_MS", 4, 8.0)
    ((name, files),) = files_of(tmp_path).items()
    assert files == (sharp, pans) and name == ("x_R1C1" if ms == "x_MS_R1C1.tif" else "x")
    assert not table(tmp_path).left_out
    (tmp_path / "pairs.csv").write_text(table(tmp_path).as_csv())
    assert files_of(tmp_path / "pairs.csv")[name] == files


def test_the_names_of_maxar_say_what_are_tiles_of_one_image(tmp_path: Path) -> None:
    for part in ("P001", "P002"):
        for role, bands, pixel in (("M2AS", 4, 8.0), ("P2AS", 1, 2.0)):
            for col in (1, 2):
                at = (500_000 + 64 * (col - 1) + (part == "P002") * 5000, 5_400_000)
                name = f"20JUN01120000-{role}_R1C{col}-012345678901_01_{part}.TIF"
                raster(tmp_path / name, bands, pixel, side=round(64 / pixel), at=at)
    assert list(files_of(tmp_path)) == ["012345678901_01_001", "012345678901_01_002"]
    assert all((len(ms), len(pan)) == (2, 2) for ms, pan in files_of(tmp_path).values())


def test_a_tile_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    """The tiles of PAN cover half of MS."""
    pair(tmp_path, "good_ms.tif", "good_pan.tif", at=(700_000, 5_400_000))
    raster(tmp_path / "x_MS_R1C1.tif", 4, 8.0, side=16)
    pans = in_tiles(tmp_path, "x_PAN", 1, 2.0, without=("R1C2", "R2C2"))
    assert list(found(tmp_path)) == ["good"]
    assert unpaired(tmp_path) == {"x_MS_R1C1.tif", *pans}
    assert "share only 50% of their area" in reasons(tmp_path)["x_MS_R1C1.tif"]


@pytest.mark.parametrize("of_both", [True, False])
def test_a_missing_tile_is_named(of_both: bool, tmp_path: Path) -> None:
    """Where MS lacks it too, the rest is a scene, which is not whole."""
    pair(tmp_path, "good_ms.tif", "good_pan.tif", at=(700_000, 5_400_000))
    pans = in_tiles(tmp_path, "x_PAN", 1, 2.0, without=("R1C2",))
    sharp = in_tiles(tmp_path, "x_MS", 4, 8.0, without=("R1C2",) if of_both else ())
    assert "this tile is missing" in reasons(tmp_path)["x_PAN_R1C2.tif"]
    if of_both:
        assert files_of(tmp_path)["x"] == (sharp, pans)
        assert unpaired(tmp_path) == {"x_PAN_R1C2.tif", "x_MS_R1C2.tif"}
    else:
        assert list(found(tmp_path)) == ["good"]
        assert unpaired(tmp_path) == {"x_PAN_R1C2.tif", *pans, *sharp}


def test_a_tile_that_cannot_be_read_is_named_once(tmp_path: Path) -> None:
    pair(tmp_path, "good_ms.tif", "good_pan.tif", at=(700_000, 5_400_000))
    in_tiles(tmp_path, "x_PAN", 1, 2.0)
    (tmp_path / "x_PAN_R1C2.tif").write_bytes(b"II*\0 cut off")
    assert [item.reason for item in table(tmp_path).left_out if "R1C2" in item.path] == [
        reasons(tmp_path)["x_PAN_R1C2.tif"]
    ]
    assert "x_PAN_R1C2.tif" in unpaired(tmp_path)


def test_tiles_that_make_no_image_are_paired_one_by_one(tmp_path: Path) -> None:
    for col, zone in enumerate((UTM31, UTM32), start=1):
        pair(tmp_path, f"x_MS_R1C{col}.tif", f"x_PAN_R1C{col}.tif", crs=zone)
    assert set(files_of(tmp_path)) == {"x_R1C1", "x_R1C2"}


LANDSAT = "LC08_L1TP_190026_20200101_20200113_01_T1"


def band_files(folder: Path, start: str, bands: dict[str, float], suffix: str = ".TIF") -> None:
    for band, pixel in bands.items():
        raster(folder / f"{start}{band}{suffix}", 1, pixel, side=round(128 / pixel))


@pytest.mark.parametrize(
    ("start", "bands", "ms", "pan"),
    [
        (f"{LANDSAT}_", "B1 B2 B3 B4 B5 B6 B7 B9 B10 QA_PIXEL", "B1 B2 B3 B4 B5 B6 B7", "B8"),
        (f"{LANDSAT}_", "B2 B3 B4 B5", "B2 B3 B4 B5", "B8"),
        ("LC81900262013150LGN00_", "B2 B3 B4 B5 BQA", "B2 B3 B4 B5", "B8"),
        ("LE07_L1TP_190026_2000_01_T1_", "B1 B2 B3 B4 B5 B6_VCID_1 B7", "B1 B2 B3 B4 B5 B7", "B8"),
        ("K3_20150101120000_12345_67891234_L1R_", "N R G B", "B G R N", "P"),
        ("K3A_20180304060821_16235_00571286_L1O_", "B G N R", "B G R N", "P"),
    ],
)
def test_files_of_single_bands_make_an_ms(start: str, bands: str, ms: str, pan: str, tmp_path: Path) -> None:
    band_files(tmp_path, start, dict.fromkeys(bands.split(), 8.0) | {pan: 4.0})
    (scene,) = table(tmp_path).pairs
    assert [Path(name).stem.removeprefix(start) for name in scene.ms] == ms.split()
    assert [Path(name).stem.removeprefix(start) for name in scene.pans] == [pan]
    assert scene.reason in ("names agree", "names and times agree")
    assert scene.id == re.sub(r"\d{14}_", "_", start).strip("_")
    assert not unpaired(tmp_path)
    assert set(reasons(tmp_path)) == {f"{start}{band}.TIF" for band in set(bands.split()) - set(ms.split())}


def test_what_kompsat_delivers_sharpened_is_no_half(tmp_path: Path) -> None:
    pair(tmp_path, "good_ms.tif", "good_pan.tif", at=(700_000, 5_400_000))
    band_files(tmp_path, "K3A_20200504045549_28203_00042683_L1R_", dict.fromkeys(("PB", "PG", "PR", "PN"), 4.0))
    assert list(found(tmp_path)) == ["good"] and unpaired(tmp_path) == set()
    assert set(reasons(tmp_path).values()) == {"its name says that it is neither MS nor PAN"}


def test_a_missing_band_is_named(tmp_path: Path) -> None:
    pair(tmp_path, "good_ms.tif", "good_pan.tif", at=(700_000, 5_400_000))
    band_files(tmp_path, f"{LANDSAT}_", {"B2": 8.0, "B4": 8.0, "B8": 4.0})
    assert list(found(tmp_path)) == ["good"]
    assert unpaired(tmp_path) == {f"{LANDSAT}_{band}.TIF" for band in ("B2", "B4", "B8")}
    assert reasons(tmp_path)[f"{LANDSAT}_B2.TIF"] == f"there is no band B3 and no band B5 of {LANDSAT}"


def test_bands_on_different_grids_are_no_image(tmp_path: Path) -> None:
    pair(tmp_path, "good_ms.tif", "good_pan.tif", at=(700_000, 5_400_000))
    band_files(tmp_path, "x_", {"B": 8.0, "G": 8.0, "R": 8.0, "N": 16.0, "P": 4.0}, ".tif")
    assert list(found(tmp_path)) == ["good"]
    assert "must share one grid" in reasons(tmp_path)["x_N.tif"] and "x_N.tif" in unpaired(tmp_path)


def test_what_looks_like_half_a_pair_is_told_from_other_rasters(tmp_path: Path) -> None:
    pair(tmp_path, "a_ms.tif", "a_pan.tif")
    raster(tmp_path / "a_gt.tif", 4, 2.0, side=64)  # the truth
    raster(tmp_path / "sharp.tif", 4, 2.0, side=64)  # made by others
    raster(tmp_path / "old" / "a_pan.tif", 1, 2.0, side=64, time="1999-01-01 10:00:00")  # a second PAN
    (tmp_path / "legend.png").write_bytes(b"not a raster")
    assert unpaired(tmp_path) == set()
    (tmp_path / "b_pan.tif").write_bytes((tmp_path / "a_pan.tif").read_bytes()[:90])  # truncated
    raster(tmp_path / "b_ms.tif", 4, 8.0, at=(700_000, 5_400_000))
    raster(tmp_path / "c.tif", 4, 8.0, at=(800_000, 5_400_000))
    assert unpaired(tmp_path) == {"b_pan.tif", "b_ms.tif", "c.tif"}


def test_pairs_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("ms,pan\nin/x_ms.tif,in/x_pan.tif\n/data/y_ms.tif,/data/y_pan.tif\n"))
    names = [(pair.id, pair.ms[0], pair.pan) for pair in table(Path("-")).pairs]
    assert names == [("x", "in/x_ms.tif", "in/x_pan.tif"), ("y", "/data/y_ms.tif", "/data/y_pan.tif")]
