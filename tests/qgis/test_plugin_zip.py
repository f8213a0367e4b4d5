"""The zip file that users install."""

from __future__ import annotations

import ast
import configparser
import zipfile
from pathlib import Path

import pytest

from clippan_cli import __version__
from tests.qgis.conftest import ROOT, build_plugin

SOURCES = sorted((ROOT / "qgis").rglob("*.py"))


def test_two_builds_are_equal(tmp_path: Path) -> None:
    first, second = (build_plugin(tmp_path / name).read_bytes() for name in ("a.zip", "b.zip"))
    assert first == second


def test_it_holds_one_folder_with_all_that_qgis_needs(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_plugin(tmp_path / "plugin.zip")) as archive:
        names = archive.namelist()
        metadata = configparser.ConfigParser()
        metadata.read_string(archive.read("clippan_qgis/metadata.txt").decode())
    assert {Path(name).parts[0] for name in names} == {"clippan_qgis"}
    assert {str(path.relative_to(ROOT / "qgis")) for path in SOURCES} < set(names)
    assert {"clippan_qgis/LICENSE", f"clippan_qgis/{metadata['general']['icon']}"} < set(names)
    assert metadata["general"]["version"] == __version__
    assert metadata["general"]["hasProcessingProvider"] == "yes"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_it_needs_only_the_python_of_qgis(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    modules = {name.name for node in imports for name in node.names}
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    roots = {module.partition(".")[0] for module in modules}
    assert not roots & {"clippan", "clippan_cli", "clippan_models", "torch", "numpy", "rasterio", "PyQt5", "PyQt6"}
