"""The page of a training on many scenes: how good the weights are, how they learned, and from what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from clippan_cli.pages.content import Facts, Section, Verdict
from clippan_cli.pages.html import Markup, join, tag
from clippan_cli.pages.page import facts_table, numbered, paged, verdict_box


@dataclass(frozen=True)
class LearningContent:
    """Everything on the page.

    Attributes:
        title: of the page.
        verdict: the first thing to read.
        warnings: where a number misleads.
        sections: tables and charts.
        scenes: groups of scenes with their files, or the reasons why they were left out.
        provenance: where it all comes from.
        data: the JSON document that the page carries.
    """

    title: str
    verdict: Verdict
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]
    scenes: tuple[tuple[str, Facts], ...]
    provenance: Facts
    data: dict[str, Any] = field(default_factory=dict)


def render_learning(content: LearningContent) -> str:
    """The page as text; everything from outside is escaped."""
    parts = [
        ("verdict", "Verdict", verdict_box(content.verdict, content.warnings)),
        *numbered(content.sections),
        ("archive", "Scenes", _scenes(content)),
        ("provenance", "Provenance", facts_table(content.provenance)),
    ]
    return paged(content.title, parts, "clippan adapt", content.data)


def _scenes(content: LearningContent) -> Markup:
    groups = [
        tag("details", tag("summary", f"{title} ({len(facts)})"), facts_table(facts))
        for title, facts in content.scenes
        if facts
    ]
    return join(groups)
