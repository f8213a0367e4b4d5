"""The pages for readers: complete, up to date with the code, and without dead links."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from clippan_cli.main import app
from clippan_cli.scene.synthetic import make_demo_scene
from clippan_cli.tasks.demo import write_demo_scene
from clippan_models.methods.registry import METHODS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "models" / "README.md"]
GROUP: Any = typer.main.get_command(app)
COMMANDS = sorted(GROUP.commands)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_generated_parts_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_page_that_can_be_found(command: str) -> None:
    page = ROOT / "docs" / "commands" / f"{command}.md"
    assert page.read_text().startswith(f"# clippan {command}\n")
    assert f"<!-- generated: options {command} -->" in page.read_text()
    assert f"commands/{command}.md" in (ROOT / "docs" / "README.md").read_text()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_explained(method: str) -> None:
    assert f"| `{method}` |" in (ROOT / "README.md").read_text()
    assert f"`{method}`" in (ROOT / "docs" / "methods.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    dead = [link for link in links(page) if not leads_somewhere(page, link)]
    assert not dead


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_shown_commands_exist(page: Path) -> None:
    shown = set(re.findall(r"^(?:\$ )?clippan ([a-z]+)", code(page), re.MULTILINE))
    assert shown <= set(COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "python.md"], ids=named)
def test_the_python_examples_of_a_page_run(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clippan-demo"
    folder.mkdir()
    write_demo_scene(make_demo_scene(256), folder / "ms.tif", folder / "pan.tif", folder / "truth.tif")
    examples = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    assert examples
    for example in examples:
        quiet = [sys.executable, "-W", "ignore::UserWarning", "-c", example]  # the demo is of no sensor
        done = subprocess.run(quiet, cwd=tmp_path, stderr=subprocess.PIPE, check=False)
        assert (done.returncode, done.stderr) == (0, b"")


def test_every_folder_of_code_is_in_the_tour() -> None:
    tour = (ROOT / "docs" / "design.md").read_text()
    packages = (ROOT / name for name in ("clippan", "clippan_cli", "models/clippan_models", "models/clip_training"))
    folders = {init.parent for package in packages for init in package.rglob("__init__.py")}
    rooms = {named(folder) for folder in folders} - {"clippan_cli", "models/clippan_models"}
    assert not {room for room in rooms if f"| `{room}/` |" not in tour}


def code(page: Path) -> str:
    return "".join(re.findall(r"```\w*\n(.*?)```", page.read_text(), re.DOTALL))


def links(page: Path) -> Iterator[str]:
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if not link.startswith(("https://", "mailto:")):
            yield link


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, heading = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not heading or heading in headings(target))


def headings(page: Path) -> set[str]:
    """The headings of a page as GitHub names them in links."""
    found = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}
