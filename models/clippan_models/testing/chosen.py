"""Which methods and backbones the tests are for."""

from __future__ import annotations

import os

from clippan_models.errors import unknown_name
from clippan_models.methods.registry import METHOD_PLUGINS
from clippan_models.networks.names import BACKBONE_PLUGINS
from clippan_models.plugins import Plugins

VARIABLE = "CLIPPAN_TEST"
"""The environment variable that names some, with commas between them; without it, the tests are for all there are."""


def chosen_backbones() -> list[str]:
    """The names of the backbones to test."""
    return _chosen(BACKBONE_PLUGINS)


def chosen_methods() -> list[str]:
    """The names of the methods to test."""
    return _chosen(METHOD_PLUGINS)


def _chosen(plugins: Plugins) -> list[str]:
    wanted = [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]
    known = [*BACKBONE_PLUGINS.known(), *METHOD_PLUGINS.known()]
    for name in wanted:
        if name not in known:
            raise unknown_name("method or backbone", name, known)
    return [name for name in plugins.known() if name in wanted or not wanted]
