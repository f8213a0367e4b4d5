"""Finding clippan from within QGIS."""

from __future__ import annotations

from pathlib import Path

import pytest

from clippan_qgis.executable import ClippanNotFoundError, environment, find_clippan


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)
    for name in ("clippan", "python3"):
        (folder / "bin" / name).touch(mode=0o755)
    return folder


def test_on_the_path(venv: Path) -> None:
    assert find_clippan("", {"PATH": str(venv / "bin")}) == [str(venv / "bin" / "clippan")]


@pytest.mark.parametrize("name", ["", "bin/clippan"])
def test_by_the_variable_before_the_path(venv: Path, name: str) -> None:
    found = find_clippan("", {"PATH": "/nowhere", "CLIPPAN_EXECUTABLE": str(venv / name)})
    assert found == [str(venv / "bin" / "clippan")]


def test_by_the_setting_before_the_variable(venv: Path) -> None:
    interpreter = venv / "bin" / "python3"
    assert find_clippan(str(interpreter), {"CLIPPAN_EXECUTABLE": "/nowhere"}) == [str(interpreter), "-m", "clippan_cli"]


@pytest.mark.parametrize(
    ("configured", "environ", "said"),
    [
        ("", {"PATH": "/nowhere"}, "not on the PATH of QGIS.*Settings > Options > Processing"),
        ("/nowhere/clippan", {}, "the setting of the provider names /nowhere/clippan, which does not exist"),
        ("", {"CLIPPAN_EXECUTABLE": "/nowhere"}, "CLIPPAN_EXECUTABLE names /nowhere, which does not exist"),
        ("/", {}, "the folder /, which is no environment"),
    ],
)
def test_where_it_is_not(configured: str, environ: dict[str, str], said: str) -> None:
    with pytest.raises(ClippanNotFoundError, match=said):
        find_clippan(configured, environ)


def test_the_libraries_of_qgis_are_kept_from_clippan() -> None:
    of_qgis = {"PYTHONHOME": "/qgis/python", "PROJ_LIB": "/qgis/proj", "GDAL_DATA": "/qgis/gdal", "HOME": "/home/a"}
    assert environment(of_qgis) == {"HOME": "/home/a", "PYTHONUTF8": "1"}
