"""`clippan assess` as an algorithm."""

from __future__ import annotations

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterRasterLayer,
)

from clippan_qgis.algorithms import parameters
from clippan_qgis.algorithms.algorithm import ClippanAlgorithm, Option
from clippan_qgis.arguments import METHODS


class AssessAlgorithm(ClippanAlgorithm):
    """The quality of sharpened images."""

    command = "assess"
    fixed = ("--overwrite",)  # QGIS has asked before
    title = "Assess sharpened images"
    text = """<p>Measures sharpened images of one pair, also those of other programs, if they lie on the grid
of PAN.</p>
<p>A <b>reference</b> is not needed, but it is used where there is one. <i>EXP</i> is the interpolated MS, <i>GSA</i> a
classical method. They are measured beside the images, because a single number can mislead.</p>
<p><b>Wald's protocol</b> measures the methods that you select on the degraded pair, with MS as the reference.</p>
<p>The <b>report</b> is shown in the Results Viewer, the numbers also in the log.</p>"""

    def options(self) -> list[Option]:
        """The images, the pair, what to compare with, and where to write."""
        images = QgsProcessingParameterMultipleLayers("FUSED", "Sharpened rasters", QgsProcessing.TypeRaster)
        images.setMinimumNumberInputs(1)
        wald = QgsProcessingParameterEnum(
            "WALD",
            "Methods to compare by Wald's protocol",
            METHODS,
            allowMultiple=True,
            optional=True,
            usesStaticStrings=True,
        )
        return [
            ("", images),
            *parameters.pair(),
            (
                "--reference",
                QgsProcessingParameterRasterLayer("REFERENCE", "Reference on the grid of PAN", optional=True),
            ),
            (
                "--baselines/--no-baselines",
                QgsProcessingParameterBoolean("BASELINES", "Compare with EXP and GSA", True),
            ),
            ("--wald", wald),
            *parameters.more_of_the_pair(),
            *parameters.computing(),
            parameters.report(created=True),
            (
                "--csv",
                QgsProcessingParameterFileDestination(
                    "CSV", "Numbers", "CSV files (*.csv)", optional=True, createByDefault=False
                ),
            ),
        ]
