"""Build HTML so that nothing but what we wrote ourselves is ever markup: every text and attribute is escaped."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from html import escape
from typing import Any

_EMPTY = {"img", "input", "meta", "br", "line", "rect", "circle", "path", "polyline", "image", "stop"}


class Markup(str):
    """Text that is markup already; only `tag` and `join` make it."""

    __slots__ = ()


Part = Markup | str | float | None | Iterable["Part"]


def tag(name: str, /, *parts: Part, **attributes: str | float | bool | None) -> Markup:
    """An element with its parts, which are escaped unless they are markup.

    An attribute's underscores become hyphens, and one at the end falls away: `class_`, `data_value`. None and False
    leave an attribute out, True gives it no value.
    """
    written = []
    for key, value in attributes.items():
        attribute = key.rstrip("_").replace("_", "-")
        if value is True:
            written.append(f" {attribute}")
        elif value is not None and value is not False:
            written.append(f' {attribute}="{escape(_number(value), quote=True)}"')
    opening = f"<{name}{''.join(written)}"
    return Markup(f"{opening}/>" if name in _EMPTY and not parts else f"{opening}>{join(*parts)}</{name}>")


def join(*parts: Part) -> Markup:
    """Parts one after the other, escaped unless they are markup."""
    return Markup("".join(_written(part) for part in parts))


def raw(text: str) -> Markup:
    """Our own style sheet or script."""
    return Markup(text)


def data_script(name: str, document: Any) -> Markup:
    """A JSON document that a page carries; nothing in it can end the script."""
    text = json.dumps(_plain(document), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(f'<script type="application/json" id="{escape(name)}">{safe}</script>')


def figure_text(value: float) -> str:
    """A number for people: four digits behind the point where it is small, fewer where it is large."""
    if value != value:
        return "n/a"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    size = abs(value)
    if value == int(value) and size < 1e6:
        return f"{value:.0f}"
    if size >= 1000:
        return f"{value:.0f}"
    return f"{value:.4f}" if size < 10 else f"{value:.2f}"


def _written(part: Part) -> str:
    if part is None:
        return ""
    if isinstance(part, Markup):
        return part
    if isinstance(part, str):
        return escape(part, quote=False)
    if isinstance(part, int | float):
        return _number(part)
    return "".join(_written(one) for one in part)


def _number(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
