"""Can a package bring a reader of its own, and does one that is broken cost nothing but a note?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clippan_cli.products.finding import find_scene, find_scenes
from clippan_cli.products.registry import readers
from clippan_cli.rasters.options import Trust
from clippan_cli.running.control import Control
from tests.products.deliveries import MS_PIXEL, PAN_PIXEL, Shelf

READER = """
from clippan_cli.products.product import Product
from clippan_cli.rasters.options import Declared


class Acme:
    kind = "Acme"
    is_whole = True

    def recognises(self, path):
        return path.suffix == ".acme"

    def read(self, path, pairs_of):
        sharp, pan = (path.parent / name for name in path.read_text().split())
        names = Declared(names=("blue", "green", "red", "nir"))
        return Product(self.kind, path, (sharp,), (pan,), id=path.stem, sensor="pleiades", ms_declared=names).table
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package whose entry points are named in its folder."""
    site = tmp_path / "site"
    about = site / "acme-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (site / "acme_products.py").write_text(READER)
    monkeypatch.syspath_prepend(site)
    readers.cache_clear()
    yield about / "entry_points.txt"
    readers.cache_clear()


def test_a_reader_of_another_package_is_used(install: Path, tmp_path: Path) -> None:
    install.write_text("[clippan.products]\nacme = acme_products:Acme\n")
    shelf = Shelf(tmp_path / "archive", tmp_path / "plain")
    shelf.raster("one.dat.tif", shelf.ms, MS_PIXEL)
    shelf.raster("two.dat.tif", shelf.pan, PAN_PIXEL)
    scene = find_scene(shelf.text("scene.acme", "one.dat.tif two.dat.tif"), Trust(), Control())
    assert ([Path(name).name for name in scene.names], scene.id) == (["one.dat.tif", "two.dat.tif"], "scene")
    assert scene.sensor == "pleiades" and scene.ms_declared.names[0] == "blue"
    (found,) = find_scenes(shelf.folder, Trust(), Control()).pairs
    assert found.reason == "Acme product, scene.acme"


def test_a_broken_reader_is_noted(install: Path, tmp_path: Path) -> None:
    install.write_text("[clippan.products]\nbroken = acme_products:Missing\n")
    shelf = Shelf(tmp_path / "archive", tmp_path / "plain")
    shelf.pair("x_ms.tif", "x_pan.tif")
    notes: list[str] = []
    assert find_scene(shelf.folder, Trust(), Control(on_note=notes.append)).id == "x"
    assert notes[0].startswith("the product reader broken (acme_products:Missing) cannot be used")
