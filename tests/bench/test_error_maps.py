"""Do error maps show where and by how many DN each method is wrong, in the same small part of any scene?"""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image

from clippan_cli.bench.error_maps import error_maps
from clippan_cli.bench.scenes import OpenScene
from clippan_cli.bench.task import bench
from clippan_cli.pages.pictures import viridis
from clippan_cli.running.control import Control
from clippan_cli.scene.files import SceneFiles
from tests.cli.conftest import PAN_PIXEL, Desk

SUITE = """
[[scene]]
name = "field"
synthetic = 7
side = 64

[[method]]
name = "exp"

[[method]]
name = "brovey"
"""
SIDE = 400
BUSY = (slice(200, 392), slice(8, 200))
"""Rows and columns of the one part of the large scene in which PAN is not flat."""


def test_all_maps_of_the_page_have_the_scale_of_the_legend(tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(SUITE)
    bench(tmp_path / "suite.toml", tmp_path / "bench")
    page = (tmp_path / "bench" / "bench.html").read_text()
    limit = float(re.findall(r"<span>([\d.]+) DN and more</span>", page)[0])
    with rasterio.open(tmp_path / "bench" / "scenes" / "field" / "truth.tif") as dataset:
        truth = dataset.read().astype(float)
    errors = {}
    for method in ("exp", "brovey"):
        with rasterio.open(tmp_path / "bench" / "runs" / "field" / method / "fused.tif") as dataset:
            errors[method] = np.abs(dataset.read() - truth).mean(0)
        found = re.findall(rf'<img src="([^"]*)" alt="Error map of {method} on field: mean ([\d.]+) DN"', page)
        assert [float(mean) for _, mean in found] == [pytest.approx(errors[method].mean(), rel=1e-2)]
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[0][0].partition(",")[2]))))
        assert (shown == viridis(errors[method], 0.0, limit)).all()
    brighter = np.mean([error > limit for error in errors.values()])
    assert 0 < brighter < 0.03


@pytest.fixture
def large(tmp_path: Path) -> tuple[Desk, OpenScene]:
    """A scene larger than a map, with its truth; PAN is flat but for one part."""
    desk = Desk(tmp_path)
    pan = np.full((1, SIDE, SIDE), 100, "uint16")
    pan[0][BUSY] += (40 * (np.indices((192, 192)).sum(0) % 2)).astype("uint16")
    truth = desk.raster("truth.tif", np.full((4, SIDE, SIDE), 100, "uint16"), transform=PAN_PIXEL)
    files = SceneFiles((desk.ms(side=SIDE // 4),), desk.pan(pixels=pan), reference=truth)
    return desk, OpenScene("large", files, {"sensor": "generic"})


def test_of_a_large_scene_the_part_with_the_most_contrast_is_shown(large: tuple[Desk, OpenScene]) -> None:
    desk, scene = large
    image = np.full((4, SIDE, SIDE), 100, "uint16")
    image[:, 300, 100] += np.array([1, 2, 3, 6], "uint16")
    left = PAN_PIXEL @ Affine.translation(0, 250)
    images = {
        "whole": Path(desk.raster("whole.tif", image, transform=PAN_PIXEL)),
        "lower part": Path(desk.raster("part.tif", image[:, 250:], transform=left)),
    }
    found = error_maps(scene, images, Control())
    assert found is not None
    whole, part = (each.values for each in found.images)
    assert whole.shape == part.shape == found.truth.pixels.shape[:2] == (192, 192)
    column, row = map(int, re.findall(r"column (\d+), row (\d+)", found.place)[0])
    assert abs(column - BUSY[1].start) <= 96 and abs(row - BUSY[0].start) <= 96
    assert [tuple(at) for at in np.argwhere(whole > 0)] == [(300 - row, 100 - column)] and whole.max() == 3
    outside = max(0, 250 - row)
    assert np.isnan(part[:outside]).all() and (part[outside:] == whole[outside:]).all()


def test_an_image_that_is_gone_costs_its_map_only(large: tuple[Desk, OpenScene]) -> None:
    desk, scene = large
    images = {"gone": desk.folder / "gone.tif", "there": desk.folder / "truth.tif"}
    notes: list[str] = []
    found = error_maps(scene, images, Control(on_note=notes.append))
    assert found is not None and [each.image for each in found.images] == ["there"]
    assert len(notes) == 1 and notes[0].startswith("large has no error map of gone: ") and "gone.tif" in notes[0]
