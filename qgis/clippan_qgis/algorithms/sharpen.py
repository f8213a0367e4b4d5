"""`clippan sharpen` as an algorithm."""

from __future__ import annotations

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterBand,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterRasterDestination,
)

from clippan_qgis.algorithms import parameters
from clippan_qgis.algorithms.algorithm import ClippanAlgorithm, Option


class SharpenAlgorithm(ClippanAlgorithm):
    """A sharp multispectral image of one pair."""

    command = "sharpen"
    fixed = ("--overwrite",)  # QGIS has asked before
    title = "Sharpen (pansharpening)"
    text = """<p>Fuses a multispectral raster (MS) and a panchromatic raster (PAN) of the same place into a sharp
multispectral raster, with the bands and the data type of MS and the pixel size of PAN.</p>
<p><b>Method</b>: <i>clippan</i>, the default, and <i>network</i> learn on the scene, which takes a minute or more. The
others need seconds; <i>mtf-glp-fs</i> and <i>gsa</i> are good ones to begin with.</p>
<p><b>Extent</b> and <b>Mask</b> limit the work to a box or to the polygons of a layer.</p>
<p><b>Report</b>: a page on the quality of the result, shown in the Results Viewer.</p>
<p>The layers must be local files. The log shows what was found out about the pair, and warnings.</p>"""

    def options(self) -> list[Option]:
        """The pair, the method, the part of the scene, and where to write."""
        bands = QgsProcessingParameterBand(
            "BANDS", "Bands of MS to write (none selected: all)", None, "MS", optional=True, allowMultiple=True
        )
        box = QgsProcessingParameterExtent("EXTENT", "Extent (empty: all of the scene)", optional=True)
        mask = QgsProcessingParameterFeatureSource(
            "MASK", "Mask layer", [QgsProcessing.TypeVectorPolygon], optional=True
        )
        quality = QgsProcessingParameterBoolean("QUALITY", "Measure the quality of the result", True)
        return [
            *parameters.pair(),
            *parameters.method(),
            ("--bands", bands),
            ("--bbox", box),
            ("--aoi", mask),
            ("--quality/--no-quality", quality),
            *parameters.more_of_the_pair(),
            *parameters.computing(),
            ("--output", QgsProcessingParameterRasterDestination("OUTPUT", "Sharpened")),
            parameters.report(),
        ]
