"""The pages as a site: complete, searchable, and without anything from the network."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

pytest.importorskip("zensical", reason="pip install '.[docs]' first")
pytest.importorskip("math_core", reason="pip install '.[docs]' first")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as scripts/site does."""
    folder = tmp_path_factory.mktemp("site")
    done = built(DOCS / "website", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def built(website: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, website / "build.py", folder], capture_output=True, text=True, check=False)


def page(site: Path, name: str) -> str:
    """The text of a page between navigation and footer."""
    return (site / name).read_text().partition("<article")[2].partition("</article>")[0]


def test_every_page_is_in_the_navigation_and_in_the_search(site: Path) -> None:
    home = (site / "index.html").read_text()
    found = {item["location"].partition("#")[0] for item in json.loads((site / "search.json").read_text())["items"]}
    for source in DOCS.rglob("*.md"):
        name = str(source.relative_to(DOCS).with_suffix(".html")).replace("README", "index")
        assert (site / name).exists()
        assert name in found
        assert f'href="./{name}"' in home or name == "index.html"


def test_nothing_is_loaded_from_the_network(site: Path) -> None:
    for file in [*site.rglob("*.html"), *site.rglob("*.css")]:
        assert not re.findall(r"(?:src=|<link[^>]* href=|url\(|@import )[\"']?(?:https?:)?//[^\"')]+", file.read_text())


def test_a_dead_link_fails_the_build(tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    for name in ("README.md", "SECURITY.md", "models/README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    with (tmp_path / "docs" / "warnings.md").open("a") as text:
        text.write("[gone](gone.md)\n")
    done = built(tmp_path / "docs" / "website", tmp_path / "site")
    assert done.returncode != 0
    assert "gone" in re.sub(r"\x1b\[[\d;]*m", "", done.stdout + done.stderr)
    assert not (tmp_path / "site").exists()


def test_equations_are_drawn_by_the_browser(site: Path) -> None:
    source, shown = (DOCS / "methods.md").read_text(), page(site, "methods.html")
    assert shown.count('<math display="block">') == source.count("```math\n")
    assert not re.findall(r"\\(?:frac|sum|mathrm)|\$", re.sub(r"<code.*?</code>", "", shown, flags=re.DOTALL))


def test_files_outside_the_pages_are_pages_too(site: Path) -> None:
    assert "class Sharpener" in re.sub(r"<[^>]+>", "", page(site, "repository/models/clippan_models/contracts.py.html"))
    assert 'href="repository/models/clippan_models/contracts.py.html"' in page(site, "design.html")


@pytest.mark.parametrize("name", ["methods.html", "commands/assess.html", "first-steps.html"])
def test_terms_lead_to_the_glossary_at_their_first_use(site: Path, name: str) -> None:
    links = re.findall(r'<a [^>]*class="term"[^>]*>', page(site, name))
    anchors = [re.findall(r'href="([^"]*)"', link)[0] for link in links]
    assert anchors and len(set(anchors)) == len(anchors)
    headings = re.findall(r'<h3 id="([^"]+)"', page(site, "glossary.html"))
    assert {anchor.partition("#")[2] for anchor in anchors} <= set(headings)
    assert all((site / name).parent.joinpath(anchor.partition("#")[0]).exists() for anchor in anchors)


@pytest.fixture(scope="module")
def shown() -> Callable[[str], str]:
    """Markdown as the pages have it, in HTML."""
    from markdown import Markdown

    markup = loaded(DOCS / "website" / "markup.py")
    return lambda text: Markdown(extensions=[markup.Markup(), "tables"]).convert(text)


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "equations"),
    [
        ("the blur $G$ of $M_b$", 2),
        ("`$G$` in code", 0),
        ("it costs $5 or $6", 0),
        ("```math\nx = 1\n```", 1),
        ("| a |\n|---|\n| $x$ |", 1),
    ],
)
def test_only_equations_are_equations(shown: Callable[[str], str], text: str, equations: int) -> None:
    assert shown(text).count("<math") == equations


@pytest.mark.parametrize(
    "text",
    ["No link in `QNR`, nor [QNR](elsewhere.md), nor HQNR: the first QNR, then QNR", "# QNR\n\nThe *QNR* and QNR"],
)
def test_a_term_is_linked_once_and_in_plain_text_only(shown: Callable[[str], str], text: str) -> None:
    html = shown(f"{text}\n\n[term QNR]: glossary.md#qnr 'about'\n")
    assert html.count('class="term"') == 1
    assert "<code>QNR</code>" in html or '<em><a class="term"' in html


def test_plots_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, DOCS / "plots.py", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
