"""The backbones by name."""

from __future__ import annotations

from clippan_models.networks import anyband, apnn, arbrpn, fusionnet, lambda_pnn, lformer, pan_mamba, pannet, pnn, ship
from clippan_models.networks.names import find_fusing_traits, find_traits
from clippan_models.networks.spec import BackboneSpec

_SPECS = (
    anyband.SPEC,
    apnn.SPEC,
    pnn.SPEC,
    fusionnet.SPEC,
    pannet.SPEC,
    lambda_pnn.SPEC,
    arbrpn.SPEC,
    lformer.SPEC,
    pan_mamba.SPEC,
    ship.SPEC,
)

BACKBONES: dict[str, BackboneSpec] = {spec.name: spec for spec in _SPECS}


def find_backbone(name: str) -> BackboneSpec:
    """The backbone of a name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    find_traits(name)
    return BACKBONES[name]


def find_fusing_backbone(name: str) -> BackboneSpec:
    """The backbone of a name, which can fuse scenes.

    Raises:
        UsageError: there is none, or it only works on patches of one size.
    """
    find_fusing_traits(name)
    return BACKBONES[name]
