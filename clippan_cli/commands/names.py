"""Names in --help that only this installation has: those of other packages."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperOption

from clippan_models.methods.registry import METHOD_PLUGINS
from clippan_models.networks.names import BACKBONE_PLUGINS

_PLUGINS = {"method": METHOD_PLUGINS, "backbone": BACKBONE_PLUGINS, "teacher": BACKBONE_PLUGINS}


class WithPlugins(TyperCommand):
    """A command whose --help names what other packages add to an option; looked up only when it is shown."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        for parameter in self.params:
            plugins = _PLUGINS.get(parameter.name or "")
            if plugins is not None and isinstance(parameter, TyperOption) and (names := plugins.names()):
                more = f" From other packages: {', '.join(names)}."
                parameter.help = (parameter.help or "").removesuffix(more) + more
        super().format_help(ctx, formatter)
