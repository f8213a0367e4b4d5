"""The readers of products: those of clippan, and those that other packages register as entry points."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points

from clippan_cli.products.arrays import ArraysReader
from clippan_cli.products.containers import StacReader, ZipReader
from clippan_cli.products.landsat import LandsatReader
from clippan_cli.products.members import MemberReader
from clippan_cli.products.product import ProductReader

GROUP = "clippan.products"
"""Of entry points; each leads to a class of `ProductReader`, or a function that returns one."""

_OWN: tuple[Callable[[], ProductReader], ...] = (LandsatReader, ZipReader, ArraysReader, StacReader, MemberReader)


@cache
def readers() -> tuple[tuple[ProductReader, ...], tuple[str, ...]]:
    """All readers, those of other packages first, and a note on each that cannot be used."""
    found: list[ProductReader] = []
    notes: list[str] = []
    for entry in entry_points(group=GROUP):
        try:
            found.append(entry.load()())
        except Exception as error:  # what others have registered must not cost the products that clippan reads
            notes.append(f"the product reader {entry.name} ({entry.value}) cannot be used: {error}")
    return (*found, *(own() for own in _OWN)), tuple(notes)
