"""What packages clippan elsewhere states the same as pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from clippan_cli import __version__
from tests.release.conftest import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
RECIPE: dict[str, Any] = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text(encoding="utf-8"))
CONDA_NAMES = {"torch": "pytorch"}
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def conda(requirement: str) -> tuple[str, str]:
    """A requirement of pyproject.toml as conda-forge names it, with `-` and `_` alike."""
    name, lowest = re.split("(?=>=)", requirement)
    name = name.lower().replace("_", "-")
    return CONDA_NAMES.get(name, name), lowest


def required(of: str) -> dict[str, str]:
    pairs = (line.split() for line in RECIPE["requirements"][of] if " " in line and "{{" not in line)
    return {name.replace("_", "-"): lowest for name, lowest in pairs}


def test_the_recipe_is_of_this_version() -> None:
    assert RECIPE["context"]["version"] == __version__
    assert RECIPE["package"]["name"] == PROJECT["name"]
    assert f">={RECIPE['context']['python_min']}" == PROJECT["requires-python"]
    assert RECIPE["about"]["license"] == PROJECT["license"]


def test_the_recipe_needs_what_the_package_needs() -> None:
    assert required("run") == dict(map(conda, PROJECT["dependencies"]))
    assert required("host") == dict(map(conda, PYPROJECT["build-system"]["requires"]))


def test_the_recipe_gives_the_same_commands() -> None:
    commands = dict(line.split(" = ") for line in RECIPE["build"]["python"]["entry_points"])
    assert commands == PROJECT["scripts"]


def test_the_container_runs_without_privileges() -> None:
    steps = (ROOT / "Dockerfile").read_text(encoding="utf-8").rpartition("\nFROM ")[2]
    user = re.findall(r"^USER (.+)$", steps, re.MULTILINE)[-1]
    assert user not in ("root", "0")
    assert f"--uid {user} " in steps


def test_the_container_gets_all_that_the_wheel_is_built_from() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    packages = {Path(name).parts[0] for name in PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    assert sent >= {*packages, *PROJECT["license-files"], "README.md", "pyproject.toml", "hatch_build.py"}
    assert all((ROOT / name).exists() for name in sent)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_programs_that_exist_with_the_least_rights(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    programs = [found for step in steps for found in re.findall(r"(?:scripts|\.ci)/\w+", step.get("run", ""))]
    assert programs and all((ROOT / program).is_file() for program in programs)
    assert workflow["permissions"] == {}
    for action in (step["uses"] for step in steps if "uses" in step):
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action), f"{action} may change under its name"
