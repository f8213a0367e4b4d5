"""Layers of a project as files for clippan."""

from __future__ import annotations

import os

from qgis.core import QgsProcessingException, QgsProviderRegistry, QgsRasterLayer


def file_of(layer: QgsRasterLayer) -> str:
    """The file that a raster layer shows.

    Raises:
        QgsProcessingException: it is not a local file.
    """
    if layer.providerType() == "gdal":
        path = str(QgsProviderRegistry.instance().decodeUri("gdal", layer.source()).get("path", ""))
        if os.path.isfile(path):
            return path
    raise QgsProcessingException(
        f"the layer {layer.name()} is not a local raster file: save it as GeoTIFF first (Layer > Save As)"
    )
