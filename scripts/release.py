"""Builds all files of a release in one folder, and checks them. `scripts/release` runs this with its tools installed.

Without a tag this is a rehearsal: the same files, with the changelog's part on what is not released yet.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = Path("scripts", "plugin")
"""Writes the plugin for QGIS as the zip file it is given."""

PACKAGE_INDEX = "https://pypi.org/packages/source/c/clippan"


class NotReadyError(Exception):
    """What is in the way of a release, one line each."""


@dataclass(frozen=True)
class Release:
    """What is built.

    Attributes:
        version: of the code.
        tag: None in a rehearsal.
        notes: the changelog's section.
        time: of the commit, in seconds since 1970; all files bear it, so that a second run gives the same bytes.
    """

    version: str
    tag: str | None
    notes: str
    time: int


def main(arguments: list[str] | None = None) -> int:
    """Build and check; the exit code is 1 if this cannot be released."""
    parser = argparse.ArgumentParser("scripts/release", description=(__doc__ or "").split("`")[0])
    parser.add_argument("tag", nargs="?", help="the tag to release, such as v1.2.3; without it, this is a rehearsal")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder of the files, emptied first")
    parser.add_argument("--packages-only", action="store_true", help="neither try the wheel nor list what it needs")
    given = parser.parse_args(arguments)
    try:
        release = described(ROOT, given.tag)
        files = build(ROOT, release, given.output, packages_only=given.packages_only)
    except NotReadyError as error:
        print(*(f"scripts/release: {line}" for line in error.args), sep="\n", file=sys.stderr)
        return 1
    print(f"{release.tag or f'a rehearsal of {release.version}'}:", *(file.name for file in files), sep="\n  ")
    return 0


def described(root: Path, tag: str | None) -> Release:
    """What this checkout would release.

    Raises:
        NotReadyError: with a tag, that the code, the changelog or the checkout do not fit it.
    """
    found = re.search(r'__version__ = "(.+)"', (root / "clippan_cli" / "__init__.py").read_text(encoding="utf-8"))
    if found is None:
        raise NotReadyError("clippan_cli/__init__.py states no version")
    version = found[1]
    notes = section((root / "CHANGELOG.md").read_text(encoding="utf-8"), version if tag else None)
    if tag and (problems := list(_problems(root, tag, version, notes))):
        raise NotReadyError(*problems)
    return Release(version, tag, notes or "", int(_git(root, "log", "-1", "--format=%ct")))


def section(changelog: str, version: str | None) -> str | None:
    """The changelog's text on a version, which needs a date; None: there is none. Without a version: on the next."""
    heading = rf"\[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d" if version else r"\[Unreleased\]"
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    return found[1].strip() or None if found else None


def _problems(root: Path, tag: str, version: str, notes: str | None) -> Iterator[str]:
    if tag != f"v{version}":
        yield f"the tag {tag} is not v{version}, the version in clippan_cli/__init__.py; change one of them"
    if notes is None:
        yield f"CHANGELOG.md has no text under a heading '## [{version}] - YYYY-MM-DD'; move what is under Unreleased"
    if f'version: "{version}"' not in (root / "recipe" / "recipe.yaml").read_text(encoding="utf-8"):
        yield f'recipe/recipe.yaml does not say version: "{version}"'
    if "Repository" not in _project(root).get("urls", {}):
        yield (
            "pyproject.toml states no address of the repository, so the README's links would lead nowhere on a package "
            "index; add Repository under [project.urls]"
        )
    if changed := _git(root, "status", "--porcelain"):
        yield f"the checkout differs from its commit in {len(changed.splitlines())} files; commit or remove them"
    tagged = _git(root, "tag", "--list", tag) and _git(root, "rev-list", "-1", tag)
    if tagged and tagged != _git(root, "rev-parse", "HEAD"):
        yield f"{tag} is the commit {tagged[:10]}, which is not checked out; run: git switch --detach {tag}"


def build(root: Path, release: Release, output: Path, *, packages_only: bool) -> list[Path]:
    """Build all files into `output`, which is emptied first.

    Raises:
        NotReadyError: a package that a package index would refuse, a wheel that does not work alone, or a dependency
            with a known vulnerability.
    """
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(release.time)}
    _run("-m", "build", "--outdir", output, root, environment=environment)  # the wheel from the sdist
    (sdist,), (wheel,) = output.glob("*.tar.gz"), output.glob("*.whl")
    _run("-m", "twine", "check", "--strict", sdist, wheel)
    if (root / PLUGIN).exists():
        _run(root / PLUGIN, output / f"clippan_qgis-{release.version}.zip", environment=environment)
    if not packages_only:
        with tempfile.TemporaryDirectory() as scratch:
            python = try_alone(wheel, Path(scratch))
            list_parts(root, python, output / "sbom.cdx.json")
            audit(python)
    (output / "recipe.yaml").write_text(recipe(root, sdist), encoding="utf-8")
    (output / "notes.md").write_text(release.notes + "\n", encoding="utf-8")
    files = sorted(output.iterdir())
    (output / "SHA256SUMS").write_text("".join(f"{_sha256(file)}  {file.name}\n" for file in files), encoding="ascii")
    return [*files, output / "SHA256SUMS"]


def recipe(root: Path, sdist: Path) -> str:
    """The recipe for conda-forge, which builds from the sdist on the package index instead of the checkout."""
    source = f"url: {PACKAGE_INDEX}/{sdist.name}\n  sha256: {_sha256(sdist)}"
    return (root / "recipe" / "recipe.yaml").read_text(encoding="utf-8").replace("path: ..", source)


def try_alone(wheel: Path, scratch: Path) -> Path:
    """Install the wheel in an empty environment and run the demo there; gives the Python of that environment."""
    venv.create(scratch / "venv", with_pip=True)
    python = scratch / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    # In two steps, so that pip records no path of this machine, which the list of parts would repeat.
    for options in (("--no-deps", "--no-index", "--only-binary", ":all:", "--find-links", wheel.parent), ()):
        _run("-I", "-m", "pip", "install", "--quiet", *options, "clippan", python=python)
    _run("-I", "-m", "clippan_cli", "demo", scratch / "demo", "--steps", "3", python=python, folder=scratch)
    return python


def list_parts(root: Path, python: Path, target: Path) -> None:
    """Write the software bill of materials: all packages of the environment of this Python, in CycloneDX's format."""
    options = ("--pyproject", root / "pyproject.toml", "--output-reproducible", "--output-file", target)
    _run("-m", "cyclonedx_py", "environment", *options, python)


def audit(python: Path) -> None:
    """Look up known vulnerabilities of all packages of the environment of this Python.

    Raises:
        NotReadyError: there is one.
    """
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout.strip()
    command = [sys.executable, "-m", "pip_audit", "--path", packages, "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        reason = (done.stderr.strip() or "no answer").splitlines()[-1]
        print(f"scripts/release: known vulnerabilities were NOT looked up: {reason}", file=sys.stderr)
        return
    judge(json.loads(done.stdout)["dependencies"])


def judge(dependencies: list[dict[str, Any]]) -> None:
    """Say which packages pip-audit could not look up, and refuse those with known vulnerabilities."""
    if unknown := [one["name"] for one in dependencies if "skip_reason" in one]:
        print(f"scripts/release: NOT looked up for vulnerabilities: {', '.join(unknown)}", file=sys.stderr)
    if found := [one for one in dependencies if one.get("vulns")]:
        raise NotReadyError(
            *(f"{one['name']} {one['version']} has {', '.join(hole['id'] for hole in one['vulns'])}" for one in found)
        )


def _project(root: Path) -> dict[str, dict[str, str]]:
    project: dict[str, dict[str, str]] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def _run(
    *arguments: str | Path,
    python: str | Path = sys.executable,
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
) -> None:
    command = [python, *arguments]
    done = subprocess.run(
        command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise NotReadyError(f"{' '.join(map(str, arguments))} failed:", *done.stdout.splitlines())


if __name__ == "__main__":
    sys.exit(main())
