"""Runs the suite of the leaderboard and writes its tables into leaderboard.md.

    python docs/leaderboard.py [FOLDER]

FOLDER keeps the runs, so that a second run makes only what has changed; build/leaderboard if not given.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "leaderboard.md"
SUITE = ROOT / "suites" / "leaderboard.toml"
_PART = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main(folder: Path) -> None:
    """Run what is not there yet, and write the page."""
    subprocess.run([sys.executable, "-m", "clippan_cli", "bench", str(SUITE), "-o", str(folder)], check=True)
    page = PAGE.read_text()
    PAGE.write_text(_PART.sub(lambda part: f"{part[1]}\n{_table(folder / part[2])}\n\n{part[3]}", page))


def _table(path: Path) -> str:
    return path.with_suffix(".md").read_text().strip()


if __name__ == "__main__":
    if len(sys.argv) > 2 or sys.argv[-1].startswith("-"):
        sys.exit("usage: python docs/leaderboard.py [FOLDER]")
    main(Path(sys.argv[1]) if len(sys.argv) == 2 else ROOT / "build" / "leaderboard")
