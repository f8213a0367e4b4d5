"""Documents with a few things wrong, made from good ones by their structure."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Test = Callable[..., None]


def nested(depth: int) -> Any:
    """Lists in lists."""
    found: Any = []
    for _ in range(depth):
        found = [found]
    return found


MISSING = "to be left out"
NAMES = ["", " ", "abc", "\0", "a\0b", "\ud800", "../..", "/", "file://[bad", "é" * 300, "9" * 5000]
JUNK = st.one_of(
    st.just(MISSING),
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 2**31, -(2**63), 10**30]),
    st.sampled_from([float("nan"), float("inf"), -float("inf"), -0.0, 1e308, 5e-324]),
    st.sampled_from(NAMES),
    st.text(max_size=8),
    st.sampled_from([[], {}, [[]], [{}], {"": {}}, [None, 1, "a"], [["a"]], {"type": "Feature"}]),
    st.sampled_from([1, 20, 300]).map(nested),
)


def places(document: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value of a document."""
    listed = list(enumerate(document)) if isinstance(document, list) else []
    for key, value in document.items() if isinstance(document, dict) else listed:
        yield (*above, key)
        yield from places(value, (*above, key))


@st.composite
def spoiled(draw: Any, document: Any) -> Any:
    """The document with up to three of its values missing, of another type, huge, nested, not a number or negative."""
    changed = copy.deepcopy(document)
    ways = list(places(document))
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from(ways))
        junk = copy.deepcopy(draw(JUNK))
        parent = changed
        try:
            for key in above:
                parent = parent[key]
            if junk == MISSING:
                del parent[last]
            else:
                parent[last] = junk
        except (KeyError, IndexError, TypeError):  # that part is gone already
            continue
    return changed


@st.composite
def spoiled_bytes(draw: Any, content: bytes) -> bytes:
    """The text with a few pieces cut out, repeated, or replaced by others."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(changed)))
        stop = min(len(changed), start + draw(st.integers(0, 40)))
        changed[start:stop] = draw(
            st.one_of(
                st.binary(max_size=6),
                st.sampled_from([b"\0", b"\xff\xfe", b"-1", b"1e400", b"nan", b"<", b'"', b"[" * 3000, b" " * 3000]),
                st.just(bytes(changed[start:stop]) * 3),
            )
        )
    return bytes(changed)


def fuzzed(share: int = 4, **strategies: Any) -> Callable[[Test], Test]:
    """Try a test with a share of the examples of the profile; each replaces the files of the one before."""
    how = settings(
        max_examples=settings().max_examples // share,
        deadline=None,
        derandomize=settings.get_current_profile_name() != "long",
        suppress_health_check=list(HealthCheck),
    )

    def decorate(test: Test) -> Test:
        tried: Test = how(given(**strategies)(test))
        return tried

    return decorate
