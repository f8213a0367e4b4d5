"""Is a product sharpened as its two images would be, and is one that is not complete refused in one clear line?"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from clippan_cli.products.finding import find_scene, find_scenes
from clippan_cli.rasters.options import PairOptions, QualityMask, Trust
from clippan_cli.running.control import Control
from clippan_cli.scene.files import ReadOptions, SceneFiles
from clippan_cli.scene.scene import scene_as_referenced
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.tasks.sharpen import sharpen
from clippan_cli.writing.options import OutputOptions
from clippan_models.errors import InputError
from tests.products.deliveries import (
    ETM,
    LANDSAT,
    MS_PIXEL,
    MS_SIDE,
    OFFSET,
    PAN_PIXEL,
    PAN_SIDE,
    RATIO,
    SCALE,
    ZERO_IS_NODATA,
    Mtl,
    Shelf,
    gaofen,
    kompsat,
    landsat,
    landsat_item,
    maxar,
    pleiades,
    rpcs,
    skysat,
    spot5,
    stac,
    superview,
)

Deliver = Callable[[Shelf], Path]

LANDSAT_1 = Mtl(1, "LC08_L1TP_200030_20150716_20170911_01_T1")
LANDSAT_7 = Mtl(2, "LE07_L1TP_200030_20000716_20200911_02_T1", "LANDSAT_7")


def landsat1(shelf: Shelf) -> Path:
    return landsat(shelf, LANDSAT_1)


def landsat7(shelf: Shelf) -> Path:
    return landsat(shelf, LANDSAT_7)


def landsat_xml(shelf: Shelf) -> Path:
    return landsat(shelf, Mtl(form="xml"))


def landsat_json(shelf: Shelf) -> Path:
    return landsat(shelf, Mtl(form="json"))


BANDS: dict[Deliver, int] = {
    landsat: len(Mtl().bands),
    landsat1: len(Mtl().bands),
    landsat7: len(ETM),
    landsat_xml: len(Mtl().bands),
    landsat_json: len(Mtl().bands),
}
KINDS: tuple[Deliver, ...] = (*BANDS, pleiades, spot5, maxar, gaofen, superview, skysat, kompsat, stac)


@pytest.fixture
def shelf(tmp_path: Path) -> Callable[[Deliver], Shelf]:
    return lambda deliver: Shelf(tmp_path / "product", tmp_path / "plain", BANDS.get(deliver, 4))


def scene_of(path: Path) -> SceneFiles:
    return find_scene(path, Trust(), Control())


def fused(files: SceneFiles, output: Path, pair: PairOptions = PairOptions()) -> rasterio.DatasetReader:
    read = ReadOptions(pair, sensor="generic", coregister="off")
    options = SharpenOptions(output, method="brovey", assess=False, encoding=OutputOptions(driver="gtiff"))
    sharpen(files, read, options)
    return rasterio.open(output)


def plain(shelf: Shelf, deliver: Deliver) -> SceneFiles:
    """The pair as two files, with RPCs where the product has no map projection."""
    ms, pan = shelf.plain_pair()
    if deliver is gaofen:
        for path, side in ((ms, MS_SIDE), (pan, PAN_SIDE)):
            with rasterio.open(path) as file:
                pixels = file.read()
            Path(path).unlink()
            count = len(pixels)
            shape = {"driver": "GTiff", "count": count, "height": side, "width": side, "dtype": "uint16"}
            with rasterio.open(path, "w", **shape, rpcs=rasterio.rpc.RPC(**rpcs(side))) as file:
                file.write(pixels)
    return SceneFiles((ms,), pan)


def zipped(folder: Path) -> Path:
    """The folder in an archive beside it, as providers pack it; the folder itself is gone."""
    archive = folder.with_suffix(".zip")
    with ZipFile(archive, "w", ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, path.relative_to(folder.parent))
    shutil.rmtree(folder)
    return archive


def main_file(path: Path, folder: Path) -> Path:
    return path


def whole_folder(path: Path, folder: Path) -> Path:
    return folder


def in_zip(path: Path, folder: Path) -> Path:
    return zipped(folder)


def assert_as_plain(files: SceneFiles, deliver: Deliver, shelf: Shelf) -> None:
    out = shelf.plain.parent / "out"
    out.mkdir()
    with fused(files, out / "product.tif") as one, fused(plain(shelf, deliver), out / "plain.tif") as other:
        assert (one.shape, one.transform, one.crs) == (other.shape, other.transform, other.crs)
        np.testing.assert_array_equal(one.read(), other.read())
        assert one.read().std() > 10


@pytest.mark.parametrize("deliver", KINDS)
def test_the_main_file_of_a_product_is_sharpened_as_its_pair(deliver: Deliver, shelf: Any) -> None:
    product = shelf(deliver)
    assert_as_plain(scene_of(deliver(product)), deliver, product)


@pytest.mark.parametrize("deliver", [landsat, landsat1, pleiades, spot5, maxar, gaofen, skysat, kompsat])
@pytest.mark.parametrize("named", [whole_folder, in_zip])
def test_a_folder_or_a_zip_is_sharpened_as_its_pair(
    named: Callable[[Path, Path], Path], deliver: Deliver, shelf: Any
) -> None:
    product = shelf(deliver)
    assert_as_plain(scene_of(named(deliver(product), product.folder)), deliver, product)


def test_a_landsat_product_brings_scale_and_sensor(shelf: Any, tmp_path: Path) -> None:
    files = scene_of(landsat(shelf(landsat)))
    with fused(files, tmp_path / "out.tif") as file:
        assert file.scales == (SCALE,) * 7 and file.offsets == (OFFSET,) * 7
        assert file.nodata == 0
    read = ReadOptions(coregister="off")
    options = SharpenOptions(tmp_path / "known.tif", method="brovey", assess=False)
    found = sharpen(files, read, options)
    assert found.provenance["SENSOR"] == "landsat-8"


FILL, SATURATED = np.s_[:8, :], np.s_[20:24, 10:14]
GREEN = 2  # B3


def flagged(mtl: Mtl) -> dict[str, NDArray[np.uint16]]:
    """Quality bands with fill at the top and a saturated patch, of B3 alone where they tell which band."""
    pixel = np.full((1, MS_SIDE, MS_SIDE), 21824 if mtl.collection == 2 else 2720, np.uint16)
    saturation = np.zeros_like(pixel)
    pixel[:, *FILL] = 1
    if mtl.collection == 1:
        pixel[:, *SATURATED] |= 1 << 2
        return {"BQA": pixel}
    saturation[:, *SATURATED] = 1 << GREEN
    return {"QA_PIXEL": pixel, "QA_RADSAT": saturation}


@pytest.mark.parametrize("mask", ["none", "fill", "saturation"])
@pytest.mark.parametrize("mtl", [Mtl(), LANDSAT_1], ids=["collection 2", "collection 1"])
def test_quality_bands_mask_what_is_asked_for(mtl: Mtl, mask: QualityMask, shelf: Any, tmp_path: Path) -> None:
    files = scene_of(landsat(shelf(landsat), mtl, flagged(mtl)))
    with fused(files, tmp_path / "out.tif", PairOptions(quality_mask=mask)) as file:
        hidden = file.read() == file.nodata
    expected = np.zeros((7, MS_SIDE, MS_SIDE), np.bool_)
    expected[:, *FILL] = mask != "none"
    expected[GREEN if mtl.collection == 2 else slice(None), *SATURATED] = mask == "saturation"
    np.testing.assert_array_equal(hidden, np.kron(expected, np.ones((RATIO, RATIO), np.bool_)))


@pytest.mark.parametrize("mask", ["none", "fill", "saturation"])
def test_a_stac_item_of_landsat_masks_what_its_product_does(mask: QualityMask, shelf: Any, tmp_path: Path) -> None:
    item = landsat_item(shelf(landsat), quality=flagged(Mtl()))
    with fused(scene_of(item), tmp_path / "item.tif", PairOptions(quality_mask=mask)) as file:
        hidden = file.read() == file.nodata
    with fused(scene_of(item.parent), tmp_path / "product.tif", PairOptions(quality_mask=mask)) as file:
        np.testing.assert_array_equal(hidden, file.read()[:5] == file.nodata)
    assert hidden.any() == (mask != "none")


def test_the_masks_that_are_used_are_told(shelf: Any, tmp_path: Path) -> None:
    notes: list[str] = []
    read = ReadOptions(PairOptions(quality_mask="saturation"))
    with ExitStack() as stack:
        scene_as_referenced(scene_of(landsat(shelf(landsat))), read, Control(on_note=notes.append), stack)
    told = [(note.split(" by ")[0], note.rsplit("_", 2)[1:]) for note in notes if " is masked by " in note]
    assert told == [("fill is masked", ["QA", "PIXEL.TIF"]), ("saturation is masked", ["QA", "RADSAT.TIF"])]


def test_zeros_of_landsat_are_nodata_although_the_files_do_not_say_so(shelf: Any, tmp_path: Path) -> None:
    product = shelf(landsat)
    product.ms[:, :, :6] = 0
    product.pan[:, :, -4:] = 0
    files = scene_of(landsat(product))
    with fused(files, tmp_path / "out.tif") as file:
        hidden = file.read() == file.nodata
    assert hidden[:, :, : 6 * RATIO].all() and hidden[:, :, -4:].all() and not hidden[:, :, 6 * RATIO : -4].any()


@pytest.mark.parametrize("named", [whole_folder, in_zip])
def test_what_only_the_xml_of_airbus_says_counts(
    named: Callable[[Path, Path], Path], shelf: Any, tmp_path: Path
) -> None:
    product = shelf(pleiades)
    product.ms[:, :6] = 0
    path = named(pleiades(product, ZERO_IS_NODATA), product.folder)
    with fused(scene_of(path), tmp_path / "out.tif") as file:
        assert file.nodata == 0 and (file.read()[:, : 6 * RATIO] == 0).all()


def without(*patterns: str) -> Callable[[Shelf], None]:
    def spoil(product: Shelf) -> None:
        for pattern in patterns:
            for path in product.folder.rglob(pattern):
                path.unlink()

    return spoil


def two_pans(product: Shelf) -> None:
    start = "20200813_101112_ssc1_u0001"
    product.raster(f"{start}_pan.tif", product.pan, PAN_PIXEL)


def pan_of_another_date(product: Shelf) -> None:
    (pan,) = product.folder.glob("*_panchromatic.tif")
    pan.rename(pan.with_name(pan.name.replace("20200813", "20200901")))


def two_scenes(product: Shelf) -> None:
    landsat(product, replace(Mtl(), name=LANDSAT.replace("20200716", "20200801")))


def no_pan_in_the_mtl(product: Shelf) -> None:
    (mtl,) = product.folder.glob("*_MTL.txt")
    mtl.write_text("\n".join(line for line in mtl.read_text().splitlines() if "FILE_NAME_BAND_8" not in line))


def landsat_5(product: Shelf) -> None:
    (mtl,) = product.folder.glob("*_MTL.txt")
    mtl.write_text(mtl.read_text().replace("LANDSAT_8", "LANDSAT_5"))


def band_outside(product: Shelf) -> None:
    (mtl,) = product.folder.glob("*_MTL.txt")
    (band,) = product.folder.glob("*_B4.TIF")
    mtl.write_text(mtl.read_text().replace(band.name, f"../{band.name}"))
    band.rename(product.folder.parent / band.name)


def band_that_links_outside(product: Shelf) -> None:
    (band,) = product.folder.glob("*_B4.TIF")
    elsewhere = product.folder.parent / band.name
    band.rename(elsewhere)
    band.symlink_to(elsewhere)


def quality_on_another_grid(product: Shelf) -> None:
    (quality,) = product.folder.glob("*_QA_PIXEL.TIF")
    product.raster(quality.name, np.zeros((1, 8, 8), np.uint16), MS_PIXEL)


SPOILT: list[tuple[Deliver, Callable[[Shelf], None], tuple[str, ...]]] = [
    (landsat, without("*_B4.TIF"), ("MTL.txt names", "_B4.TIF", "not there")),
    (landsat, without("*_B8.TIF"), ("_B8.TIF", "not there")),
    (landsat, without("*_QA_PIXEL.TIF"), ("_QA_PIXEL.TIF", "not there")),
    (landsat, no_pan_in_the_mtl, ("no band 8", "Level 1")),
    (landsat, landsat_5, ("LANDSAT_5", "only Landsat 7, 8 and 9")),
    (landsat, band_outside, ("../", "outside its folder")),
    (landsat, band_that_links_outside, ("_B4.TIF", "outside its folder")),
    (skysat, without("*_panchromatic.tif"), ("no pair", "_analytic.tif")),
    (skysat, two_pans, ("no pair", "fit it equally well")),
    (skysat, pan_of_another_date, ("no pair", "taken 19 days apart")),
    (pleiades, without("IMG_PHR1A_P_*.TIF"), ("no pair of MS and PAN",)),
    (maxar, without("*-P2AS_R1C2-*.TIF"), ("share only 50%", "tiles are missing")),
    (kompsat, without("*_R.tif"), ("no band R",)),
]


@pytest.mark.parametrize(("deliver", "spoil", "words"), SPOILT, ids=lambda value: getattr(value, "__name__", ""))
def test_a_product_that_is_not_complete_is_refused(
    deliver: Deliver, spoil: Callable[[Shelf], None], words: tuple[str, ...], shelf: Any
) -> None:
    product = shelf(deliver)
    path = deliver(product)
    spoil(product)
    with pytest.raises(InputError) as refused:
        scene_of(path)
    assert not [word for word in words if word not in str(refused.value)], refused.value


def test_a_folder_with_two_scenes_names_them(shelf: Any) -> None:
    product = shelf(landsat)
    landsat(product)
    two_scenes(product)
    with pytest.raises(InputError, match=rf"holds 2 scenes: {LANDSAT} .*clippan batch"):
        scene_of(product.folder)
    assert [scene.id for scene in find_scenes(product.folder, Trust(), Control()).pairs] == [
        LANDSAT,
        LANDSAT.replace("20200716", "20200801"),
    ]


def test_the_three_forms_of_an_mtl_are_one_product(shelf: Any) -> None:
    product = shelf(landsat)
    for form in ("txt", "xml", "json"):
        landsat(product, Mtl(form=form))
    table = find_scenes(product.folder, Trust(), Control())
    assert [scene.id for scene in table.pairs] == [LANDSAT] and not table.unpaired
    assert not table.left_out
