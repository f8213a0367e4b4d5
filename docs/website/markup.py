"""The Markdown of these pages beyond the standard: equations, and terms of the glossary.

Equations are LaTeX as code hosts render it, `$...$` and fences named `math`, and become MathML. The first use of each
term in a page leads to the glossary: build.py gives a page the references `[term NAME]: LINK 'MEANING'`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from markdown import Extension, Markdown
from markdown.inlinepatterns import InlineProcessor
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor
from math_core import LatexToMathML

_FENCE = re.compile(r"^```math\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INLINE = r"(?<![\\$\w])\$(?![\s$])([^$\n]+?)(?<![\s\\])\$(?!\w)"
_PLAIN = {"p", "li", "td", "em", "strong"}  # what a term is linked in: not in headings, code, or other links
_TERM = "term "


class Markup(Extension):
    """Adds equations and links to terms."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Register what reads them."""
        md.preprocessors.register(_Fences(md), "equations", 28)  # before other fences, 25
        md.inlinePatterns.register(_Inline(_INLINE, md), "equation", 185)  # before escapes, 180, after code, 190
        md.treeprocessors.register(_Terms(md), "terms", 5)  # after the text of lines has been read, 20


class _Fences(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        def stored(fence: re.Match[str]) -> str:
            return f"\n{self.md.htmlStash.store(_mathml(fence[1], block=True))}\n"

        return _FENCE.sub(stored, "\n".join(lines)).split("\n")


class _Inline(InlineProcessor):
    def handleMatch(self, m: re.Match[str], data: str) -> tuple[str, int, int]:  # type: ignore[override]
        return self.md.htmlStash.store(_mathml(m[1], block=False)), m.start(0), m.end(0)


class _Terms(Treeprocessor):
    def run(self, root: Element) -> None:
        for key, (link, meaning) in self.md.references.items():
            if key.startswith(_TERM):
                name = re.escape(key.removeprefix(_TERM))
                _link_first(root, re.compile(rf"(?<![\w-]){name}(?![\w-])", re.IGNORECASE), link, meaning)


def _mathml(latex: str, *, block: bool) -> str:
    return LatexToMathML().convert_with_local_state(latex.strip(), displaystyle=block)


def _link_first(root: Element, term: re.Pattern[str], link: str, meaning: str) -> None:
    """Turn the first use of a term in plain text into a link."""
    for holder, before, text in _texts(root):
        if use := term.search(text):
            anchor = Element("a", {"href": link, "title": meaning, "class": "term"})
            anchor.text, anchor.tail = use[0], text[use.end() :]
            if before is None:
                holder.text = text[: use.start()]
                holder.insert(0, anchor)
            else:
                before.tail = text[: use.start()]
                holder.insert(list(holder).index(before) + 1, anchor)
            return


def _texts(element: Element) -> Iterator[tuple[Element, Element | None, str]]:
    """The pieces of plain text in reading order: the element, the child before the piece, the piece."""
    if element.tag in _PLAIN and element.text:
        yield element, None, element.text
    for child in element:
        yield from _texts(child)
        if element.tag in _PLAIN and child.tail:
            yield element, child, child.tail


def makeExtension(**settings: object) -> Markup:
    """What Markdown calls to load this module."""
    return Markup(**settings)
