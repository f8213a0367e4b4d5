"""The backbones by name: those of clippan, and those that other packages register as entry points."""

from __future__ import annotations

from clippan_models.networks import anyband, apnn, arbrpn, fusionnet, lambda_pnn, lformer, pan_mamba, pannet, pnn, ship
from clippan_models.networks.names import BACKBONE_PLUGINS, find_fusing_traits
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
        UsageError: there is none; the message lists those there are. Or the package that registers it cannot be used.
    """
    if name in BACKBONES:
        return BACKBONES[name]

    def wrong(spec: BackboneSpec) -> str:
        if spec.name != name:
            return f"its specification has the name {spec.name!r}"
        return "`weights` is for networks that come with clippan" if spec.weights is not None else ""

    return BACKBONE_PLUGINS.load(name, BackboneSpec, wrong)


def find_fusing_backbone(name: str) -> BackboneSpec:
    """The backbone of a name, which can fuse scenes.

    Raises:
        UsageError: there is none, or it only works on patches of one size.
    """
    find_fusing_traits(name)
    return find_backbone(name)
