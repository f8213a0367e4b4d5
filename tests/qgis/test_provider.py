"""The algorithms, run by QGIS."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform_bounds

from clippan_cli.scene.synthetic import DemoScene
from tests.conftest import Bench
from tests.qgis.conftest import Qgis

pytestmark = pytest.mark.slow

IN_QGIS = Path(__file__).with_name("in_qgis.py")


@pytest.fixture
def pair(bench: Bench, town: DemoScene) -> dict[str, str]:
    ms, pan = bench.write_demo(town)
    for name, path in (("ms.tif", ms), ("pan.tif", pan)):
        Path(path).rename(bench.folder / name)
    return {"MS": str(bench.folder / "ms.tif"), "PAN": str(bench.folder / "pan.tif")}


def run(qgis: Qgis, name: str, parameters: dict[str, str], **environ: str) -> subprocess.CompletedProcess[str]:
    return qgis.process("run", f"clippan:{name}", *(f"--{key}={value}" for key, value in parameters.items()), **environ)


def in_qgis(qgis: Qgis, test: str, folder: Path) -> dict[str, Any]:
    done = qgis.python(str(IN_QGIS), test, str(folder))
    if "No module named 'qgis'" in done.stderr:
        pytest.skip("the Python of the system has no qgis")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_one_algorithm_for_each_command(qgis: Qgis) -> None:
    listed = qgis.process("list").stdout
    assert re.findall(r"clippan:(\w+)\t", listed) == ["assess", "batch", "info", "sharpen"]


def test_sharpen_writes_what_the_command_writes(
    qgis: Qgis, pair: dict[str, str], program: Path, tmp_path: Path
) -> None:
    with rasterio.open(pair["PAN"]) as pan:
        left, bottom, right, top = pan.bounds
        utm = (left + 16, bottom + 16, right - 16, top - 16)
        west, south, east, north = transform_bounds(pan.crs, "EPSG:4326", *utm)
    output, plain = tmp_path / "out.tif", tmp_path / "plain.tif"
    chosen = {"METHOD": "gsa", "QUALITY": "false", "EXTENT": f"{west},{east},{south},{north} [EPSG:4326]"}
    more = {"ARGUMENTS": "--of gtiff --coregister off", "THREADS": "1", "BANDS": "2", "OUTPUT": str(output)}
    done = run(qgis, "sharpen", pair | chosen | more)
    assert done.returncode == 0, done.stderr
    assert "grid: " in done.stdout and "100 - done." in done.stdout
    with rasterio.open(output) as image:
        box = image.bounds
        assert np.allclose(box, utm, atol=2)
        bbox = ",".join(str(value) for value in box)
        options = ["--bands=2", f"--bbox={bbox}", "--no-quality", "--of=gtiff", "--coregister=off", "--threads=1"]
        subprocess.run([program, "sharpen", pair["MS"], pair["PAN"], "-o", plain, "--method=gsa", *options], check=True)
        with rasterio.open(plain) as other:
            assert other.transform == image.transform
            assert (other.read() == image.read()).all()


def test_a_mistake_is_one_line(qgis: Qgis, pair: dict[str, str], tmp_path: Path) -> None:
    swapped = {"MS": pair["PAN"], "PAN": pair["MS"], "METHOD": "gsa", "OUTPUT": str(tmp_path / "out.tif")}
    done = run(qgis, "sharpen", swapped)
    assert done.returncode != 0
    errors = [line for line in done.stdout.splitlines() + done.stderr.splitlines() if line.startswith("ERROR")]
    assert len(errors) == 1 and errors[0].endswith("were MS and PAN swapped? the order is MS, then PAN")
    assert not (tmp_path / "out.tif").exists()


def test_without_clippan_it_says_where_to_name_it(qgis: Qgis, pair: dict[str, str], tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    done = run(qgis, "info", pair | {"OUTPUT": str(tmp_path / "info.html")}, CLIPPAN_EXECUTABLE=missing)
    assert done.returncode != 0
    assert f"CLIPPAN_EXECUTABLE names {missing}, which does not exist" in done.stdout + done.stderr


def test_info_makes_a_page(qgis: Qgis, pair: dict[str, str], tmp_path: Path) -> None:
    page = tmp_path / "info.html"
    done = run(qgis, "info", pair | {"OUTPUT": str(page)})
    assert done.returncode == 0, done.stderr
    assert "\nratio      4 down, 4 right\n" in page.read_text(encoding="utf-8")


def test_assess_makes_a_report_and_a_table(qgis: Qgis, pair: dict[str, str], tmp_path: Path) -> None:
    made = {"REPORT": str(tmp_path / "report.html"), "CSV": str(tmp_path / "numbers.csv")}
    with rasterio.open(pair["PAN"]) as pan:
        profile, values = pan.profile, pan.read(1)
    profile.update(count=4)
    with rasterio.open(tmp_path / "fused.tif", "w", **profile) as file:
        file.write(np.stack([values] * 4))
    done = run(qgis, "assess", pair | {"FUSED": str(tmp_path / "fused.tif"), "BASELINES": "false"} | made)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert "D_rho" in (tmp_path / "numbers.csv").read_text()


def test_batch_sharpens_a_list_of_pairs(qgis: Qgis, pair: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(f"ms,pan,id\n{pair['MS']},{pair['PAN']},town\n")
    options = {"METHOD": "exp", "THREADS": "1", "OUTPUT": str(tmp_path / "results")}
    done = run(qgis, "batch", {"TABLE": str(tmp_path / "pairs.csv")} | options)
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "results").count("town.tif") == 1
    done = run(qgis, "batch", options)
    assert done.returncode != 0
    assert "Give a folder with pairs or a list of pairs" in done.stdout + done.stderr


def test_cancelling_leaves_nothing(qgis: Qgis, pair: dict[str, str], tmp_path: Path) -> None:
    before = sorted(os.listdir(tmp_path))
    ended = in_qgis(qgis, "cancel", tmp_path)
    assert ended == {"results": {}, "errors": [], "canceled": True, "loaded": []}
    assert sorted(os.listdir(tmp_path)) == before


def test_a_layer_of_a_server_is_refused(qgis: Qgis, pair: dict[str, str], tmp_path: Path) -> None:
    errors = in_qgis(qgis, "remote", tmp_path)["errors"]
    assert errors == ["the layer map is not a local raster file: save it as GeoTIFF first (Layer > Save As)"]


def test_a_layer_in_memory_is_a_mask_and_the_result_is_loaded(qgis: Qgis, pair: dict[str, str], tmp_path: Path) -> None:
    ended = in_qgis(qgis, "mask_in_memory", tmp_path)
    assert ended["errors"] == [] and ended["results"] == {"OUTPUT": str(tmp_path / "out.tif")}
    assert ended["loaded"] == ["Sharpened"]
    with rasterio.open(tmp_path / "out.tif") as image:
        assert (image.width, image.height) == (64, 128)


def test_the_setting_counts_before_the_variable(qgis: Qgis, tmp_path: Path) -> None:
    refused = f"the setting of the provider names the folder {tmp_path}, which is no environment with clippan in it"
    assert in_qgis(qgis, "setting", tmp_path) == {"refused": refused}
