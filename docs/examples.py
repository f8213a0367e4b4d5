"""Runs every example of these pages in a folder of its own, and writes into the pages what they printed.

    python docs/examples.py

Takes about ten minutes: it makes the demo, draws the pictures, and runs all `console` and `python` blocks, each
page with a fresh copy of the demo. Of a `console` block, lines that start with `$` are run; what follows is replaced.
An example may fail, as long as the page shows how.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_FIRST = ROOT / "docs" / "first-steps.md"  # makes the demo that the others use
_BLOCK = re.compile(r"(```(console|python)\n)(.*?)(```\n)", re.DOTALL)
_PROGRESS = re.compile(r"\d\d:\d\d:\d\d ")


def main() -> None:
    """Run the examples of all pages, those of the first steps first."""
    others = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    with tempfile.TemporaryDirectory() as scratch:
        first = Path(scratch) / "first"
        first.mkdir()
        _renew(_FIRST, first)
        demo = first / "clippan-demo"
        subprocess.run([sys.executable, ROOT / "docs" / "pictures.py", demo], check=True)
        for number, page in enumerate(page for page in others if page != _FIRST):
            folder = Path(scratch) / str(number)
            shutil.copytree(demo, folder / demo.name)
            _renew(page, folder)


def _renew(page: Path, folder: Path) -> None:
    def ran(block: re.Match[str]) -> str:
        if block[2] == "python":
            subprocess.run(
                [sys.executable, "-W", "ignore::UserWarning", "-c", block[3]],
                cwd=folder,
                env=_environment(),
                check=True,
            )
            return block[0]
        commands = [line for line in block[3].splitlines() if line.startswith("$ ")]
        return f"{block[1]}{''.join(_transcript(command, folder) for command in commands)}{block[4]}"

    print(page.relative_to(ROOT), flush=True)
    page.write_text(_BLOCK.sub(ran, page.read_text()))


def _transcript(line: str, folder: Path) -> str:
    """The command and what it printed, as on a terminal when it is done: without the lines of progress."""
    done = subprocess.run(
        line[2:],
        shell=True,
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    printed = [each.rstrip() for each in done.stdout.splitlines() if not _PROGRESS.match(each)]
    return "\n".join([line, *printed]) + "\n"


def _environment() -> dict[str, str]:
    """This one, with the clippan of this Python first, and room for wide tables."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": programs, "COLUMNS": "110", "PYTHONUNBUFFERED": "1"}


if __name__ == "__main__":
    main()
