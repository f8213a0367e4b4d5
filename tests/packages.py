"""Packages of others as pip installs them: modules, and entry points in a `.dist-info`."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parents[1] / "examples" / "my_backbone"


@dataclass(frozen=True)
class Site:
    """A folder that packages are installed in."""

    folder: Path

    def install(
        self,
        package: str,
        points: Mapping[str, Mapping[str, str]],
        modules: Mapping[str, str],
        version: str = "1.0",
    ) -> None:
        """Put a package there, in place of another version, with the text of its modules.

        `points` are objects by name, by group.
        """
        for former in self.folder.glob(f"{package.replace('-', '_')}-*.dist-info"):
            shutil.rmtree(former)
        about = self.folder / f"{package.replace('-', '_')}-{version}.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        groups = ("\n".join([f"[{group}]", *(f"{n} = {o}" for n, o in its.items())]) for group, its in points.items())
        (about / "entry_points.txt").write_text("\n".join(groups) + "\n")
        for module, text in modules.items():
            (self.folder / f"{module}.py").write_text(text)

    def install_template(self) -> str:
        """Put the template project there; the text of its module."""
        project = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())["project"]
        text = (TEMPLATE / "my_backbone.py").read_text()
        self.install(project["name"], project["entry-points"], {"my_backbone": text})
        return text
