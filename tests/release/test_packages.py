"""The sdist and the wheel: complete, the same from the sdist as from the checkout, and readable on a package index."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from clippan_cli import __version__
from hatch_build import with_absolute_links
from tests.release.conftest import ROOT, build

README = (ROOT / "README.md").read_text(encoding="utf-8")
ADDRESS = "https://forge.example/team/clippan"


def member(wheel: Path, end: str) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(end))
        return archive.read(name)


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    return message_from_bytes(member(wheel, ".dist-info/METADATA"))


def test_the_checkout_gives_the_same_wheel_as_the_sdist(wheel: Path, tmp_path: Path) -> None:
    from_checkout = build("wheel", ROOT, tmp_path)
    assert from_checkout.name == wheel.name == f"clippan-{__version__}-py3-none-any.whl"
    assert from_checkout.read_bytes() == wheel.read_bytes()


def test_the_wheel_holds_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    packages = (ROOT / "clippan", ROOT / "clippan_cli", ROOT / "models" / "clippan_models")
    files = {path.relative_to(package.parent) for package in packages for path in package.rglob("*") if path.is_file()}
    with zipfile.ZipFile(wheel) as archive:
        held = {Path(name) for name in archive.namelist() if ".dist-info/" not in name}
    assert held == {file for file in files if "__pycache__" not in file.parts}
    assert {Path("clippan_models/assets/anyband.safetensors"), Path("clippan/py.typed")} <= held


def test_the_wheel_holds_the_licence_and_the_command(wheel: Path) -> None:
    assert member(wheel, ".dist-info/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert member(wheel, "entry_points.txt").decode().split("\n")[:2] == [
        "[console_scripts]",
        "clippan = clippan_cli.main:main",
    ]


def test_a_package_index_takes_both(sdist: Path, wheel: Path) -> None:
    pytest.importorskip("twine")
    command: list[str | Path] = [sys.executable, "-m", "twine", "check", "--strict", sdist, wheel]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_the_readme_of_the_package_has_no_link_that_leads_nowhere(metadata: Message) -> None:
    text = str(metadata.get_payload())
    assert "# clippan" in text
    assert targets(text)
    assert all(target.startswith(("https://", "#")) for target in targets(text))


def test_links_of_the_readme_lead_to_the_files_of_its_version() -> None:
    before, after = targets(README), targets(with_absolute_links(README, ADDRESS, "1.2.3"))
    assert "docs/methods.md#indices" in before
    assert f"{ADDRESS}/blob/v1.2.3/docs/methods.md#indices" in after
    assert len(before) == len(after)
    for target in after:
        kind, _, path = target.removeprefix(f"{ADDRESS}/").partition("/v1.2.3/")
        if target.startswith(ADDRESS):
            assert (ROOT / path.partition("#")[0]).is_file()
            assert kind == ("raw" if path.endswith((".png", ".svg", ".jpg")) else "blob")


@pytest.mark.parametrize("text", ["[a](https://b.example/c)", "[below](#cite)", "gains [0.3, 0.3] (pair)", "`f(x)[0]`"])
def test_what_works_everywhere_stays(text: str) -> None:
    assert with_absolute_links(text, ADDRESS, "1.2.3") == with_absolute_links(text, None, "1.2.3") == text


def targets(text: str) -> list[str]:
    return re.findall(r"\]\(([^)]+)\)", text)
