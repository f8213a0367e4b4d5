"""The pages for readers: complete, up to date with the code, and without dead links."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rasterio
import typer.main
from affine import Affine

import clippan
from clippan_cli.commands.habits import translated
from clippan_cli.main import app
from clippan_cli.scene.synthetic import make_demo_scene
from clippan_cli.tasks.demo import write_demo_scene
from clippan_models.methods.registry import METHODS
from tests.cli.conftest import RunMain

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
def test_shown_commands_are_understood(page: Path, tmp_path: Path) -> None:
    for shown in arguments("\n".join(commands(page)), tmp_path):
        command, given = GROUP, translated(shown, GROUP)
        if given[0].startswith("--"):
            command.make_context("clippan", given, resilient_parsing=True)
            continue
        while inner := getattr(command, "commands", None):
            command = inner[given.pop(0)]
        command.make_context(command.name, given)  # fails as the command line does


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if "```console" in page.read_text()], ids=named)
def test_examples_do_what_the_page_shows(
    page: Path, tmp_path: Path, demo: Path, run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("clippan_cli.tasks.demo._SIDE", SIDE)
    if page.name != "first-steps.md":  # which makes it
        shutil.copytree(demo, "clippan-demo")
    for command, shown in examples(page):
        if "HF_HUB_OFFLINE" not in command:  # which needs a process that begins so; test_models.py has one
            for given in arguments(command, tmp_path):
                done = run_main([*given, *quick(given)])
                assert refusals(done.stderr) == refusals(shown)
                assert done.code == code_shown(shown, done.code)
                assert bool(done.code) == bool(refusals(shown))
                if "|" not in command and not done.code:
                    assert (
                        not labels(shown) - labels(done.stdout + done.stderr) - {"CLIP"}
                    )  # which takes part in learning


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


@pytest.mark.slow
def test_recipes_read_the_products_that_they_name(
    tmp_path: Path, demo: Path, run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lay_products(demo, tmp_path)
    recipes = arguments("\n".join(commands(ROOT / "docs" / "cookbook.md")), tmp_path)
    local = [given for given in recipes if not {"--allow-remote", "--weights"} & set(given)]
    assert {given[0] for given in local} == {"info", "sharpen", "batch", "adapt"}
    for given in local:
        planned = given[0] != "info" and "--dry-run" not in given
        done = run_main([*given, "--dry-run"] if planned else given)
        assert (done.code, refusals(done.stderr)) == (0, [])


def lay_products(demo: Path, folder: Path) -> None:
    """The demo under the names of the products in the cookbook: bands in files of their own, and an archive."""
    with rasterio.open(demo / "ms.tif") as dataset:
        ms, ms_grid = dataset.read(), dataset.profile
    with rasterio.open(demo / "pan.tif") as dataset:
        pan, pan_grid = dataset.read(), dataset.profile
    half = pan.reshape(1, SIDE // 2, 2, SIDE // 2, 2).mean(axis=(2, 4)).astype(pan.dtype)
    half_grid = {**pan_grid, "transform": pan_grid["transform"] @ Affine.scale(2)}
    scene = "LC09_L1TP_200030_20230705_20230705_02_T1"
    neo, worldview = "IMG_PNEO3_{}.TIF", "23JUL05104501-{}-WV03.TIF"
    images = {f"{scene}_B{band + 2}.TIF": (ms[band : band + 1], ms_grid) for band in range(4)}
    images |= {f"{scene}_B8.TIF": (half, half_grid)}
    images |= {neo.format(f"MS-FS_ORT_{part}"): (ms[:3], ms_grid) for part in ("RGB", "NED")}
    images |= {neo.format("PAN_ORT"): (pan, pan_grid)}
    for prefix in ("", "archive/a_", "archive/b_"):
        images |= {f"{prefix}ms.tif": (ms, ms_grid), f"{prefix}pan.tif": (pan, pan_grid)}
    images |= {worldview.format("M2AS"): (ms, ms_grid), worldview.format("P2AS"): (pan, pan_grid)}
    (folder / "archive").mkdir()
    for name, (pixels, grid) in images.items():
        count, height, width = pixels.shape
        with rasterio.open(folder / name, "w", **grid | {"count": count, "height": height, "width": width}) as dataset:
            dataset.write(pixels)


def test_every_folder_of_code_is_in_the_tour() -> None:
    tour = (ROOT / "docs" / "design.md").read_text()
    packages = (ROOT / name for name in ("clippan", "clippan_cli", "models/clippan_models", "models/clip_training"))
    folders = {init.parent for package in packages for init in package.rglob("__init__.py")}
    rooms = {named(folder) for folder in folders} - {"clippan_cli", "models/clippan_models"}
    assert not {room for room in rooms if f"| `{room}/` |" not in tour}


SIDE = 128  # PAN pixels of the demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small one of what `clippan demo` makes."""
    folder = tmp_path_factory.mktemp("demo")
    ms, pan, truth = (folder / f"{name}.tif" for name in ("ms", "pan", "truth"))
    write_demo_scene(make_demo_scene(SIDE), ms, pan, truth)
    for name, method in (("exp", "exp"), ("hrms", "mtf-glp-fs")):
        clippan.sharpen(ms, pan, folder / f"{name}.tif", method=method, quality=False, sensor="generic")
    return folder


def examples(page: Path) -> Iterator[tuple[str, str]]:
    """The commands of the `console` blocks, each with what the page shows that it prints."""
    for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = example.partition("\n")
            yield command, shown


def commands(page: Path) -> Iterator[str]:
    """What the page tells a reader to type into a shell."""
    yield from (command for command, _ in examples(page))
    yield from re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)


def arguments(script: str, folder: Path) -> list[list[str]]:
    """The arguments of each `clippan` in a script, as a shell gives them; nothing is run."""
    record = folder / "arguments"
    record.write_text("")
    spy = f"clippan() {{ printf '%s\\t' \"$@\" >>'{record}'; echo >>'{record}'; }}; PATH=\n"
    subprocess.run([shutil.which("bash") or "bash", "-c", spy + script], cwd=folder, capture_output=True, check=False)
    return [line.rstrip("\t").split("\t") for line in record.read_text().splitlines()]


def quick(given: list[str]) -> list[str]:
    """Use the network as it is where the example lets it learn, which takes half a minute each time."""
    learns = given[0] in {"sharpen", "demo"}
    return ["--steps", "0"] if learns and not {"--method", "--dry-run", "--steps", "--preset"} & set(given) else []


def code_shown(shown: str, otherwise: int) -> int:
    stated = re.search(r"^code (\d+)$", shown, re.MULTILINE)
    return int(stated[1]) if stated else otherwise


def refusals(text: str) -> list[str]:
    """The lines that say why a run has failed, whatever the values."""
    found = [line.rstrip() for line in text.splitlines() if line.startswith("clippan: ")]
    return [re.sub(r"\d+\.\d+", "#", line) for line in found]


def labels(text: str) -> set[str]:
    """The first words of all lines, without warnings: what is told, apart from its numbers."""
    return {
        line.split()[0] for line in text.splitlines() if line.strip() and not line.startswith(("warning:", "code "))
    }


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
