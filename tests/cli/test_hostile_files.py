"""Files from strangers: one costs no more than its own scene, and a small one neither hours nor all memory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from clippan_cli.batch.record import LARGEST_RECORD, Job, is_finished, read_record, with_key
from clippan_cli.rasters.bounds import (
    LARGEST_SIDECAR,
    LONGEST_NAME,
    LONGEST_TEXT,
    MOST_BANDS,
    MOST_PARTS,
    MOST_TAGS,
)
from clippan_cli.rasters.options import LARGEST_BLOCK, Trust
from clippan_cli.rasters.tiles import plan_tiles
from clippan_cli.running.control import Control
from clippan_cli.scene.files import PairTable, ReadOptions, SceneFiles
from clippan_cli.scene.pairs import find_pairs
from clippan_cli.scene.stac import MOST_FILES
from clippan_cli.scene.tables import MOST_ROWS
from clippan_cli.sharpening.options import SharpenOptions
from clippan_cli.tasks.batch import sharpen_scene
from clippan_cli.writing.options import OutputOptions
from clippan_models.errors import InputError
from clippan_models.outside import LARGEST_TEXT, LARGEST_TOML, MOST_VALUES, size_text
from tests.cli.conftest import MS_PIXEL, PAN_PIXEL, Desk, RunClippan, RunMain

SCENE_LOST, WEIGHTS, OUTPUT, INPUT, USAGE = 9, 7, 5, 3, 2
OPTIONS = ["--method", "exp", "--sensor", "generic", "--coregister", "off", "--no-quality", "-j", "1"]
DEEP = "[" * 100_000 + "]" * 100_000


pytestmark = pytest.mark.usefixtures("bounded")


def pair(desk: Desk, name: str, column: int = 0) -> str:
    """Write a pair beside all others; its MS."""
    place = Affine.translation(column * 1000, 0)
    desk.pan(f"{name}_pan.tif", transform=place @ PAN_PIXEL)
    return desk.ms(f"{name}_ms.tif", transform=place @ MS_PIXEL)


def write(desk: Desk, name: str, content: Any) -> str:
    path = Path(desk.path(name))
    path.write_bytes(content) if isinstance(content, bytes) else path.write_text(
        content if isinstance(content, str) else json.dumps(content)
    )
    return str(path)


def make_sparse(path: Path) -> None:
    """Make a file of 40 GB that takes no space."""
    path.touch()
    os.truncate(path, 40 * 2**30)


def gone(path: Path) -> Path:
    """A path at which there is nothing any more."""
    path.unlink()
    return path


def a_pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


# --- One scene of many ------------------------------------------------------------------------------------------------

Spoil = Callable[[str], object]
"""Spoils the scene of an MS."""


def beside(ending: str, content: bytes) -> Spoil:
    return lambda ms: Path(ms + ending).write_bytes(content)


SPOILED: dict[str, tuple[Spoil, str]] = {
    "crs": (beside(".aux.xml", b'<PAMDataset><SRS>LOCAL_CS["' + b"X" * 10**6 + b'"]</SRS></PAMDataset>'), "large"),
    "pipe": (lambda ms: os.mkfifo(ms + ".aux.xml"), "not a regular file"),
    "mask": (lambda ms: os.mkfifo(ms + ".msk"), "not a regular file"),
    "rpc": (lambda ms: os.mkfifo(ms.replace(".tif", "_RPC.TXT")), "not a regular file"),
    "zeros": (lambda ms: os.symlink("/dev/zero", ms + ".aux.xml"), "not a regular file"),
    "sparse": (lambda ms: make_sparse(Path(ms + ".aux.xml")), "16 MB"),
    "name": (
        beside(
            ".aux.xml",
            b'<PAMDataset><PAMRasterBand band="1"><Description>\xff</Description></PAMRasterBand></PAMDataset>',
        ),
        "not UTF-8",
    ),
    "words": (
        beside(".aux.xml", b'<PAMDataset><Metadata domain="RPC"><MDI key="LINE_OFF">w</MDI></Metadata></PAMDataset>'),
        "RPC",
    ),
}


@pytest.fixture
def archive(desk: Desk) -> Desk:
    """A good pair among pairs of which each is spoiled in another way."""
    pair(desk, "good")
    for number, (name, (spoil, _)) in enumerate(SPOILED.items(), start=1):
        spoil(pair(desk, name, number))
    return desk


def test_a_batch_makes_the_rest_and_names_what_is_lost(archive: Desk, run_main: RunMain) -> None:
    outcome = run_main(["batch", str(archive.folder), "-o", archive.path("results"), *OPTIONS])
    assert outcome.code == SCENE_LOST, outcome.stderr
    assert [path.name for path in Path(archive.path("results")).glob("*.tif")] == ["good.tif"]
    said = outcome.stdout.splitlines()
    for name, (_, words) in SPOILED.items():
        assert any(f"{name}_ms.tif" in line and words in line for line in said), (name, outcome.stdout)


def test_adapt_leaves_them_out(archive: Desk, run_main: RunMain) -> None:
    outcome = run_main(["adapt", str(archive.folder), "--dry-run", "-o", archive.path("w.safetensors")])
    assert outcome.code == 0 and "good: " in outcome.stdout and "unexpected" not in outcome.stdout, outcome.stderr


def asset(href: str, *bands: str) -> dict[str, Any]:
    return {"href": href, "eo:bands": [{"common_name": name} for name in bands]}


def item(name: str, ms: str, **more: Any) -> dict[str, Any]:
    ms_asset = {**asset(ms, "blue", "green", "red", "nir"), **more}
    return {"type": "Feature", "id": name, "assets": {"ms": ms_asset, "pan": asset("good_pan.tif", "pan")}}


def test_names_that_no_file_can_have_cost_their_scene(desk: Desk, run_main: RunMain) -> None:
    pair(desk, "good")
    os.mkfifo(desk.path("pipe.tif"))
    bad = {"nul": "a\0b.tif", "half": "\ud800.tif", "url": "file://[bad", "zero": "/dev/zero", "pipe": "pipe.tif"}
    items = [item("good", "good_ms.tif"), *(item(name, href) for name, href in bad.items())]
    catalogue = write(desk, "items.json", {"type": "FeatureCollection", "features": items})
    outcome = run_main(["batch", catalogue, "-o", desk.path("results"), *OPTIONS, "--json"])
    assert outcome.code == SCENE_LOST, outcome.stderr
    scenes = {scene["id"]: scene for scene in json.loads(outcome.stdout)["scenes"]}
    assert {name for name, scene in scenes.items() if scene["error"] is None} == {"good"}
    assert set(scenes) == {"good", *bad} and not [s for s in scenes.values() if "unexpected" in (s["error"] or "")]


def test_a_cell_with_a_nul_costs_its_scene(desk: Desk, run_main: RunMain) -> None:
    pair(desk, "good")
    table = write(desk, "t.csv", b"ms,pan,id\ngood_ms.tif,good_pan.tif,good\ngood\0_ms.tif,good_pan.tif,bad\n")
    outcome = run_main(["batch", table, "-o", desk.path("results"), *OPTIONS])
    assert outcome.code == SCENE_LOST and "bad: " in outcome.stdout, outcome.stderr
    assert [path.name for path in Path(desk.path("results")).glob("*.tif")] == ["good.tif"]


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda record: os.truncate(record, 40),
    "nested": lambda record: record.write_text(DEEP),
    "tampered": lambda record: record.write_text(record.read_text().replace("null", '{"QNR": "abc"}')),
    "a pipe": lambda record: os.mkfifo(gone(record)),
    "sparse": make_sparse,
    "a link to a pipe": lambda record: gone(record).symlink_to(a_pipe(record.with_name("pipe"))),
}


@pytest.fixture
def job(desk: Desk) -> Job:
    """The job to sharpen a good pair."""
    files = SceneFiles((pair(desk, "good"),), desk.path("good_pan.tif"), "good")
    options = SharpenOptions(desk.out, "exp", encoding=OutputOptions(driver="gtiff"), assess=False)
    return with_key(Job(files, ReadOptions(coregister="off"), options))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_record_heals(damage: Callable[[Path], object], job: Job) -> None:
    assert sharpen_scene(job, Control()).status == "done"
    damage(job.record)
    assert read_record(job) is None
    assert sharpen_scene(job, Control()).status == "done"
    assert is_finished(job, read_record(job))


@pytest.mark.parametrize("content", ["private", None], ids=["a file", "a pipe"])
def test_what_a_record_links_to_is_left_alone(content: str | None, desk: Desk, job: Job) -> None:
    theirs = Path(desk.path("theirs"))
    if content is None:
        os.mkfifo(theirs)
    else:
        theirs.write_text(content)
    job.record.parent.mkdir(parents=True)
    job.record.symlink_to(theirs)
    assert sharpen_scene(job, Control()).status == "done"
    assert theirs.is_fifo() if content is None else theirs.read_text() == content
    assert is_finished(job, read_record(job))


def test_beside_a_damaged_record_what_others_have_made_stays(desk: Desk, job: Job) -> None:
    theirs = Path(desk.pan("out/fused.tif"))
    job.record.parent.mkdir()
    job.record.write_text("{")
    before = theirs.read_bytes()
    assert "exists" in sharpen_scene(job, Control()).error
    assert theirs.read_bytes() == before


def test_a_folder_that_cannot_be_read_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch, run_main: RunMain) -> None:
    pair(desk, "good")
    locked = Path(desk.path("locked"))
    locked.mkdir()
    scandir = os.scandir

    def refuse(path: Any) -> Any:  # the tests may run as root, whom no mode keeps out
        if Path(path) == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    left_out = find_pairs(desk.folder, Trust(), Control()).left_out
    assert [(item.path, item.unpaired) for item in left_out] == [(str(locked), True)]
    assert "Permission denied" in left_out[0].reason


# --- Catalogues and tables --------------------------------------------------------------------------------------------


def found(desk: Desk, name: str) -> PairTable:
    return find_pairs(Path(desk.path(name)), Trust(), Control())


def test_catalogues_that_lead_to_each_other_are_read_once(desk: Desk) -> None:
    for number in range(8):
        links = [{"rel": "child", "href": f"c{number + 1}.json"}, {"rel": "child", "href": f"./c{number}.json"}] * 10
        write(desk, f"c{number}.json", {"type": "Catalog", "links": links})
    write(desk, "c8.json", item("one", "ms.tif"))
    assert [scene.id for scene in found(desk, "c0.json").pairs] == ["one"]


def test_a_catalogue_of_itself_has_no_pair(desk: Desk) -> None:
    write(
        desk,
        "c.json",
        {"type": "Catalog", "links": [{"rel": "self", "href": "c.json"}, {"rel": "child", "href": "c.json"}]},
    )
    with pytest.raises(InputError, match="holds no pair"):
        found(desk, "c.json")


def test_catalogues_below_the_bound_are_named(desk: Desk) -> None:
    for number in range(12):
        write(desk, f"c{number}.json", {"type": "Catalog", "links": [{"rel": "child", "href": f"c{number + 1}.json"}]})
    with pytest.raises(InputError, match=r"c8\.json: .*up to 8 below"):
        found(desk, "c0.json")


@pytest.mark.parametrize("kind", ["pipe", "zero", "deep", "words", "large"])
def test_a_link_that_cannot_be_read_costs_its_items(kind: str, desk: Desk) -> None:
    bad = Path(desk.path("bad.json"))
    if kind == "pipe":
        os.mkfifo(bad)
    elif kind == "zero":
        bad.symlink_to("/dev/zero")
    else:
        bad.write_text({"deep": DEEP, "words": "{no", "large": "[" + "0," * 5_000_000 + "0]"}[kind])
    write(desk, "good.json", item("good", "ms.tif"))
    links = [{"rel": "item", "href": name} for name in ("bad.json", "good.json")]
    write(desk, "c.json", {"type": "Catalog", "links": links})
    table = found(desk, "c.json")
    assert [scene.id for scene in table.pairs] == ["good"]
    assert [item.path for item in table.unpaired] == [str(bad)]


@pytest.mark.parametrize("where", ["links", "features"])
def test_what_is_no_list_holds_no_pair(where: str, desk: Desk) -> None:
    write(desk, "c.json", {"type": "Catalog" if where == "links" else "FeatureCollection", where: 5})
    with pytest.raises(InputError, match="holds no pair"):
        found(desk, "c.json")


@pytest.mark.parametrize("more", [{"eo:bands": 5}, {"roles": [["a"]]}, {"roles": 5}, {"href": {}}], ids=repr)
def test_an_item_of_other_types_costs_itself(more: dict[str, Any], desk: Desk) -> None:
    items = [item("good", "ms.tif"), item("bad", "ms.tif", **more)]
    write(desk, "c.json", {"type": "FeatureCollection", "features": items})
    assert found(desk, "c.json").pairs[0].id == "good"


def test_rows_of_one_name_take_no_square_of_the_time(desk: Desk) -> None:
    write(desk, "t.csv", "ms,pan,id\n" + "m.tif,p.tif,a\n" * 20_000)
    assert [scene.id for scene in found(desk, "t.csv").pairs][-2:] == ["a-19999", "a-20000"]


def test_a_table_with_too_many_rows_is_refused(desk: Desk) -> None:
    write(desk, "t.csv", "ms,pan\n" + "m,p\n" * 200_001)
    with pytest.raises(InputError, match="more than 200,000 lines"):
        found(desk, "t.csv")


# --- Rasters that hold much -------------------------------------------------------------------------------------------


def many_bands(desk: Desk) -> str:
    return desk.ms(pixels=np.ones((MOST_BANDS + 1, 16, 16), np.uint8))


def many_tags(desk: Desk) -> str:
    items = "".join(f'<MDI key="K{number}">v</MDI>' for number in range(MOST_TAGS + 1))
    write(desk, "ms.tif.aux.xml", f"<PAMDataset><Metadata>{items}</Metadata></PAMDataset>")
    return desk.ms()


def long_name(desk: Desk) -> str:
    ms = desk.ms()
    with rasterio.open(ms, "r+") as dataset:
        dataset.set_band_description(1, "B" * 2_000_000)
    return ms


def long_tag(desk: Desk) -> str:
    ms = desk.ms()
    with rasterio.open(ms, "r+") as dataset:
        dataset.update_tags(ACQUISITIONDATETIME="x" + " " * 2_000_000 + "x")
    return ms


def large_sidecar(desk: Desk) -> str:
    write(desk, "ms_RPC.TXT", b" " * (LARGEST_SIDECAR + 1))
    return desk.ms()


def sparse_raster(desk: Desk, name: str, side: int, **how: Any) -> str:
    """A raster of zeros that takes no space, in compressed blocks."""
    shape = {"driver": "GTiff", "width": side, "height": side, "count": 1, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(desk.path(name), "w", **shape, sparse_ok=True, compress="deflate", **how):
        pass
    return desk.path(name)


def large_block(desk: Desk) -> str:
    side = 16_400
    assert side * side > LARGEST_BLOCK
    return sparse_raster(desk, "ms.tif", side, tiled=True, blockxsize=side, blockysize=side, transform=MS_PIXEL)


MUCH: dict[Callable[[Desk], str], str] = {
    many_bands: "513 bands",
    many_tags: "tags; clippan reads up to 20,000",
    long_name: "2,000,000 characters",
    long_tag: "2,000,002 characters",
    large_sidecar: "16 MB",
    large_block: "TILED=YES",
}


@pytest.mark.parametrize("make", MUCH, ids=lambda make: make.__name__)
def test_more_than_the_bound_is_refused(make: Callable[[Desk], str], desk: Desk, run_main: RunMain) -> None:
    outcome = run_main(["info", make(desk), desk.pan()])
    assert outcome.code == INPUT and "ms.tif" in outcome.error_line and MUCH[make] in outcome.error_line, outcome.stderr


WHOLE, STRIPS = {"tiled": True, "blockxsize": 8_208, "blockysize": 8_208}, {"blockysize": 16}


@pytest.mark.parametrize(("layout", "ram", "code"), [(WHOLE, "256", INPUT), (WHOLE, "1024", 0), (STRIPS, "256", 0)])
def test_a_block_may_take_a_quarter_of_the_memory(
    layout: dict[str, Any], ram: str, code: int, desk: Desk, run_main: RunMain
) -> None:
    pan = sparse_raster(desk, "pan.tif", 8_208, transform=PAN_PIXEL, **layout)
    ms = sparse_raster(desk, "ms.tif", 2_052, transform=MS_PIXEL, tiled=True, blockxsize=2_064, blockysize=2_064)
    outcome = run_main(desk.sharpen("--dry-run", "--ram", ram, ms=ms, pan=pan))
    assert outcome.code == code, outcome.stderr
    if code:
        assert "pan.tif" in outcome.error_line and "TILED=YES" in outcome.error_line
        assert "8208x8208 pixels have 64 MB each, more than 64 MB (a quarter of --ram)" in outcome.error_line


def test_products_that_lead_to_each_other_are_read_once(desk: Desk, run_main: RunMain) -> None:
    for number in range(9):
        more = f'<Component><COMPONENT_PATH href="d{number + 1}.xml"/></Component>' * 10
        write(desk, f"d{number}.xml", f"<Dimap_Document>{more}</Dimap_Document>")
    write(desk, "d9.xml", "<Dimap_Document/>")
    assert run_main(["info", desk.ms(), desk.path("d0.xml")]).code == INPUT


def test_pipes_and_sockets_of_others_in_the_folder_do_no_harm(desk: Desk, run_main: RunMain) -> None:
    for name in ("agent", "other_ms.tif.aux.xml", "notes.txt", "pandora.xml", "pan_log.txt"):
        os.mkfifo(desk.path(name))
    assert run_main(["info", desk.ms(), desk.pan()]).code == 0


# --- What a user names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("option", "name", "code"), [("--sensor", "s.toml", USAGE), ("--aoi", "a.json", INPUT)])
@pytest.mark.parametrize("kind", ["pipe", "zero", "deep", "large"])
def test_a_file_that_is_no_text_is_refused(
    option: str, name: str, code: int, kind: str, desk: Desk, run_main: RunMain
) -> None:
    path = Path(desk.path(name))
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    elif kind == "deep":
        path.write_text(("a = " if code == USAGE else "") + "[" * 20_000 + "]" * 20_000)
    else:
        make_sparse(path)
    outcome = run_main(desk.sharpen("--dry-run", option, str(path)))
    assert outcome.code == code and name in outcome.error_line, outcome.stderr


def test_words_of_gdal_in_another_encoding_show_no_traceback(desk: Desk, run_clippan: RunClippan) -> None:
    write(desk, "ms.xml", "<Metadata><卫星>GF2</Satellite></Metadata>".encode("gbk"))
    outcome = run_clippan(["info", desk.ms(), desk.pan(), "--sensor", "generic"])
    assert (outcome.code, outcome.notes) == (0, []), outcome.stderr


@pytest.mark.parametrize(
    ("command", "code", "reason"),
    [
        (["models", "convert", "pipe", "ours.safetensors", "--backbone", "pnn", "--trust"], WEIGHTS, "regular file"),
        (["info", "ms.tif", "pan.tif", "--log-file", "pipe"], OUTPUT, "nobody reads this pipe"),
    ],
)
def test_no_pipe_is_waited_for(
    command: list[str], code: int, reason: str, desk: Desk, run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk.folder)
    os.mkfifo("pipe")
    outcome = run_main(command)
    assert outcome.code == code and "pipe" in outcome.error_line and reason in outcome.error_line, outcome.stderr


def test_a_log_can_go_through_a_pipe(desk: Desk, run_main: RunMain) -> None:
    pipe = a_pipe(Path(desk.path("pipe")))
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert run_main(["info", desk.ms(), desk.pan(), "--log-file", str(pipe)]).code == 0
    assert b"clippan info" in os.read(reader, 2**16)
    os.close(reader)


def test_the_bounds_are_stated() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "security.md").read_text()
    sizes = [LARGEST_TEXT, LARGEST_RECORD, LARGEST_TOML, LARGEST_BLOCK, LARGEST_SIDECAR]
    counts = [MOST_VALUES, MOST_ROWS, MOST_FILES, MOST_BANDS, MOST_PARTS, MOST_TAGS, LONGEST_NAME, LONGEST_TEXT]
    stated = [size_text(size) for size in sizes] + [f"{count:,}" for count in counts]
    assert [text for text in stated if f"| {text}" not in page] == []


# --- Changed meanwhile ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["touched", "replaced", "sidecar"])
def test_an_input_that_changes_meanwhile_is_told(
    how: str, desk: Desk, run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    ms, pan = desk.ms(), desk.pan()
    Path(f"{pan}.aux.xml").write_text("<PAMDataset/>")

    def change(*arguments: Any) -> Any:
        if how == "replaced":
            content = Path(pan).read_bytes()
            Path(pan).unlink()
            Path(pan).write_bytes(content)
        else:
            os.utime(pan if how == "touched" else f"{pan}.aux.xml", (1, 1))
        return plan_tiles(*arguments)

    monkeypatch.setattr("clippan_cli.sharpening.fuse.plan_tiles", change)
    outcome = run_main(desk.sharpen(ms=ms, pan=pan))
    assert outcome.code == INPUT and "was changed while it was read" in outcome.error_line
    assert list(desk.out.parent.iterdir()) == []
