"""The plugin: brings the provider into QGIS, and takes it out again."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsApplication

from clippan_qgis.provider import ClippanProvider


class ClippanPlugin:
    """What QGIS calls as it loads and unloads the plugin."""

    def __init__(self, iface: Any) -> None:
        """The interface of QGIS is not needed, nor there in qgis_process."""
        self.provider: ClippanProvider | None = None

    def initProcessing(self) -> None:
        """Add the provider; qgis_process calls this alone."""
        self.provider = ClippanProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:
        """Add the provider to QGIS."""
        self.initProcessing()

    def unload(self) -> None:
        """Remove the provider."""
        QgsApplication.processingRegistry().removeProvider(self.provider)
