"""The plugin as a user has it: its zip file unpacked in a profile of QGIS."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

_INI = "[PythonPlugins]\nclippan_qgis=true\n"


@dataclass(frozen=True)
class Qgis:
    """QGIS without a screen.

    Attributes:
        program: qgis_process.
        folder: of its profile.
        environ: leads to the profile, and to clippan.
    """

    program: str
    folder: Path
    environ: dict[str, str]

    def process(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run qgis_process."""
        return self._run([self.program, *arguments], environ)

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the Python of QGIS."""
        return self._run(["/usr/bin/python3", *arguments], {})

    def _run(self, command: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=self.environ | environ,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            timeout=200,
        )


def build_plugin(target: Path) -> Path:
    """The zip file of the plugin."""
    subprocess.run([sys.executable, str(ROOT / "scripts" / "plugin"), str(target)], check=True)
    return target


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program clippan that runs what the tests import."""
    path = tmp_path_factory.mktemp("program") / "clippan"
    places = os.environ.get("PYTHONPATH", "")  # which the plugin keeps from clippan
    run = f"exec env PYTHONPATH={places} OMP_NUM_THREADS=1 {sys.executable} -m clippan_cli"
    path.write_text(f'#!/bin/sh\n{run} "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session")
def qgis(tmp_path_factory: pytest.TempPathFactory, program: Path) -> Qgis:
    """QGIS with the plugin, or a skipped test."""
    # Debian's qgis_process hands options of QGIS to a program that does not know them
    found = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
    if found is None:
        pytest.skip("qgis_process is not installed")
    folder = tmp_path_factory.mktemp("qgis")
    profile = folder / "profiles" / "default"
    with zipfile.ZipFile(build_plugin(folder / "clippan_qgis.zip")) as archive:
        archive.extractall(profile / "python" / "plugins")
    (profile / "QGIS").mkdir()
    (profile / "QGIS" / "QGIS3.ini").write_text(_INI)
    (folder / "runtime").mkdir(mode=0o700)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environ |= {"QT_QPA_PLATFORM": "offscreen", "QGIS_CUSTOM_CONFIG_PATH": str(folder), "HOME": str(folder)}
    environ["PATH"] = "/usr/bin:/bin"  # QGIS takes the first Python there for its own
    environ |= {"XDG_RUNTIME_DIR": str(folder / "runtime"), "CLIPPAN_EXECUTABLE": str(program)}
    return Qgis(found, folder, environ)
