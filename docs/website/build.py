"""Builds these pages as a site that needs no network; from a disk, all of it works but the search.

    python docs/website/build.py FOLDER

The pages are the Markdown files of docs, in the order of docs/README.md, and those outside docs that they link to. A
linked file of code becomes a page as well. A dead link fails the build.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

WEBSITE = Path(__file__).resolve().parent
DOCS = WEBSITE.parent
ROOT = DOCS.parent
_CONTENTS = DOCS / "README.md"
_GLOSSARY = DOCS / "glossary.md"
_CODE = {".py": "python", ".toml": "toml", ".cff": "yaml", ".sh": "sh", "": "text"}  # shown as pages, by suffix
_LINK = re.compile(r"(```.*?```)|(?<=\]\()(?!https?:|mailto:)([^)\s#]+)", re.DOTALL)
_ENTRY = re.compile(r"^(?:(\S.*):|- \[(.+?)\]\(([^)#]+\.md)\).*)$", re.MULTILINE)
_TERM = re.compile(r"^### (.+)\n\n(.+(?:\n.+)*)", re.MULTILINE)


def main(site: Path) -> int:
    """Build the site in a folder, which is replaced; returns the exit code."""
    with tempfile.TemporaryDirectory() as scratch:
        lay_out(Path(scratch))
        done = subprocess.run(
            [sys.executable, "-m", "zensical", "build", "--strict"],
            cwd=scratch,
            env={**os.environ, "PYTHONPATH": str(WEBSITE)},
            check=False,
        )
        if done.returncode == 0:
            shutil.rmtree(site, ignore_errors=True)
            shutil.copytree(Path(scratch) / "site", site)
        return done.returncode


def lay_out(folder: Path) -> None:
    """Write what the generator of the site reads: the configuration, and the pages in `pages`."""
    found = sorted(DOCS.rglob("*.md"))
    for page in found:
        found += [target for target in map(Path, sorted(_targets(page))) if target not in found]
    for path in [*found, *sorted(WEBSITE.glob("assets/*"))]:
        copy = folder / "pages" / _place(path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if copy.suffix == ".md":
            copy.write_text(_staged(path))
        else:
            shutil.copyfile(path, copy)
    (folder / "mkdocs.yml").write_text(f"{(WEBSITE / 'mkdocs.yml').read_text()}nav: {json.dumps(_navigation(found))}\n")


def _targets(page: Path) -> Iterator[Path]:
    """The files that a page links to."""
    if page.suffix == ".md":
        links = (link for code, link in _LINK.findall(page.read_text()) if not code)
        yield from (target for link in links if (target := (page.parent / link).resolve()).is_file())


def _place(path: Path) -> Path:
    """Where a file of the repository lies among the pages."""
    place = path.relative_to(DOCS) if path.is_relative_to(DOCS) else Path("repository") / path.relative_to(ROOT)
    return place.with_name(f"{place.name}.md") if path.suffix in _CODE else place


def _staged(path: Path) -> str:
    """A page as the generator reads it: links lead to where their files lie, and it knows the terms of the glossary."""
    text = path.read_text()
    if path.suffix in _CODE:
        return f"# {path.name}\n\n~~~~{_CODE[path.suffix]}\n{text}\n~~~~\n"
    text = _LINK.sub(lambda link: link[1] or _moved(path, link[2]), text)
    return text if path == _GLOSSARY else f"{text}\n{_terms(path)}"


def _moved(page: Path, link: str) -> str:
    """A link of a page, so that it fits where the page lies."""
    target = (page.parent / link).resolve()
    return _relative(page, target) if target.is_relative_to(ROOT) else link


def _relative(page: Path, target: Path) -> str:
    return os.path.relpath(_place(target), _place(page).parent)


def _terms(page: Path) -> str:
    """The terms that the glossary explains, as references; markup.py links to them where the page uses them first."""
    glossary = _relative(page, _GLOSSARY)
    terms = _TERM.findall(_GLOSSARY.read_text())
    return "".join(f"[term {name}]: {glossary}#{_anchor(name)} '{' '.join(about.split())}'\n" for name, about in terms)


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def _navigation(pages: list[Path]) -> list[object]:
    """The order of docs/README.md; what it does not list comes last."""
    sections: list[tuple[str, list[object]]] = []
    listed = {_CONTENTS}
    for section, title, link in _ENTRY.findall(_CONTENTS.read_text()):
        if section:
            sections.append((section, []))
        else:
            listed.add(target := (DOCS / link).resolve())
            sections[-1][1].append({title.replace("`", ""): str(_place(target))})
    own = (page for page in pages if page.suffix == ".md" and page.is_relative_to(DOCS))
    sections.append(("More", [str(_place(page)) for page in own if page not in listed]))
    return [{"Home": str(_place(_CONTENTS))}, *({name: entries} for name, entries in sections if entries)]


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python docs/website/build.py FOLDER")
    sys.exit(main(Path(sys.argv[1])))
