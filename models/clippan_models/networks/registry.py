"""The backbones by name."""

from __future__ import annotations

from clippan_models.errors import UsageError, unknown_name
from clippan_models.networks import anyband, apnn, arbrpn, fusionnet, lambda_pnn, lformer, pan_mamba, pannet, pnn, ship
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
    if name in BACKBONES:
        return BACKBONES[name]
    raise unknown_name("backbone", name, list(BACKBONES))


def find_fusing_backbone(name: str) -> BackboneSpec:
    """The backbone of a name, which can fuse scenes.

    Raises:
        UsageError: there is none, or it only works on patches of one size.
    """
    spec = find_backbone(name)
    if not spec.fuses:
        others = ", ".join(other.name for other in BACKBONES.values() if other.fuses)
        raise UsageError(
            f"the backbone {name} compares all pixels of an image with each other and cannot fuse a scene in tiles: "
            f"use it as the teacher of one of {others}"
        )
    return spec
