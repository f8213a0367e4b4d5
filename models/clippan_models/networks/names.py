"""The names of the backbones, and what is asked of each before any is built; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from clippan_models.errors import UsageError, unknown_name


@dataclass(frozen=True)
class Traits:
    """What options depend on.

    Attributes:
        fuses: it can fuse scenes, and not only patches of one size.
        pretrained: it comes with weights.
    """

    fuses: bool = True
    pretrained: bool = False


BACKBONE_TRAITS: dict[str, Traits] = {
    "anyband": Traits(pretrained=True),
    "apnn": Traits(),
    "pnn": Traits(),
    "fusionnet": Traits(),
    "pannet": Traits(),
    "lambda-pnn": Traits(),
    "arbrpn": Traits(),
    "lformer": Traits(),
    "pan-mamba": Traits(),
    "ship": Traits(fuses=False),
}
"""By the names in `registry.BACKBONES`, in the same order."""


def find_traits(name: str) -> Traits:
    """The traits of a backbone.

    Raises:
        UsageError: there is none of that name; the message lists those there are.
    """
    if name in BACKBONE_TRAITS:
        return BACKBONE_TRAITS[name]
    raise unknown_name("backbone", name, list(BACKBONE_TRAITS))


def find_fusing_traits(name: str) -> Traits:
    """The traits of a backbone that can fuse scenes.

    Raises:
        UsageError: there is none of that name, or it only works on patches of one size.
    """
    traits = find_traits(name)
    if not traits.fuses:
        others = ", ".join(other for other, its in BACKBONE_TRAITS.items() if its.fuses)
        raise UsageError(
            f"the backbone {name} compares all pixels of an image with each other and cannot fuse a scene in tiles: "
            f"use it as the teacher of one of {others}"
        )
    return traits
