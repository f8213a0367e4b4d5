"""The names of the backbones, and what is asked of each before any is built; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from clippan_models.errors import UsageError
from clippan_models.plugins import Plugins


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

BACKBONE_PLUGINS = Plugins("backbone", tuple(BACKBONE_TRAITS))
"""Backbones of other packages."""


def find_traits(name: str) -> Traits:
    """The traits of a backbone.

    Raises:
        UsageError: there is none of that name; the message lists those there are. Or the package that registers it
            cannot be used.
    """
    if name in BACKBONE_TRAITS:
        return BACKBONE_TRAITS[name]
    BACKBONE_PLUGINS.check(name)
    from clippan_models.networks.registry import find_backbone  # only now, as it needs torch

    spec = find_backbone(name)
    return Traits(spec.fuses, spec.weights is not None)


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
