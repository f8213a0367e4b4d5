"""Is nothing read from an archive that leads out of it, or costs more than it should?"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import rasterio

from clippan_cli.products.finding import find_scene
from clippan_cli.rasters.opening import open_dataset
from clippan_cli.rasters.options import Trust
from clippan_cli.rasters.zipped import MOST_MEMBERS, archive_of, members_of, name_in_zip
from clippan_cli.running.control import Control
from clippan_models.errors import InputError
from tests.products.deliveries import LANDSAT, Shelf, landsat, pleiades

VRT = (
    '<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
    "<SourceFilename>/etc/passwd</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
)

Spoil = Callable[[Shelf, ZipFile], None]


def archive(shelf: Shelf, spoil: Spoil | None = None, without: str = "") -> Path:
    """A good pair in an archive, spoilt."""
    shelf.pair("a_ms.tif", "a_pan.tif")
    path = shelf.folder.with_suffix(".zip")
    with ZipFile(path, "w", ZIP_DEFLATED) as file:
        for raster in sorted(shelf.folder.iterdir()):
            if raster.name != without:
                file.write(raster, raster.name)
        if spoil is not None:
            spoil(shelf, file)
    return path


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "product", tmp_path / "plain")


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        find_scene(path, Trust(), Control())
    return str(error.value)


def a_name_that_leads_out(shelf: Shelf, file: ZipFile) -> None:
    file.writestr("../evil.tif", b"x")


def an_absolute_name(shelf: Shelf, file: ZipFile) -> None:
    file.writestr("/tmp/evil.tif", b"x")


def a_mask_that_is_a_vrt(shelf: Shelf, file: ZipFile) -> None:
    file.writestr("a_pan.tif.msk", VRT)


def overviews_that_are_a_vrt(shelf: Shelf, file: ZipFile) -> None:
    file.writestr("a_pan.tif.ovr", VRT)


def metadata_beside(shelf: Shelf, file: ZipFile) -> None:
    file.writestr("a_pan.tif.aux.xml", "<PAMDataset/>")


def a_large_text_beside(shelf: Shelf, file: ZipFile) -> None:
    file.writestr("a_pan.RPB", b" " * (17 * 2**20))


SPOILT: dict[Spoil, tuple[str, ...]] = {
    a_name_that_leads_out: ("'../evil.tif'", "leads out of the archive"),
    an_absolute_name: ("leads out of the archive",),
    a_mask_that_is_a_vrt: ("a_pan.tif.msk", "not read inside an archive"),
    overviews_that_are_a_vrt: ("a_pan.tif.ovr", "not read inside an archive"),
    metadata_beside: ("a_pan.tif.aux.xml", "not read inside an archive"),
    a_large_text_beside: ("a_pan.RPB", "more than 16 MB"),
}


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_what_an_archive_must_not_hold_is_named(spoil: Spoil, shelf: Shelf) -> None:
    message = refused(archive(shelf, spoil))
    assert not [words for words in SPOILT[spoil] if words not in message], message


def test_a_vrt_in_an_archive_is_not_opened(shelf: Shelf) -> None:
    def as_pan(_: Shelf, file: ZipFile) -> None:
        file.writestr("a_pan.tif", VRT)

    assert "not in a format that clippan reads" in refused(archive(shelf, as_pan, without="a_pan.tif"))


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK" + bytes(1000))
    assert "cannot be read as a zip archive" in refused(tmp_path / "x.zip")
    assert "cannot be read" in refused(tmp_path / "missing.zip")


def test_an_archive_that_lists_too_much_is_refused_before_its_list_is_read(tmp_path: Path) -> None:
    content = io.BytesIO()
    with ZipFile(content, "w") as file:
        file.writestr("a", b"a")
    data = bytearray(content.getvalue())
    end = data.rfind(b"PK\x05\x06")
    struct.pack_into("<HH", data, end + 8, MOST_MEMBERS + 1, MOST_MEMBERS + 1)
    (tmp_path / "many.zip").write_bytes(data)
    assert f"holds {MOST_MEMBERS + 1:,} files" in refused(tmp_path / "many.zip")


def test_names_in_an_archive_tell_where_they_are(shelf: Shelf) -> None:
    path = archive(shelf)
    name = str(name_in_zip(path, "a_ms.tif"))
    assert archive_of(name) == (path, "a_ms.tif") and archive_of(str(path)) is None
    assert set(members_of(path)) == {"a_ms.tif", "a_pan.tif"}
    with rasterio.open(name) as file:
        assert file.count == 4


def test_an_mtl_in_an_archive_names_its_members_alone(tmp_path: Path) -> None:
    product = Shelf(tmp_path / "product", tmp_path / "plain", 7)
    mtl = landsat(product)
    mtl.write_text(mtl.read_text().replace(f"{LANDSAT}_B4.TIF", str(tmp_path / "plain" / "ms.tif")))
    product.plain_pair()
    path = tmp_path / "product.zip"
    with ZipFile(path, "w") as file:
        for member in sorted(product.folder.iterdir()):
            file.write(member, member.name)
    assert "outside its folder" in refused(path)


def test_the_usual_names_of_gdal_are_read_too(shelf: Shelf) -> None:
    path = archive(shelf)
    with open_dataset(f"/vsizip/{path}/a_ms.tif", Trust()) as file:
        assert file.count == 4
    with pytest.raises(InputError, match="holds no file"):
        open_dataset(f"/vsizip/{path}/b.tif", Trust())


def test_a_brace_in_the_path_is_told(tmp_path: Path) -> None:
    braced = Shelf(tmp_path / "{a}", tmp_path / "plain")
    assert "has a brace in its path" in refused(archive(braced))


@pytest.mark.parametrize("href", ["/etc/hostname", "../../../../etc/hostname", "../plain/ms.tif", "missing.tif", "VRT"])
def test_a_dimap_in_an_archive_leads_to_its_members_alone(href: str, shelf: Shelf) -> None:
    pleiades(shelf)
    path = shelf.folder.with_suffix(".zip")
    with ZipFile(path, "w") as file:
        for member in sorted(shelf.folder.rglob("*P_2012*")):
            text = member.read_bytes()
            if member.suffix == ".XML":
                text = text.replace(b"IMG_PHR1A_P_201208130950012_ORT_IPU_00_R1C1.TIF", href.encode())
            file.writestr(str(member.relative_to(shelf.folder)), text)
        file.writestr("IMG_PHR1A_P_002_A/VRT", VRT)
    name = str(name_in_zip(path, "IMG_PHR1A_P_002_A/DIM_PHR1A_P_201208130950012_ORT_IPU_00.XML"))
    with pytest.raises(InputError, match=r"outside its archive|holds no file|not in a format"):
        open_dataset(name, Trust())
