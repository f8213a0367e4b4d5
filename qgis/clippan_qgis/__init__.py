"""clippan in QGIS: a Processing provider that runs the program `clippan` of an environment of its own.

QGIS brings its own Python and GDAL, and clippan needs torch. So nothing here imports clippan or torch: the plugin
starts the program, reads its progress and shows what it says.
"""

from __future__ import annotations

from typing import Any


def classFactory(iface: Any) -> Any:
    """The plugin, as QGIS asks for it."""
    from clippan_qgis.plugin import ClippanPlugin

    return ClippanPlugin(iface)
