"""Print the lowest versions that pyproject.toml allows, as constraints for pip.

torch is left out: its lowest version is a download of gigabytes, so .ci/constraints.txt names the one that CI uses.
"""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
for requirement in project["dependencies"]:
    match = re.fullmatch(r"([\w.-]+)>=([\w.]+)", requirement)
    if match is None:
        raise SystemExit(f"{requirement}: write a dependency as name>=lowest")
    if match[1] != "torch":
        print(f"{match[1]}=={match[2]}")
