"""The README as a package index shows it, where links that are relative to the repository lead nowhere.

The address of the repository is `Repository` under `[project.urls]` in pyproject.toml.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_RELATIVE_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)\s]+)\)")


class ReadmeHook(MetadataHookInterface):
    """Gives the package the README with links that work everywhere."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the README to the metadata of the project, whose version is known by now."""
        readme = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        text = with_absolute_links(readme, metadata.get("urls", {}).get("Repository"), metadata["version"])
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def with_absolute_links(text: str, repository: str | None, version: str) -> str:
    """The text with each relative link leading to that file in the repository, as it was at this version.

    Args:
        text: Markdown.
        repository: its address; None: there is none yet, and of a link or picture only its words stay.
        version: its tag is this with a v in front.
    """

    def absolute(link: re.Match[str]) -> str:
        picture, words, target = link.groups()
        if repository is None:
            return words
        return f"{picture}[{words}]({repository}/{'raw' if picture else 'blob'}/v{version}/{target})"

    return _RELATIVE_LINK.sub(absolute, text)
