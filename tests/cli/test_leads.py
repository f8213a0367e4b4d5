"""What lies beside or behind an input is read with the same care as the input, and nothing is fetched for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling

import clippan
from tests.cli.conftest import PAN_SIDE, Desk, RunClippan, RunMain

INPUT = 3

Spoil = Callable[[Desk, str], str]
"""Puts something beside or behind the PAN of a desk, given the address of a server; the PAN to name."""

SECRET = b"what nobody but the owner may read; " * 400


@pytest.fixture
def requests(tmp_path: Path) -> Iterator[list[str]]:
    """What was asked of a server of the files of the desk; the first entry is its address."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def send_head(self) -> Any:
            asked.append(self.path)
            return super().send_head()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
    asked.append(f"http://127.0.0.1:{server.server_port}")
    Thread(target=server.serve_forever, daemon=True).start()
    yield asked
    server.shutdown()
    server.server_close()


def wms(address: str) -> str:
    """A document by which GDAL fetches an image of the size of PAN."""
    return (
        f'<GDAL_WMS><Service name="TMS"><ServerUrl>{address}/${{z}}/${{x}}/${{y}}.png</ServerUrl></Service>'
        "<DataWindow><UpperLeftX>0</UpperLeftX><UpperLeftY>1</UpperLeftY><LowerRightX>1</LowerRightX>"
        f"<LowerRightY>0</LowerRightY><SizeX>{PAN_SIDE}</SizeX><SizeY>{PAN_SIDE}</SizeY><TileLevel>0</TileLevel>"
        "</DataWindow><BlockSizeX>64</BlockSizeX><BlockSizeY>64</BlockSizeY><BandsCount>1</BandsCount></GDAL_WMS>"
    )


def vrt(source: str, dtype: str = "UInt16", metadata: str = "") -> str:
    simple = f'<SimpleSource><SourceFilename relativeToVRT="0">{source}</SourceFilename></SimpleSource>'
    band = f'<VRTRasterBand dataType="{dtype}" band="1">{simple}</VRTRasterBand>'
    return f'<VRTDataset rasterXSize="{PAN_SIDE}" rasterYSize="{PAN_SIDE}">{metadata}{band}</VRTDataset>'


def raw(path: str) -> str:
    """A VRT that takes the bytes of any file as pixels."""
    band = f"<SourceFilename>{path}</SourceFilename><PixelOffset>2</PixelOffset><LineOffset>{2 * PAN_SIDE}</LineOffset>"
    band = f'<VRTRasterBand dataType="UInt16" band="1" subClass="VRTRawRasterBand">{band}</VRTRasterBand>'
    return f'<VRTDataset rasterXSize="{PAN_SIDE}" rasterYSize="{PAN_SIDE}">{band}</VRTDataset>'


def dimap(href: str) -> str:
    place = "<ULXMAP>500000</ULXMAP><ULYMAP>5400000</ULYMAP><XDIM>0.5</XDIM><YDIM>0.5</YDIM>"
    return (
        '<Dimap_Document><Metadata_Id><METADATA_FORMAT version="1.1">DIMAP</METADATA_FORMAT></Metadata_Id>'
        "<Coordinate_Reference_System><Horizontal_CS><HORIZONTAL_CS_CODE>epsg:32633</HORIZONTAL_CS_CODE>"
        "</Horizontal_CS></Coordinate_Reference_System>"
        f"<Geoposition><Geoposition_Insert>{place}</Geoposition_Insert></Geoposition>"
        f"<Raster_Dimensions><NCOLS>{PAN_SIDE}</NCOLS><NROWS>{PAN_SIDE}</NROWS><NBANDS>1</NBANDS></Raster_Dimensions>"
        f'<Data_Access><Data_File><DATA_FILE_PATH href="{href}"/></Data_File></Data_Access></Dimap_Document>'
    )


def dimap2(href: str) -> str:
    shape = f"<NROWS>{PAN_SIDE}</NROWS><NCOLS>{PAN_SIDE}</NCOLS><NBANDS>1</NBANDS>"
    file = f'<Data_File tile_R="1" tile_C="1"><DATA_FILE_PATH href="{href}"/></Data_File>'
    return (
        '<Dimap_Document><Metadata_Identification><METADATA_FORMAT version="2.0">DIMAP</METADATA_FORMAT>'
        f"</Metadata_Identification><Raster_Data><Data_Access><Data_Files>{file}</Data_Files></Data_Access>"
        f"<Raster_Dimensions>{shape}</Raster_Dimensions></Raster_Data></Dimap_Document>"
    )


def volume(href: str) -> str:
    component = f'<Component><COMPONENT_TYPE>DIMAP</COMPONENT_TYPE><COMPONENT_PATH href="{href}"/></Component>'
    return (
        '<Dimap_Document><Metadata_Identification><METADATA_FORMAT version="2.0">DIMAP</METADATA_FORMAT>'
        f"</Metadata_Identification><Dataset_Content><Dataset_Components>{component}</Dataset_Components>"
        "</Dataset_Content></Dimap_Document>"
    )


def write(desk: Desk, name: str, text: str) -> str:
    Path(desk.path(name)).parent.mkdir(exist_ok=True)
    Path(desk.path(name)).write_text(text)
    return desk.path(name)


def secret(desk: Desk) -> str:
    Path(desk.path("elsewhere")).mkdir()
    Path(desk.path("elsewhere/secret.bin")).write_bytes(SECRET)
    return desk.path("elsewhere/secret.bin")


MASK_FLAGS = '<Metadata><MDI key="INTERNAL_MASK_FLAGS_1">2</MDI></Metadata>'


def dimap_of_a_vrt(desk: Desk, address: str) -> str:
    write(desk, "v.tif", raw(secret(desk)))
    return write(desk, "pan.dim", dimap("v.tif"))


def dimap_of_a_file_outside(desk: Desk, address: str) -> str:
    desk.pan()
    return write(desk, "product/pan.dim", dimap("../pan.tif"))


def dimap_of_another_format(desk: Desk, address: str) -> str:
    desk.raster("pan.bmp", desk.pixels(1, PAN_SIDE, "uint8"), driver="BMP", crs=None)
    return write(desk, "pan.dim", dimap("pan.bmp"))


def dimap_of_a_server(desk: Desk, address: str) -> str:
    write(desk, "w.tif", wms(address))
    return write(desk, "pan.dim", dimap("w.tif"))


def dimap_2_of_a_vrt(desk: Desk, address: str) -> str:
    write(desk, "IMG/v.tif", raw(secret(desk)))
    write(desk, "IMG/DIM_PAN.XML", dimap2("v.tif"))
    return write(desk, "VOL_PAN.XML", volume("IMG/DIM_PAN.XML"))


def mask_that_is_a_vrt(desk: Desk, address: str) -> str:
    pan = desk.pan()
    half = np.full((1, PAN_SIDE, PAN_SIDE), 255, np.uint8)
    half[:, :, : PAN_SIDE // 2] = 0
    other = desk.raster("other.tif", half)
    write(desk, "pan.tif.msk", vrt(other, "Byte", MASK_FLAGS))
    return pan


def pan_beside(desk: Desk, name: str, text: str) -> str:
    """PAN with a file of this name and text beside it."""
    pan = desk.pan()
    write(desk, name, text)
    return pan


def mask_of_a_server(desk: Desk, address: str) -> str:
    return pan_beside(desk, "pan.tif.msk", vrt(f"{address}/mask.tif", "Byte", MASK_FLAGS))


def mask_that_is_a_wms(desk: Desk, address: str) -> str:
    return pan_beside(desk, "pan.tif.msk", wms(address))


def mask_in_capitals_that_is_a_vrt(desk: Desk, address: str) -> str:
    pan = mask_that_is_a_vrt(desk, address)
    Path(f"{pan}.msk").rename(f"{pan}.Msk")
    return pan


def mask_that_links_to_another_folder(desk: Desk, address: str) -> str:
    there = desk.raster("mask.tif", np.zeros((1, PAN_SIDE, PAN_SIDE), np.uint8))
    Path(desk.path("product")).mkdir()
    pan = desk.pan("product/pan.tif")
    Path(f"{pan}.msk").symlink_to(there)
    return pan


def overviews_that_are_a_wms(desk: Desk, address: str) -> str:
    return pan_beside(desk, "pan.tif.ovr", wms(address))


def overviews_of_overviews_that_are_a_wms(desk: Desk, address: str) -> str:
    pan = desk.pan()
    desk.pan("pan.tif.ovr", side=PAN_SIDE // 2)
    write(desk, "pan.tif.ovr.ovr", wms(address))
    return pan


def _named(overviews: str) -> str:
    item = f'<MDI key="OVERVIEW_FILE">{overviews}</MDI>'
    return f'<PAMDataset><Metadata domain="OVERVIEWS">{item}</Metadata></PAMDataset>'


def overviews_named_on_a_server(desk: Desk, address: str) -> str:
    return pan_beside(desk, "pan.tif.aux.xml", _named(f"{address}/pan.ovr"))


def overviews_named_in_a_wms(desk: Desk, address: str) -> str:
    write(desk, "w.xml", wms(address))
    return pan_beside(desk, "pan.tif.aux.xml", _named(":::BASE:::w.xml"))


def overviews_named_in_the_tags(desk: Desk, address: str) -> str:
    pan = desk.pan()
    with rasterio.open(pan, "r+") as dataset:
        dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"{address}/pan.ovr")
    return pan


def overviews_named_outside(desk: Desk, address: str) -> str:
    Path(desk.path("product")).mkdir()
    desk.pan(side=PAN_SIDE // 2)
    write(desk, "product/pan.tif.aux.xml", _named(":::BASE:::../pan.tif"))
    return desk.pan("product/pan.tif")


def pcidsk(desk: Desk, file: str, link: bool) -> str:
    """A PCIDSK file whose channel is that of another raster, or lies as plain pixels in another file."""
    pan = Path(desk.pan("pan.pix", driver="PCIDSK", INTERLEAVING="FILE"))
    content = bytearray(pan.read_bytes())
    channel = (int(content[336:352]) - 1) * 512
    content[channel + 64 : channel + 128] = file.encode().ljust(64)
    content[channel + 250 : channel + 258] = b"1".rjust(8) if link else b" " * 8
    pan.write_bytes(content)
    return str(pan)


def pcidsk_that_links_to_a_raster(desk: Desk, address: str) -> str:
    desk.raster("other.bmp", desk.pixels(1, PAN_SIDE, "uint8"), driver="BMP", crs=None)
    return pcidsk(desk, "other.bmp", link=True)


def pcidsk_that_links_to_a_server(desk: Desk, address: str) -> str:
    write(desk, "w.tif", wms(address))
    return pcidsk(desk, "w.tif", link=True)


def pcidsk_of_a_file_outside(desk: Desk, address: str) -> str:
    Path(desk.path("product")).mkdir()
    pan = Path(pcidsk(desk, "../elsewhere/secret.bin", link=False))
    secret(desk)
    return str(pan.rename(desk.path("product/pan.pix")))


def imagine_of_a_file_outside(desk: Desk, address: str) -> str:
    """An ERDAS Imagine file of which only the second band, unlisted by GDAL, lies outside."""
    Path(desk.path("product")).mkdir()
    name = "long" * 10
    pan = Path(desk.pan(f"product/{name}.img", bands=2, driver="HFA", USE_SPILL="YES"))
    shutil.copy(desk.path(f"product/{name}.ige"), desk.path("secret.ige"))
    name_of_spill = f"{name}.ige".encode()
    first, second, rest = pan.read_bytes().split(name_of_spill)
    pan.write_bytes(first + name_of_spill + second + b"../secret.ige".ljust(len(name_of_spill), b"\0") + rest)
    return str(pan)


def nitf_with_overviews_that_are_a_wms(desk: Desk, address: str) -> str:
    write(desk, "pan.ntf.r1", wms(address))
    return desk.pan("pan.ntf", driver="NITF", crs=None, transform=None)


RECIPES: dict[Spoil, tuple[str, ...]] = {
    dimap_of_a_vrt: ("pan.dim", "v.tif", "VRT", "--allow-vrt"),
    dimap_of_a_file_outside: ("pan.dim", "../pan.tif", "outside"),
    dimap_of_another_format: ("pan.dim", "pan.bmp", "not in a format"),
    dimap_of_a_server: ("pan.dim", "w.tif", "not in a format"),
    dimap_2_of_a_vrt: ("VOL_PAN.XML", "v.tif", "VRT", "--allow-vrt"),
    mask_that_is_a_vrt: ("pan.tif.msk", "VRT", "--allow-vrt"),
    mask_of_a_server: ("pan.tif.msk", "VRT", "--allow-vrt"),
    mask_that_is_a_wms: ("pan.tif.msk", "not in a format"),
    mask_in_capitals_that_is_a_vrt: ("pan.tif.Msk", "VRT", "--allow-vrt"),
    mask_that_links_to_another_folder: ("pan.tif.msk", "outside"),
    overviews_that_are_a_wms: ("pan.tif.ovr", "not in a format"),
    overviews_of_overviews_that_are_a_wms: ("pan.tif.ovr.ovr", "not in a format"),
    overviews_named_on_a_server: ("pan.ovr", "--allow-remote"),
    overviews_named_in_a_wms: ("w.xml", "not in a format"),
    overviews_named_in_the_tags: ("pan.ovr", "--allow-remote"),
    overviews_named_outside: ("../pan.tif", "outside"),
    pcidsk_that_links_to_a_raster: ("pan.pix", "links to other rasters"),
    pcidsk_that_links_to_a_server: ("pan.pix", "links to other rasters"),
    pcidsk_of_a_file_outside: ("pan.pix", "secret.bin", "outside"),
    imagine_of_a_file_outside: (".img", "outside"),
    nitf_with_overviews_that_are_a_wms: ("pan.ntf.r1", "not in a format"),
}


def named(spoil: Spoil) -> str:
    return spoil.__name__


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("spoil", RECIPES, ids=named)
def test_what_must_not_be_read_is_named_and_not_fetched(
    spoil: Spoil, desk: Desk, requests: list[str], run_main: RunMain
) -> None:
    pan = spoil(desk, requests[0])
    before = desk.contents()
    outcome = run_main(["info", desk.ms(), pan])
    assert outcome.code == INPUT, outcome.stderr
    assert not [words for words in RECIPES[spoil] if words not in outcome.error_line], outcome.error_line
    assert len(requests) == 1
    assert {name: content for name, content in desk.contents().items() if name in before} == before


@pytest.mark.parametrize("command", ["sharpen", "dry run", "info", "assess", "adapt", "batch"])
def test_every_command_refuses_it(command: str, desk: Desk, requests: list[str], run_main: RunMain) -> None:
    ms, pan, out = desk.ms(), mask_that_is_a_wms(desk, requests[0]), str(desk.out)
    table = write(desk, "pairs.csv", f"ms,pan\n{ms},{pan}\n")
    arguments = {
        "sharpen": desk.sharpen(ms=ms, pan=pan),
        "dry run": desk.sharpen("--dry-run", ms=ms, pan=pan),
        "info": ["info", ms, pan],
        "assess": ["assess", pan, "--ms", ms, "--pan", pan],
        "adapt": ["adapt", table, "-o", desk.path("weights.safetensors"), "--steps", "1"],
        "batch": ["batch", table, "-o", desk.path("results"), "--method", "exp"],
    }
    outcome = run_main(arguments[command])
    said = outcome.stdout + outcome.stderr + "".join(p.read_text() for p in Path(desk.folder).rglob("results/*.json*"))
    assert outcome.code == (9 if command == "batch" else INPUT), outcome.stderr
    assert "pan.tif.msk" in said and len(requests) == 1 and not Path(out).exists()


@pytest.mark.parametrize(("allowed", "left"), [((), {"GTiff"}), (("--allow-remote",), {"GTiff", "WMS", "HTTP"})])
def test_a_process_of_clippan_has_no_driver_that_fetches(allowed: tuple[str, ...], left: set[str], desk: Desk) -> None:
    script = (
        "import rasterio; from clippan_cli.main import main\n"
        "try: main()\n"
        "finally:\n"
        "    with rasterio.Env() as env: print(*{'WMS', 'HTTP', 'GTiff'} & {*env.drivers()})"
    )
    command = [sys.executable, "-c", script, "info", desk.ms(), desk.pan(), *allowed]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and all(line.startswith("warning: ") for line in done.stderr.splitlines())
    assert set(done.stdout.splitlines()[-1].split()) == left


@pytest.mark.parametrize(
    "spoil",
    [dimap_of_a_server, overviews_named_on_a_server, pcidsk_that_links_to_a_server, nitf_with_overviews_that_are_a_wms],
    ids=named,
)
def test_python_programs_fetch_nothing_though_they_have_the_drivers(
    spoil: Spoil, desk: Desk, requests: list[str]
) -> None:
    with rasterio.Env() as env:
        assert {"WMS", "HTTP"} <= {*env.drivers()}
    with pytest.raises(clippan.InputError):
        clippan.sharpen(desk.ms(), spoil(desk, requests[0]), desk.out, method="exp")
    assert len(requests) == 1 and not desk.out.exists()


def test_the_workers_of_a_batch_have_none_either(desk: Desk, requests: list[str], run_clippan: RunClippan) -> None:
    pan = overviews_that_are_a_wms(desk, requests[0])
    table = write(desk, "pairs.csv", f"ms,pan\n{desk.ms()},{pan}\n")
    outcome = run_clippan(["batch", table, "-o", desk.path("results"), "--method", "exp", "--workers", "2"])
    assert outcome.code == 9 and "pan.tif.ovr" in outcome.stdout + outcome.stderr, outcome
    assert len(requests) == 1


# --- What stays as it was ---------------------------------------------------------------------------------------------


def test_a_mask_and_overviews_beside_the_input_are_used(desk: Desk, run_main: RunMain) -> None:
    pan = desk.pan()
    half = np.full((PAN_SIDE, PAN_SIDE), 255, np.uint8)
    half[:, : PAN_SIDE // 2] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False, TIFF_USE_OVR=True), rasterio.open(pan, "r+") as dataset:
        dataset.write_mask(half)
        dataset.build_overviews([2, 4], Resampling.average)
    write(desk, "pan.tif.aux.xml", "<PAMDataset><Metadata><MDI key='SENSING'>2020</MDI></Metadata></PAMDataset>")
    write(desk, "pan.tfw", "0.5\n0\n0\n-0.5\n500000.25\n5399999.75\n")
    write(desk, "pan.IMD", 'version = "R";\nnumRows = 64;\nEND;\n')
    assert Path(f"{pan}.msk").exists() and Path(f"{pan}.ovr").exists()
    assert run_main(desk.sharpen(pan=pan)).code == 0
    with rasterio.open(desk.out) as fused:
        assert (fused.dataset_mask() == half).all()


@pytest.mark.parametrize("farm", [False, True], ids=["an image", "links to all of its files"])
def test_an_input_may_be_a_link(farm: bool, desk: Desk, run_main: RunMain) -> None:
    Path(desk.path("archive")).mkdir()
    Path(desk.path("links")).mkdir()
    desk.pan("archive/pan.tif")
    desk.pan("archive/pan.tif.ovr", side=PAN_SIDE // 2)
    for name in ("pan.tif", "pan.tif.ovr")[: 2 if farm else 1]:
        Path(desk.path(f"links/{name}")).symlink_to(desk.path(f"archive/{name}"))
    assert run_main(["info", desk.ms(), desk.path("links/pan.tif")]).code == 0


def test_products_of_dimap_are_read_with_their_own_image(desk: Desk, run_main: RunMain) -> None:
    Path(desk.path("IMG")).mkdir()
    desk.pan("IMG/pan.tif")
    write(desk, "pan.dim", dimap("IMG/pan.tif"))
    write(desk, "IMG/DIM_PAN.XML", dimap2("PAN.tif"))
    write(desk, "VOL_PAN.XML", volume("IMG/DIM_PAN.XML"))
    ms = desk.ms()
    for name in ("pan.dim", "IMG/DIM_PAN.XML", "VOL_PAN.XML"):
        outcome = run_main(["info", ms, desk.path(name)])
        assert outcome.code == 0, outcome.stderr


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("pan.pix", {"driver": "PCIDSK", "INTERLEAVING": "FILE"}),
        ("pan.pix", {"driver": "PCIDSK", "INTERLEAVING": "TILED"}),
        ("pan.pix", {"driver": "PCIDSK"}),
        ("pan.img", {"driver": "HFA", "USE_SPILL": "YES"}),
        ("pan.img", {"driver": "HFA"}),
    ],
    ids=lambda how: " ".join(how.values()) if isinstance(how, dict) else "",
)
def test_formats_that_may_link_are_read_where_they_do_not(
    name: str, how: dict[str, Any], desk: Desk, run_main: RunMain
) -> None:
    pan = desk.pan(name, **how)
    with rasterio.open(pan, "r+") as dataset, rasterio.Env(HFA_USE_RRD="YES"):
        dataset.build_overviews([2], Resampling.average)
    assert run_main(["info", desk.ms(), pan]).code == 0


def test_the_overviews_of_nitf_are_used(desk: Desk, run_main: RunMain) -> None:
    pan = desk.pan("pan.ntf", driver="NITF", ICORDS="N")
    desk.pan("pan.ntf.r1", driver="NITF", ICORDS="N", side=PAN_SIDE // 2)
    assert run_main(["info", desk.ms(), pan]).code == 0


def test_a_vrt_beside_the_input_is_used_where_allowed(desk: Desk, run_main: RunMain) -> None:
    pan = mask_that_is_a_vrt(desk, "")
    assert run_main(desk.sharpen("--allow-vrt", pan=pan)).code == 0
    with rasterio.open(desk.out) as fused:
        valid = fused.dataset_mask()
    assert valid[:, PAN_SIDE // 2 :].all() and not valid[:, : PAN_SIDE // 2].any()


def test_a_vrt_that_is_allowed_still_fetches_nothing(desk: Desk, requests: list[str], run_main: RunMain) -> None:
    outcome = run_main(["info", "--allow-vrt", desk.ms(), mask_of_a_server(desk, requests[0])])
    assert outcome.code == INPUT and "--allow-remote" in outcome.error_line
    assert len(requests) == 1


def test_remote_overviews_are_asked_for_where_allowed(desk: Desk, requests: list[str], run_main: RunMain) -> None:
    desk.pan("pan.ovr", driver="GTiff", side=PAN_SIDE // 2)
    outcome = run_main(["info", "--allow-remote", desk.ms(), overviews_named_on_a_server(desk, requests[0])])
    assert outcome.code == 0, outcome.stderr
    assert "/pan.ovr" in requests
