"""The packages of others that have a part in a result."""

from __future__ import annotations

from clippan_cli.sharpening.options import SharpenOptions
from clippan_models.methods.registry import METHOD_PLUGINS, find_method
from clippan_models.networks.names import BACKBONE_PLUGINS


def packages_of(options: SharpenOptions) -> dict[str, str]:
    """The packages of the method, the backbone and the teacher, with their versions; nothing of clippan's own.

    Raises:
        UsageError: there is no such method, or its package cannot be used.
    """
    found = METHOD_PLUGINS.tags(options.method)
    if find_method(options.method).learns:
        found |= BACKBONE_PLUGINS.tags(options.adapt.backbone) | BACKBONE_PLUGINS.tags(options.adapt.teacher, "teacher")
    return found
